#include "io/train_state.h"

#include <cerrno>

#include "base/endian.h"
#include "unit/io/faults.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;

namespace {

const Json kDescription = {{"step", 3},
                           {"seed", 18446744073709551615u},
                           {"rate", 0.1},
                           {"names", {"a \"b\" é", ""}},
                           {"options", {{"estimator", "exact"}}}};

// In no order; one of them empty, one without dimensions.
std::vector<StateTensor> some_tensors() {
  return {{"weights/b", "F32", {2, 1}, as_bytes("abcdefgh")},
          {"random", "U8", {3}, as_bytes("xyz")},
          {"weights/a", "BF16", {0, 4}, {}},
          {"count", "I64", {}, as_bytes("12345678")}};
}

std::string state_bytes(const Json& description = kDescription, const std::vector<StateTensor>& tensors = some_tensors()) {
  MemorySink sink;
  write_train_state(sink, description, tensors);
  return sink.bytes();
}

void write_state(const std::string& path, const std::vector<StateTensor>& tensors = some_tensors()) {
  const auto sink = open_sink(path);
  write_train_state(*sink, kDescription, tensors);
  sink->commit();
}

// 0 when `content` is a sound state.
int status_of_content(const Scratch& scratch, std::string_view content) {
  const std::string path = scratch.write("state", content);
  return status_of([&] { TrainStateFile file(path); });
}

bool is_refused(const Scratch& scratch, std::string_view content) {
  const int status = status_of_content(scratch, content);
  return status == 3 || status == 4;
}

std::string reason(const Scratch& scratch, std::string_view content) {
  const std::string path = scratch.write("state", content);
  const std::string message = message_of([&] { TrainStateFile file(path); }), prefix = "cannot read: '" + path + "': ";
  CHECK(message.starts_with(prefix));
  return message.substr(std::min(message.size(), prefix.size()));
}

// `content` with its header, a JSON object, changed by hand; what lies behind it stays.
std::string with_header(const std::string& content, const std::function<std::string(const std::string&)>& change) {
  const std::size_t length = load_le<std::uint64_t>(reinterpret_cast<const std::byte*>(content.data()));
  const std::string header = change(content.substr(8, length));
  std::byte size[8];
  store_le<std::uint64_t>(size, header.size());
  return std::string(reinterpret_cast<const char*>(size), 8) + header + content.substr(8 + length);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string metadata_of(const std::map<std::string, std::string>& metadata) {
  MemorySink sink;
  SafetensorsWriter(sink, {}, metadata).finish();
  return sink.bytes();
}

}  // namespace

TEST_CASE("a state is read as it was written") {
  const Scratch scratch;
  write_state(scratch.path("state"));
  const TrainStateFile file(scratch.path("state"));
  CHECK(file.description() == kDescription);
  REQUIRE(file.tensors().size() == 4);
  for (const StateTensor& tensor : some_tensors()) {
    const TensorView& view = file.tensors().at(tensor.name);
    CHECK(view.dtype == tensor.dtype);
    CHECK(view.shape == tensor.shape);
    CHECK(std::equal(view.bytes.begin(), view.bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
  }
  CHECK(status_of_content(scratch, state_bytes(Json::object(), {})) == 0);
}

TEST_CASE("any reader of safetensors opens a state") {
  const Scratch scratch;
  const SafetensorsFile file(scratch.write("state", state_bytes()));
  CHECK(file.tensors().size() == 4);
  CHECK(file.metadata().at("format") == "uio-train-state");
  CHECK(file.metadata().at("version") == "1");
  CHECK(file.metadata().at("checksum").size() == 32);
  CHECK(is_train_state(file.metadata()));
}

TEST_CASE("the same content gives the same bytes, in whatever order the tensors come") {
  auto tensors = some_tensors();
  const std::string bytes = state_bytes();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::rotate(tensors.begin(), tensors.begin() + 1, tensors.end());
    CHECK(state_bytes(kDescription, tensors) == bytes);
  }
}

TEST_CASE("every flipped bit of a state is found") {
  const Scratch scratch;
  const std::string good = state_bytes();
  REQUIRE(status_of_content(scratch, good) == 0);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1 << bit);
      CAPTURE(at, bit);
      REQUIRE(is_refused(scratch, bad));
    }
  }
}

TEST_CASE("every byte of a state counts, whatever it becomes") {
  const Scratch scratch;
  const std::string good = state_bytes();
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char byte : {'\0', '\t', '\n', ' ', '"', '0', '1', 'a', '\xff'}) {
      std::string bad = good;
      bad[at] = byte;
      CAPTURE(at, byte);
      REQUIRE((bad == good || is_refused(scratch, bad)));
    }
  }
}

