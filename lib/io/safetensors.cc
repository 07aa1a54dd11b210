#include "io/safetensors.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

#include "base/endian.h"
#include "base/error.h"
#include "base/quote.h"
#include "base/utf8_sequence.h"
#include "io/json.h"

namespace uio {
namespace {

constexpr std::uint64_t kLongestHeader = 100'000'000;
constexpr std::uint64_t kLengthBytes = 8;

// Bits of one item; 0 for a name that the format does not have.
unsigned item_bits(std::string_view dtype) {
  static const std::map<std::string_view, unsigned> bits = {
      {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},    {"F8_E4M3", 8},
      {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16}, {"BF16", 16}, {"I32", 32},
      {"U32", 32},    {"F32", 32},    {"I64", 64},    {"U64", 64},    {"F64", 64}, {"C64", 64},
  };
  const auto found = bits.find(dtype);
  return found == bits.end() ? 0 : found->second;
}

struct Range {
  std::uint64_t begin, end;
  const std::string* name;
};

// Checks one header against the bytes behind it.
class HeaderReader {
 public:
  HeaderReader(const std::string& path, std::span<const std::byte> bytes) : path_(path), bytes_(bytes) {}

  SafetensorsContent read() {
    const Json header = parse_header();
    std::vector<Range> ranges;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        read_metadata(entry);
      } else {
        const auto at = content_.tensors.emplace(name, TensorView()).first;
        ranges.push_back(read_entry(at->first, entry, at->second));
      }
    }
    check_tiling(ranges);
    return std::move(content_);
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const { throw Error(ErrorKind::kData, "cannot read", path_, reason); }
  [[noreturn]] void fail(const std::string& tensor, const std::string& reason) const {
    fail("tensor " + quote(tensor) + " " + reason);
  }

  Json parse_header() {
    if (bytes_.size() < kLengthBytes) {
      fail("ends early (need " + std::to_string(kLengthBytes) + " bytes, found " + std::to_string(bytes_.size()) + ")");
    }
    const std::uint64_t length = load_le<std::uint64_t>(bytes_.data());
    if (length > kLongestHeader) {
      fail("header is " + std::to_string(length) + " bytes long, at most " + std::to_string(kLongestHeader) + " are allowed");
    }
    if (length > bytes_.size() - kLengthBytes) {
      fail("header ends early (need " + std::to_string(length) + " bytes, found " +
           std::to_string(bytes_.size() - kLengthBytes) + ")");
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes, length);
    if (!text.starts_with('{')) fail("header does not begin with '{'");
    data_ = bytes_.subspan(kLengthBytes + length);
    return parse_json(text, path_);
  }

  void read_metadata(const Json& metadata) {
    if (!metadata.is_object()) fail("__metadata__ is not an object");
    for (const auto& [key, value] : metadata.items()) {
      if (!value.is_string()) fail("__metadata__ entry " + quote(key) + " is not a string");
      content_.metadata[key] = value;
    }
  }

  Range read_entry(const std::string& name, const Json& entry, TensorView& tensor) const {
    if (!entry.is_object()) fail(name, "is not described by an object");
    for (const auto& [key, value] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") fail(name, "has the unknown key " + quote(key));
    }
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!entry.contains(key)) fail(name, std::string("has no ") + key);
    }
    if (!entry["dtype"].is_string()) fail(name, "has a dtype that is not a string");
    tensor.dtype = entry["dtype"];
    tensor.shape = read_shape(name, entry["shape"]);
    const Range range = read_offsets(name, entry["data_offsets"]);
    const std::uint64_t needed = needed_bytes(name, tensor);
    if (range.end - range.begin != needed) {
      fail(name, "has " + std::to_string(range.end - range.begin) + " bytes, its shape " + entry["shape"].dump() + " of " +
                     tensor.dtype + " needs " + std::to_string(needed));
    }
    tensor.bytes = data_.subspan(range.begin, needed);
    return range;
  }

  std::vector<std::int64_t> read_shape(const std::string& name, const Json& list) const {
    if (!list.is_array()) fail(name, "has a shape that is not a list");
    std::vector<std::int64_t> shape;
    for (const Json& size : list) {
      if (!size.is_number_unsigned() || size.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
        fail(name, "has the impossible size " + size.dump() + " in its shape");
      }
      shape.push_back(size.get<std::int64_t>());
    }
    return shape;
  }

  std::uint64_t needed_bytes(const std::string& name, const TensorView& tensor) const {
    try {
      return tensor_bytes(tensor.dtype, tensor.shape);
    } catch (const Damage& damage) {
      fail(name, damage.reason);
    }
  }

  Range read_offsets(const std::string& name, const Json& list) const {
    if (!list.is_array() || list.size() != 2 || !list[0].is_number_unsigned() || !list[1].is_number_unsigned()) {
      fail(name, "has data_offsets that are not two natural numbers");
    }
    const Range range{list[0], list[1], &name};
    if (range.begin > range.end || range.end > data_.size()) {
      fail(name, "has data_offsets " + list.dump() + " outside the file's " + std::to_string(data_.size()) + " data bytes");
    }
    return range;
  }

  // In order of their offsets the tensors must cover the data exactly: no hole, no overlap, no byte behind the last.
  void check_tiling(std::vector<Range>& ranges) const {
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
      return std::tie(a.begin, a.end, *a.name) < std::tie(b.begin, b.end, *b.name);
    });
    std::uint64_t expected = 0;
    for (const Range& range : ranges) {
      if (range.begin != expected) {
        fail(*range.name, std::string(range.begin < expected ? "overlaps another" : "leaves a hole before it") +
                              " (begins at " + std::to_string(range.begin) + ", expected " + std::to_string(expected) + ")");
      }
      expected = range.end;
    }
    if (expected != data_.size()) {
      fail("has " + std::to_string(data_.size() - expected) + " bytes after its last tensor");
    }
  }

  const std::string& path_;
  std::span<const std::byte> bytes_, data_;
  SafetensorsContent content_;
};

