#include "io/compression.h"

#include <zstd.h>

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

void require(std::size_t result) {
  if (ZSTD_isError(result)) throw Error(ErrorKind::kInternal, "cannot compress", "", ZSTD_getErrorName(result));
}

}  // namespace

struct Compressor::State {
  State() : context(ZSTD_createCCtx()) {
    if (context == nullptr) throw std::bad_alloc();
  }
  ~State() { ZSTD_freeCCtx(context); }
  ZSTD_CCtx* context;
};

Compressor::Compressor(int level) : state_(std::make_unique<State>()) {
  if (level < 1 || level > ZSTD_maxCLevel()) {
    throw Error(ErrorKind::kUsage, "bad compression level", std::to_string(level),
                "expected 1 to " + std::to_string(ZSTD_maxCLevel()));
  }
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
  const std::size_t begin = to.size(), room = ZSTD_compressBound(content.size());
  to.resize(begin + room);
  const std::size_t size = ZSTD_compress2(state_->context, to.data() + begin, room, content.data(), content.size());
  require(size);
  to.resize(begin + size);
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
