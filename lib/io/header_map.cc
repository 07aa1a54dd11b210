#include "io/header_map.h"

#include <algorithm>
#include <bit>
#include <msgpack.hpp>
#include <set>

#include "base/hex.h"
#include "base/quote.h"
#include "base/utf8_sequence.h"
#include "io/damage.h"
#include "io/limits.h"

namespace uio {
namespace {

constexpr std::size_t kFingerprintBytes = 32;

[[noreturn]] void fail(const std::string& reason) { throw Damage{ErrorKind::kData, reason}; }
[[noreturn]] void fail_field(std::string_view name, const std::string& reason) {
  fail("has a field " + quote(name) + " " + reason);
}

std::string_view view_of(const msgpack::object& string) { return {string.via.str.ptr, string.via.str.size}; }

}  // namespace

struct HeaderMapWriter::State {
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> packer{buffer};

  void add_text(std::string_view text) {
    packer.pack_str(static_cast<std::uint32_t>(text.size()));
    packer.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
  }
};

HeaderMapWriter::HeaderMapWriter(std::uint32_t fields) : state_(std::make_unique<State>()) { state_->packer.pack_map(fields); }
HeaderMapWriter::~HeaderMapWriter() = default;

void HeaderMapWriter::add_natural(std::string_view name, std::uint64_t value) {
  state_->add_text(name);
  state_->packer.pack_uint64(value);
}

void HeaderMapWriter::add_real(std::string_view name, double value) {
  // By hand: msgpack's own packer makes an integer of a whole number.
  char bytes[9] = {static_cast<char>(0xCB)};
  const auto bits = std::bit_cast<std::uint64_t>(value);
  for (int i = 1; i < 9; ++i) bytes[i] = static_cast<char>(bits >> (64 - 8 * i));
  state_->add_text(name);
  state_->buffer.write(bytes, sizeof bytes);
}

void HeaderMapWriter::add_boolean(std::string_view name, bool value) {
  state_->add_text(name);
  value ? state_->packer.pack_true() : state_->packer.pack_false();
}

void HeaderMapWriter::add_word(std::string_view name, std::string_view value) {
  state_->add_text(name);
  state_->add_text(value);
}

void HeaderMapWriter::add_bytes(std::string_view name, std::string_view value) {
  state_->add_text(name);
  state_->packer.pack_bin(static_cast<std::uint32_t>(value.size()));
  state_->packer.pack_bin_body(value.data(), static_cast<std::uint32_t>(value.size()));
}

void HeaderMapWriter::add_fingerprint(std::string_view name, std::string_view digits) {
  const auto bytes = from_hex(digits);
  if (!bytes || (!bytes->empty() && bytes->size() != kFingerprintBytes)) {
    fail_field(name, "of " + quote(digits) + ", expected 64 hexadecimal digits");
  }
  add_bytes(name, {reinterpret_cast<const char*>(bytes->data()), bytes->size()});
}

void HeaderMapWriter::add_provenance(std::string_view name, const Provenance& provenance) {
  auto& packer = state_->packer;
  state_->add_text(name);
  packer.pack_array(static_cast<std::uint32_t>(provenance.size()));
  for (const Stage& stage : provenance) {
    packer.pack_map(3);
    add_word("program", stage.program);
    add_word("version", stage.version);
    state_->add_text("options");
    packer.pack_map(static_cast<std::uint32_t>(stage.options.size()));
    for (const auto& [option, value] : stage.options) add_word(option, value);
  }
}

std::vector<std::byte> HeaderMapWriter::take() {
  const auto bytes = std::as_bytes(std::span(state_->buffer.data(), state_->buffer.size()));
  return {bytes.begin(), bytes.end()};
}

struct HeaderMapReader::State {
  msgpack::object_handle handle;
  std::set<std::string_view> used;

  static void check_keys(const msgpack::object_map& map) {
    std::set<std::string_view> names;
    for (const auto& entry : std::span(map.ptr, map.size)) {
      if (entry.key.type != msgpack::type::STR) fail("has a header with a key that is not a string");
      if (!is_utf8(view_of(entry.key))) fail("has a header with a key that is not UTF-8");
      if (!names.insert(view_of(entry.key)).second) fail("has the field " + quote(view_of(entry.key)) + " twice");
    }
  }

  static const msgpack::object& find(const msgpack::object_map& map, std::string_view name) {
    for (const auto& entry : std::span(map.ptr, map.size)) {
      if (view_of(entry.key) == name) return entry.val;
    }
    fail("has no field " + quote(name));
  }

  const msgpack::object& get(std::string_view name) {
    used.insert(name);
    return find(handle->via.map, name);
  }

  static std::string text(const msgpack::object& value, std::string_view name) {
    if (value.type != msgpack::type::STR) fail_field(name, "that is not a string");
    if (!is_utf8(view_of(value))) fail_field(name, "that is not UTF-8");
    return std::string(view_of(value));
  }

