// The msgpack map in a frame's header: written field by field, read with every field checked for its type and range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/record.h"

namespace uio {

// Writes one map; the number of fields is known first, as msgpack wants it.
class HeaderMapWriter {
 public:
  explicit HeaderMapWriter(std::uint32_t fields);
  ~HeaderMapWriter();
  void add_natural(std::string_view name, std::uint64_t value);
  // Not NaN.
  void add_real(std::string_view name, double value);
  void add_boolean(std::string_view name, bool value);
  void add_word(std::string_view name, std::string_view value);
  void add_bytes(std::string_view name, std::string_view value);
  // 64 hexadecimal digits, stored as 32 bytes; the empty string as none. Throws Damage for anything else.
  void add_fingerprint(std::string_view name, std::string_view digits);
  void add_provenance(std::string_view name, const Provenance& provenance);
  std::vector<std::byte> take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads one map. Every function throws Damage{kData} naming the field that is missing, of another type or out of range.
class HeaderMapReader {
 public:
  // Refuses bytes that are not exactly one map with strings as keys, each once. The bytes stay alive.
  explicit HeaderMapReader(std::span<const std::byte> bytes);
  ~HeaderMapReader();
  // Whether there is such a field: for those that may be absent.
  bool has(std::string_view name) const;
  std::uint64_t natural(std::string_view name, std::uint64_t least, std::uint64_t most);
  // A 64-bit floating-point number.
  double real(std::string_view name, double least, double most);
  bool boolean(std::string_view name);
  // A non-empty UTF-8 string of at most kLongestWord bytes.
  std::string word(std::string_view name);
  std::string bytes(std::string_view name, std::size_t most);
  // 64 hexadecimal digits, or "" where the field may be empty and is.
  std::string fingerprint(std::string_view name, bool may_be_empty = false);
  Provenance provenance(std::string_view name);
  // Refuses fields that nobody asked for, unless their names begin with `x-`: those carry remarks.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uio