TEST_CASE("a state cut or grown anywhere is refused") {
  const Scratch scratch;
  const std::string good = state_bytes();
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    REQUIRE(is_refused(scratch, std::string_view(good).substr(0, size)));
  }
  CHECK(is_refused(scratch, good + '\0'));
  CHECK(is_refused(scratch, good + good));
}

TEST_CASE("damage that leaves sound safetensors is told as what it is") {
  const Scratch scratch;
  const std::string good = state_bytes();
  std::string flipped = good;
  flipped.back() ^= 1;
  CHECK(reason(scratch, flipped).starts_with("is damaged (checksum "));
  CHECK(reason(scratch, replaced(good, "weights/b", "weights/c")).starts_with("is damaged (checksum "));
  CHECK(reason(scratch, replaced(good, "\"F32\",\"shape\":[2,1]", "\"F32\",\"shape\":[1,2]"))
            .starts_with("is damaged (checksum "));
  CHECK(reason(scratch, replaced(good, "step\\\":3", "step\\\":4")).starts_with("is damaged (checksum "));
  // The same header in other words: nothing that we wrote.
  for (const auto& [from, to] : {std::pair{"\"random\"", "\"\\u0072andom\""}, {"{\"__meta", "{ \"__meta"}}) {
    const std::string reworded = with_header(good, [&](const std::string& header) { return replaced(header, from, to); });
    CHECK(SafetensorsFile(scratch.write("same", reworded)).tensors().size() == 4);
    CHECK(reason(scratch, reworded) == "is damaged (its header is not as it was written)");
  }
}

TEST_CASE("other files and other versions are a mismatch, not damage") {
  const Scratch scratch;
  const std::string other = metadata_of({});
  CHECK(status_of_content(scratch, other) == 4);
  CHECK(reason(scratch, other) == "is no state of uio-train-step");
  CHECK(status_of_content(scratch, metadata_of({{"format", "pt"}})) == 4);
  const std::string next = metadata_of({{"format", "uio-train-state"}, {"version", "2"}, {"more", ""}});
  CHECK(status_of_content(scratch, next) == 4);
  CHECK(reason(scratch, next) == "is a state of version 2, this program has version 1");
  CHECK(status_of_content(scratch, metadata_of({{"format", "uio-train-state"}})) == 3);
  CHECK(status_of_content(scratch, metadata_of({{"format", "uio-train-state"}, {"version", "1"}})) == 3);
  CHECK(status_of_content(scratch, "some text") == 3);
  CHECK(status_of([&] { TrainStateFile file(scratch.path("missing")); }) == 5);
  CHECK_FALSE(is_train_state({{"format", "pt"}}));
  CHECK(is_train_state({{"format", "uio-trbin-state"}, {"description", ""}, {"checksum", ""}}));
}

TEST_CASE("a state that no reader would take is not written") {
  MemorySink sink;
  const auto status = [&](const Json& description, const std::vector<StateTensor>& tensors) {
    return status_of([&] { write_train_state(sink, description, tensors); });
  };
  CHECK(status(Json::array(), {}) == 70);
  CHECK(status({{"name", "\xff"}}, {}) == 70);
  CHECK(status(Json::object(), {{"a", "F32", {2}, as_bytes("1234")}}) == 70);
  CHECK(status(Json::object(), {{"a", "f32", {1}, as_bytes("1234")}}) == 70);
  CHECK(status(Json::object(), {{"a", "U8", {-1}, {}}}) == 70);
  CHECK(status(Json::object(), {{"a", "U8", {1}, as_bytes("1")}, {"a", "U8", {1}, as_bytes("2")}}) == 3);
  CHECK(sink.bytes().empty());
}

TEST_CASE("a full disk leaves the old state and nothing else") {
  const std::string many(100'000, 'n');
  const std::vector<StateTensor> larger = {{"a", "U8", {100'000}, as_bytes(many)}, {"b", "U8", {100'000}, as_bytes(many)}};
  for (const char* call : {"write", "fsync", "rename", "linkat", "close", "fchmod", "fstat"}) {
    for (const int error : {ENOSPC, EIO}) {
      bool hit = true;
      for (int nth = 1; hit; ++nth) {
        const Scratch scratch;
        write_state(scratch.path("state"));
        int status = 0;
        {
          const Faults faults(call, nth, error);
          status = status_of([&] { write_state(scratch.path("state"), larger); });
          hit = faults.was_hit();
        }
        CAPTURE(call, error, nth, status);
        CHECK((status == 0 || status == 5));
        CHECK(scratch.count() == 1);
        // Whole, the old one or the new.
        const std::size_t tensors = TrainStateFile(scratch.path("state")).tensors().size();
        CHECK((tensors == 2 || (tensors == 4 && status == 5)));
      }
    }
  }
}
