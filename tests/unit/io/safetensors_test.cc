#include "io/safetensors.h"

#include "base/endian.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;

namespace {

std::string with_header(const std::string& header, std::size_t data_bytes) {
  std::byte length[8];
  store_le<std::uint64_t>(length, header.size());
  return std::string(reinterpret_cast<const char*>(length), 8) + header + std::string(data_bytes, 'd');
}

// What reading the file says behind its name; "" where it is read.
std::string refusal(const std::string& content) {
  const Scratch scratch;
  const std::string path = scratch.write("a.safetensors", content);
  const std::string message = message_of([&] { SafetensorsFile file(path); });
  const std::string prefix = "cannot read: '" + path + "': ";
  if (!message.empty()) CHECK(message.starts_with(prefix));
  return message.empty() ? "" : message.substr(prefix.size());
}

std::string refusal(const std::string& header, std::size_t data_bytes) { return refusal(with_header(header, data_bytes)); }

std::string tensor(const std::string& rest) { return "{\"x\":{" + rest + "}}"; }

}  // namespace

TEST_CASE("tensors are read where they lie") {
  const Scratch scratch;
  const std::string path = scratch.write(
      "a.safetensors",
      with_header(
          R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[6,10]},"__metadata__":{"format":"pt"},)"
          R"("a":{"dtype":"BF16","shape":[3,1],"data_offsets":[0,6]},"scalar":{"dtype":"U8","shape":[],"data_offsets":[10,11]},)"
          R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[11,11]}}   )",
          11));
  const SafetensorsFile file(path);
  REQUIRE(file.tensors().size() == 4);
  CHECK(file.tensors().at("a").dtype == "BF16");
  CHECK(file.tensors().at("a").shape == std::vector<std::int64_t>{3, 1});
  CHECK(file.tensors().at("a").bytes.size() == 6);
  CHECK(file.tensors().at("b").bytes.data() == file.tensors().at("a").bytes.data() + 6);
  CHECK(file.tensors().at("scalar").bytes.size() == 1);
  CHECK(file.tensors().at("none").bytes.empty());
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
}

TEST_CASE("legal extremes") {
  CHECK(refusal("{}", 0) == "");
  CHECK(refusal(tensor(R"("dtype":"F4","shape":[4],"data_offsets":[0,2])"), 2) == "");
  CHECK(refusal(tensor(R"("dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3])"), 3) == "");
  CHECK(refusal(tensor(R"("dtype":"C64","shape":[2],"data_offsets":[0,16])"), 16) == "");
}

TEST_CASE("damaged lengths and headers") {
  CHECK(refusal("") == "ends early (need 8 bytes, found 0)");
  CHECK(refusal("1234567") == "ends early (need 8 bytes, found 7)");
  CHECK(refusal(std::string("\x05\0\0\0\0\0\0\0{}", 10)) == "header ends early (need 5 bytes, found 2)");
  CHECK(refusal(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)) ==
        "header is 18446744073709551615 bytes long, at most 100000000 are allowed");
  CHECK(refusal("", 4) == "header does not begin with '{'");
  CHECK(refusal("[]", 0) == "header does not begin with '{'");
  CHECK(refusal(" {}", 0) == "header does not begin with '{'");
  CHECK(refusal("{\"x\":}", 0).starts_with("is not valid JSON at byte"));
  CHECK(refusal("{} x", 0).starts_with("is not valid JSON at byte"));
  CHECK(refusal("{\"\xff\":1}", 0).starts_with("is not valid JSON at byte"));
  const std::string one = R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  CHECK(refusal("{" + one + "," + one + "}", 1) == "key 'x' is given twice");
}

TEST_CASE("entries that are not what they should be") {
  CHECK(refusal(R"({"x":1})", 0) == "tensor 'x' is not described by an object");
  CHECK(refusal(tensor(R"("shape":[1],"data_offsets":[0,1])"), 1) == "tensor 'x' has no dtype");
  CHECK(refusal(tensor(R"("dtype":"U8","data_offsets":[0,1])"), 1) == "tensor 'x' has no shape");
  CHECK(refusal(tensor(R"("dtype":"U8","shape":[1])"), 1) == "tensor 'x' has no data_offsets");
  CHECK(refusal(tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1)"), 1) ==
        "tensor 'x' has the unknown key 'more'");
  CHECK(refusal(tensor(R"("dtype":8,"shape":[1],"data_offsets":[0,1])"), 1) == "tensor 'x' has a dtype that is not a string");
  CHECK(refusal(tensor(R"("dtype":"f32","shape":[1],"data_offsets":[0,1])"), 1) == "tensor 'x' has the unknown dtype 'f32'");
  CHECK(refusal(tensor(R"("dtype":"U8","shape":1,"data_offsets":[0,1])"), 1) == "tensor 'x' has a shape that is not a list");
  for (const char* size : {"-1", "1.0", "\"1\"", "null", "9223372036854775808", "1e3"}) {
    CHECK(refusal(tensor(std::string(R"("dtype":"U8","shape":[)") + size + R"(],"data_offsets":[0,1])"), 1)
              .starts_with("tensor 'x' has the impossible size "));
  }
  for (const char* offsets : {"[0]", "[0,1,2]", "[0,-1]", "[0,1.5]", "\"0\"", "[null,1]"}) {
    CHECK(refusal(tensor(std::string(R"("dtype":"U8","shape":[1],"data_offsets":)") + offsets), 1) ==
          "tensor 'x' has data_offsets that are not two natural numbers");
  }
  CHECK(refusal(R"({"__metadata__":[]})", 0) == "__metadata__ is not an object");
  CHECK(refusal(R"({"__metadata__":{"a":1}})", 0) == "__metadata__ entry 'a' is not a string");
}

