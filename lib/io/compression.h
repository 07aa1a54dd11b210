// zstd frames: content in, content out, nothing else (uio-stream(5), PAYLOADS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace uio {

// Makes zstd frames with their content's size and checksum. The same content and level make the same bytes (with the same
// version of zstd).
class Compressor {
 public:
  // Level 0 stores: stored_bytes() says how much. Level 1 codes entropy only, which suits tensors; higher levels are zstd's own.
  // Throws Error{kUsage} beyond 0 to 22.
  explicit Compressor(int level);
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  // Appends one frame that holds `content`.
  void append_frame(std::span<const std::byte> content, std::vector<std::byte>& to);
  bool stores() const;  // level 0
  // Bytes of the frame that level 0 makes of so many; no level makes more.
  static std::uint64_t stored_bytes(std::uint64_t content);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// How a frame of level 0 lies: its content comes in pieces of kStoredPiece bytes, the last one shorter, the first byte of each kStoredBegin bytes (for the
// first) or kStoredBetween (for the others) behind what is before it. No item of a tensor is cut by that.
inline constexpr std::size_t kStoredPiece = std::size_t{1} << 17, kStoredBegin = 13, kStoredBetween = 3;
// Whether `stored` is such a frame of so many bytes, its checksum aside.
bool is_stored_frame(std::span<const std::byte> stored, std::uint64_t content);

// Takes zstd frames apart.
class Expander {
 public:
  Expander();
  ~Expander();
  Expander(Expander&&) noexcept;
  // Fills `content` from the one frame at the beginning of `stored` and moves `stored` behind it. Throws Damage{kData} unless
  // that frame holds exactly that much, says so, and has a checksum that agrees.
  void expand_frame(std::span<const std::byte>& stored, std::span<std::byte> content);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uio