  static const msgpack::object_map& map(const msgpack::object& value, std::string_view name) {
    if (value.type != msgpack::type::MAP) fail_field(name, "that is not a map");
    check_keys(value.via.map);
    return value.via.map;
  }
};

HeaderMapReader::HeaderMapReader(std::span<const std::byte> bytes) : state_(std::make_unique<State>()) {
  std::size_t used = 0;
  bool is_referenced = false;
  try {
    // Strings stay in `bytes`; counts are bounded before anything is made for them.
    state_->handle = msgpack::unpack(
        reinterpret_cast<const char*>(bytes.data()), bytes.size(), used, is_referenced,
        [](msgpack::type::object_type, std::size_t, void*) { return true; }, nullptr,
        msgpack::unpack_limit(kMostMapEntries, kMostMapEntries, kLongestMap, kLongestMap, 0, kDeepestMap));
  } catch (const msgpack::unpack_error&) {
    fail("has a header that is not msgpack within the limits");
  }
  if (used != bytes.size()) fail("has " + std::to_string(bytes.size() - used) + " bytes after its header's map");
  if (state_->handle->type != msgpack::type::MAP) fail("has a header that is not a map");
  State::check_keys(state_->handle->via.map);
}

HeaderMapReader::~HeaderMapReader() = default;

bool HeaderMapReader::has(std::string_view name) const {
  const msgpack::object_map& map = state_->handle->via.map;
  return std::ranges::any_of(std::span(map.ptr, map.size), [&](const auto& entry) { return view_of(entry.key) == name; });
}

std::uint64_t HeaderMapReader::natural(std::string_view name, std::uint64_t least, std::uint64_t most) {
  const msgpack::object& value = state_->get(name);
  if (value.type != msgpack::type::POSITIVE_INTEGER) fail_field(name, "that is not a natural number");
  if (value.via.u64 < least || value.via.u64 > most) {
    fail_field(name,
               "of " + std::to_string(value.via.u64) + ", expected " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value.via.u64;
}

double HeaderMapReader::real(std::string_view name, double least, double most) {
  const msgpack::object& value = state_->get(name);
  if (value.type != msgpack::type::FLOAT64) fail_field(name, "that is not a real number");
  if (!(value.via.f64 >= least && value.via.f64 <= most)) fail_field(name, "out of range");
  return value.via.f64;
}

bool HeaderMapReader::boolean(std::string_view name) {
  const msgpack::object& value = state_->get(name);
  if (value.type != msgpack::type::BOOLEAN) fail_field(name, "that is not true or false");
  return value.via.boolean;
}

std::string HeaderMapReader::word(std::string_view name) {
  std::string text = State::text(state_->get(name), name);
  if (text.empty() || text.size() > kLongestWord) {
    fail_field(name, "of " + std::to_string(text.size()) + " bytes, expected 1 to " + std::to_string(kLongestWord));
  }
  return text;
}

std::string HeaderMapReader::bytes(std::string_view name, std::size_t most) {
  const msgpack::object& value = state_->get(name);
  if (value.type != msgpack::type::BIN) fail_field(name, "that is not bytes");
  if (value.via.bin.size > most) {
    fail_field(name, "of " + std::to_string(value.via.bin.size) + " bytes, expected at most " + std::to_string(most));
  }
  return std::string(value.via.bin.ptr, value.via.bin.size);
}

std::string HeaderMapReader::fingerprint(std::string_view name, bool may_be_empty) {
  const std::string bytes = this->bytes(name, kFingerprintBytes);
  if (bytes.size() != kFingerprintBytes && !(bytes.empty() && may_be_empty)) {
    fail_field(name, "of " + std::to_string(bytes.size()) + " bytes, expected " + std::to_string(kFingerprintBytes));
  }
  return to_hex(std::as_bytes(std::span(bytes)));
}

Provenance HeaderMapReader::provenance(std::string_view name) {
  const msgpack::object& list = state_->get(name);
  if (list.type != msgpack::type::ARRAY) fail_field(name, "that is not a list");
  Provenance provenance;
  for (const msgpack::object& entry : std::span(list.via.array.ptr, list.via.array.size)) {
    const msgpack::object_map& fields = State::map(entry, name);
    if (fields.size != 3) fail_field(name, "with a stage of " + std::to_string(fields.size) + " fields, expected 3");
    Stage stage;
    stage.program = State::text(State::find(fields, "program"), "program");
    stage.version = State::text(State::find(fields, "version"), "version");
    const msgpack::object_map& options = State::map(State::find(fields, "options"), "options");
    for (const auto& option : std::span(options.ptr, options.size)) {
      stage.options.emplace_back(view_of(option.key), State::text(option.val, view_of(option.key)));
    }
    provenance.push_back(std::move(stage));
  }
  return provenance;
}

void HeaderMapReader::finish() {
  const msgpack::object_map& map = state_->handle->via.map;
  for (const auto& entry : std::span(map.ptr, map.size)) {
    const std::string_view name = view_of(entry.key);
    if (!state_->used.contains(name) && !name.starts_with("x-")) fail_field(name, "that this version does not know");
  }
}

}  // namespace uio