TEST_CASE("sizes that do not fit") {
  CHECK(refusal(tensor(R"("dtype":"F32","shape":[2,3],"data_offsets":[0,10])"), 10) ==
        "tensor 'x' has 10 bytes, its shape [2,3] of F32 needs 24");
  CHECK(refusal(tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,2])"), 1) ==
        "tensor 'x' has data_offsets [0,2] outside the file's 1 data bytes");
  CHECK(refusal(tensor(R"("dtype":"U8","shape":[1],"data_offsets":[1,0])"), 1) ==
        "tensor 'x' has data_offsets [1,0] outside the file's 1 data bytes");
  CHECK(refusal(tensor(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0) ==
        "tensor 'x' has a shape whose size overflows");
  CHECK(refusal(tensor(R"("dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0])"), 0) ==
        "tensor 'x' has a shape whose size overflows");
  CHECK(refusal(tensor(R"("dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,0])"), 0) ==
        "tensor 'x' has a shape whose size overflows");
  CHECK(refusal(tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])"), 1) ==
        "tensor 'x' has a size of 12 bits, which is not whole bytes");
}

TEST_CASE("holes, overlaps and bytes that belong to nobody") {
  const auto two = [](const char* a, const char* b) {
    return std::string(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)") + a +
           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}";
  };
  CHECK(refusal(two("[0,2]", "[2,4]"), 4) == "");
  CHECK(refusal(two("[2,4]", "[0,2]"), 4) == "");
  CHECK(refusal(two("[0,2]", "[3,5]"), 5) == "tensor 'b' leaves a hole before it (begins at 3, expected 2)");
  CHECK(refusal(two("[1,3]", "[3,5]"), 5) == "tensor 'a' leaves a hole before it (begins at 1, expected 0)");
  CHECK(refusal(two("[0,2]", "[1,3]"), 3) == "tensor 'b' overlaps another (begins at 1, expected 2)");
  CHECK(refusal(two("[0,2]", "[0,2]"), 2) == "tensor 'b' overlaps another (begins at 0, expected 2)");
  CHECK(refusal(two("[0,2]", "[2,4]"), 5) == "has 1 bytes after its last tensor");
  CHECK(refusal("{}", 1) == "has 1 bytes after its last tensor");
}

TEST_CASE("a file cut at any byte is refused") {
  MemorySink sink;
  SafetensorsWriter writer(sink, {{"a", "U8", {3}, 3}, {"b", "F32", {1, 2}, 8}}, {{"k", "v"}});
  writer.write(as_bytes("abc12345678"));
  writer.finish();
  CHECK(refusal(sink.bytes()) == "");
  for (std::size_t size = 0; size < sink.bytes().size(); ++size) CHECK(refusal(sink.bytes().substr(0, size)) != "");
}

TEST_CASE("what is written can be read, with the data at a multiple of eight") {
  const Scratch scratch;
  const auto sink = open_sink(scratch.path("a.safetensors"));
  SafetensorsWriter writer(*sink, {{"z \"quoted\"/é", "BF16", {2, 1}, 4}, {"a", "I64", {}, 8}, {"none", "F32", {0}, 0}},
                           {{"by", "test"}});
  writer.write(as_bytes("zz"));
  writer.write(as_bytes("zzaaaaaaaa"));
  writer.finish();
  sink->commit();
  const SafetensorsFile file(scratch.path("a.safetensors"));
  CHECK(file.tensors().at("z \"quoted\"/é").shape == std::vector<std::int64_t>{2, 1});
  CHECK(std::memcmp(file.tensors().at("a").bytes.data(), "aaaaaaaa", 8) == 0);
  CHECK(file.tensors().at("none").bytes.empty());
  CHECK(file.metadata().at("by") == "test");
  CHECK((scratch.read("a.safetensors").size() - 12) % 8 == 0);
}

TEST_CASE("the writer refuses names that clash or are not UTF-8, and too few or too many bytes") {
  MemorySink sink;
  CHECK(message_of([&] {
          SafetensorsWriter(sink, {{"a", "U8", {1}, 1}, {"a", "U8", {1}, 1}});
        }) == "cannot write: 'memory': two tensors have the name 'a'");
  CHECK(message_of([&] {
          SafetensorsWriter(sink, {{"\xff", "U8", {1}, 1}});
        }) == "cannot write: 'memory': tensor name '\\xff' is not UTF-8");
  SafetensorsWriter writer(sink, {{"a", "U8", {2}, 2}});
  CHECK(status_of([&] { writer.finish(); }) == 70);
  writer.write(as_bytes("ab"));
  CHECK(status_of([&] { writer.finish(); }) == 0);
  writer.write(as_bytes("c"));
  CHECK(status_of([&] { writer.finish(); }) == 70);
}