// A string as JSON text; names that are not UTF-8 cannot be written.
std::string json_string(const std::string& text, const Sink& sink) {
  if (!is_utf8(text))
    throw Error(ErrorKind::kData, "cannot write", sink.name(), "tensor name " + quote(text) + " is not UTF-8");
  return Json(text).dump();
}

}  // namespace

std::uint64_t tensor_bytes(const std::string& dtype, std::span<const std::int64_t> shape) {
  const unsigned bits = item_bits(dtype);
  if (bits == 0) throw Damage{ErrorKind::kData, "has the unknown dtype " + quote(dtype)};
  // Every product is checked, as in the reference reader: a later zero does not excuse an overflow.
  std::uint64_t total = 1;
  bool overflows = false;
  for (const std::int64_t size : shape) {
    overflows = overflows || __builtin_mul_overflow(total, static_cast<std::uint64_t>(size), &total);
  }
  overflows = overflows || __builtin_mul_overflow(total, std::uint64_t{bits}, &total);
  if (overflows) throw Damage{ErrorKind::kData, "has a shape whose size overflows"};
  if (total % 8 != 0)
    throw Damage{ErrorKind::kData, "has a size of " + std::to_string(total) + " bits, which is not whole bytes"};
  return total / 8;
}

SafetensorsContent parse_safetensors(std::span<const std::byte> file, const std::string& name) {
  return HeaderReader(name, file).read();
}

SafetensorsWriter::SafetensorsWriter(Sink& sink, std::vector<Entry> entries, const std::map<std::string, std::string>& metadata)
    : sink_(sink) {
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + Json(metadata).dump() + (entries.empty() ? "" : ",");
  std::set<std::string_view> names;
  for (const Entry& entry : entries) {
    if (!names.insert(entry.name).second) {
      throw Error(ErrorKind::kData, "cannot write", sink.name(), "two tensors have the name " + quote(entry.name));
    }
    if (names.size() > 1) header += ",";
    header += json_string(entry.name, sink) + ":{\"dtype\":\"" + entry.dtype + "\",\"shape\":" + Json(entry.shape).dump() +
              ",\"data_offsets\":[" + std::to_string(expected_) + "," + std::to_string(expected_ + entry.bytes) + "]}";
    expected_ += entry.bytes;
  }
  header += "}";
  // Padded so that the data begins at a multiple of 8, where a reader may map it.
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > kLongestHeader) {
    throw Error(ErrorKind::kData, "cannot write", sink.name(), "the names of its tensors take more than 100 MB");
  }
  std::byte length[kLengthBytes];
  store_le<std::uint64_t>(length, header.size());
  sink_.write(std::span<const std::byte>(length));
  sink_.write(std::string_view(header));
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  written_ += bytes.size();
  sink_.write(bytes);
}

void SafetensorsWriter::finish() {
  if (written_ != expected_) {
    throw Error(ErrorKind::kInternal, "cannot write", sink_.name(),
                "declared " + std::to_string(expected_) + " bytes of tensors, wrote " + std::to_string(written_));
  }
}

}  // namespace uio
