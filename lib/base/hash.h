// Fingerprints (SHA-256, for identity) and checksums (XXH3, for damage).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace uio {

// SHA-256 of everything added so far. Not thread-safe; cheap to make.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void add(std::span<const std::byte> bytes);
  // Adds the length (8 bytes, little endian), then the bytes: fields cannot run into each other.
  void add_field(std::string_view field);
  // 64 lower-case hexadecimal digits. The hasher is spent afterwards.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);

// XXH3-64 of `bytes`: finds damage, proves nothing about origin.
std::uint64_t checksum(std::span<const std::byte> bytes);

// XXH3-64 in pieces.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;
  void add(std::span<const std::byte> bytes);
  std::uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// XXH3-128 in pieces: for files so large that 64 bits are few.
class WideChecksum {
 public:
  WideChecksum();
  ~WideChecksum();
  WideChecksum(const WideChecksum&) = delete;
  WideChecksum& operator=(const WideChecksum&) = delete;
  // Adds the length (8 bytes, little endian), then the bytes: fields cannot run into each other.
  void add_field(std::span<const std::byte> field);
  void add_field(std::string_view field) { add_field(std::as_bytes(std::span(field))); }
  // 32 lower-case hexadecimal digits.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uio
