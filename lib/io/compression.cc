#include "io/compression.h"

#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <new>
#include <string>

#include "base/endian.h"
#include "base/error.h"
#include "io/damage.h"

namespace uio {
namespace {

constexpr std::uint32_t kZstdMagic = 0xFD2FB528;
constexpr std::size_t kDescriptorAt = 4;
constexpr unsigned kHasChecksum = 4, kHasDictionary = 3;  // bits of the frame header's descriptor (RFC 8878, 3.1.1.1.1)

// A stored frame: magic, descriptor (a length of four bytes, a checksum), window, length; raw blocks; checksum.
constexpr unsigned kStoredDescriptor = 0x84, kStoredWindow = (17 - 10) << 3;
constexpr std::size_t kStoredHeader = 10, kBlockHeader = 3, kStoredChecksum = 4;
constexpr std::size_t kLargestBlock = kStoredPiece;  // of the window, 2^17 bytes
static_assert(kStoredBegin == kStoredHeader + kBlockHeader && kStoredBetween == kBlockHeader);

void append_stored(std::span<const std::byte> content, std::vector<std::byte>& to) {
  std::size_t at = to.size();
  to.resize(at + Compressor::stored_bytes(content.size()));
  store_le<std::uint32_t>(&to[at], kZstdMagic);
  to[at + 4] = std::byte{kStoredDescriptor};
  to[at + 5] = std::byte{kStoredWindow};
  store_le(&to[at + 6], static_cast<std::uint32_t>(content.size()));
  at += kStoredHeader;
  const auto sum = static_cast<std::uint32_t>(XXH64(content.data(), content.size(), 0));
  bool is_last = false;
  while (!is_last) {
    const auto block = content.first(std::min(content.size(), kLargestBlock));
    content = content.subspan(block.size());
    is_last = content.empty();
    const auto header = static_cast<std::uint32_t>(block.size() << 3 | is_last);  // its type, in the two bits between, is 0: raw
    for (std::size_t i = 0; i < kBlockHeader; ++i) to[at++] = static_cast<std::byte>(header >> 8 * i);
    std::ranges::copy(block, to.begin() + static_cast<std::ptrdiff_t>(at));
    at += block.size();
  }
  store_le(&to[at], sum);
}

void require(std::size_t result) {
  if (ZSTD_isError(result)) throw Error(ErrorKind::kInternal, "cannot compress", "", ZSTD_getErrorName(result));
}

}  // namespace

struct Compressor::State {
  explicit State(bool stores) : context(stores ? nullptr : ZSTD_createCCtx()) {
    if (!stores && context == nullptr) throw std::bad_alloc();
  }
  ~State() { ZSTD_freeCCtx(context); }
  ZSTD_CCtx* context;  // null: level 0
};

Compressor::Compressor(int level) : state_(std::make_unique<State>(level == 0)) {
  if (level < 0 || level > ZSTD_maxCLevel()) {
    throw Error(ErrorKind::kUsage, "bad compression level", std::to_string(level),
                "expected 0 to " + std::to_string(ZSTD_maxCLevel()));
  }
  if (level == 0) return;
  const auto set = [&](ZSTD_cParameter parameter, int value) {
    require(ZSTD_CCtx_setParameter(state_->context, parameter, value));
  };
  set(ZSTD_c_compressionLevel, level);
  set(ZSTD_c_checksumFlag, 1);
  if (level == 1) {
    // A search for repeats finds next to none in tensors, costs most of the time and even hurts the coding; the smallest
    // table that zstd allows all but switches it off.
    set(ZSTD_c_strategy, ZSTD_fast);
    set(ZSTD_c_minMatch, 7);
    set(ZSTD_c_hashLog, 6);
  }
}

Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;

void Compressor::append_frame(std::span<const std::byte> content, std::vector<std::byte>& to) {
  if (state_->context == nullptr) return append_stored(content, to);
  const std::size_t begin = to.size(), room = ZSTD_compressBound(content.size());
  to.resize(begin + room);
  const std::size_t size = ZSTD_compress2(state_->context, to.data() + begin, room, content.data(), content.size());
  require(size);
  to.resize(begin + size);
}

bool Compressor::stores() const { return state_->context == nullptr; }

std::uint64_t Compressor::stored_bytes(std::uint64_t content) {
  const std::uint64_t blocks = std::max<std::uint64_t>(1, (content + kLargestBlock - 1) / kLargestBlock);
  return kStoredHeader + content + blocks * kBlockHeader + kStoredChecksum;
}

bool is_stored_frame(std::span<const std::byte> stored, std::uint64_t content) {
  if (content > ~std::uint32_t{0} || stored.size() != Compressor::stored_bytes(content)) return false;
  if (load_le<std::uint32_t>(stored.data()) != kZstdMagic || stored[4] != std::byte{kStoredDescriptor} || stored[5] != std::byte{kStoredWindow} ||
      load_le<std::uint32_t>(&stored[6]) != content)
    return false;
  std::size_t at = kStoredHeader;
  for (bool is_last = false; !is_last;) {
    const std::size_t size = std::min<std::uint64_t>(content, kLargestBlock);
    content -= size;
    is_last = content == 0;
    const auto header = static_cast<std::uint32_t>(size << 3 | is_last);
    for (std::size_t i = 0; i < kBlockHeader; ++i)
      if (stored[at + i] != static_cast<std::byte>(header >> 8 * i)) return false;
    at += kBlockHeader + size;
  }
  return true;
}

struct Expander::State {
  State() : context(ZSTD_createDCtx()) {
    if (context == nullptr) throw std::bad_alloc();
  }
  ~State() { ZSTD_freeDCtx(context); }
  ZSTD_DCtx* context;
};

Expander::Expander() : state_(std::make_unique<State>()) {}
Expander::~Expander() = default;
Expander::Expander(Expander&&) noexcept = default;

void Expander::expand_frame(std::span<const std::byte>& stored, std::span<std::byte> content) {
  const auto fail = [](const std::string& reason) { throw Damage{ErrorKind::kData, "has a payload that " + reason}; };
  if (stored.size() <= kDescriptorAt || load_le<std::uint32_t>(stored.data()) != kZstdMagic) fail("is not a zstd frame");
  const unsigned descriptor = std::to_integer<unsigned>(stored[kDescriptorAt]);
  if ((descriptor & kHasChecksum) == 0 || (descriptor & kHasDictionary) != 0) fail("lacks a checksum or needs a dictionary");
  const std::size_t frame = ZSTD_findFrameCompressedSize(stored.data(), stored.size());
  if (ZSTD_isError(frame)) fail("is not a whole zstd frame");
  const unsigned long long declared = ZSTD_getFrameContentSize(stored.data(), frame);
  if (declared != content.size()) {
    const bool is_known = declared != ZSTD_CONTENTSIZE_UNKNOWN && declared != ZSTD_CONTENTSIZE_ERROR;
    fail("decodes to " + (is_known ? std::to_string(declared) : "an unknown number of") + " bytes, expected " +
         std::to_string(content.size()));
  }
  const std::size_t size = ZSTD_decompressDCtx(state_->context, content.data(), content.size(), stored.data(), frame);
  if (ZSTD_isError(size)) fail(std::string("cannot be decoded (") + ZSTD_getErrorName(size) + ")");
  if (size != content.size()) {
    fail("decodes to " + std::to_string(size) + " bytes, expected " + std::to_string(content.size()));
  }
  stored = stored.subspan(frame);
}

}  // namespace uio
