#include "io/compression.h"

#include <zstd.h>

#include "io/damage.h"
#include "unit/io/samples.h"

using namespace uio;
using namespace uio::test;

namespace {

std::vector<std::byte> compressed(std::string_view content, int level = 1) {
  std::vector<std::byte> frame;
  Compressor(level).append_frame(as_bytes(content), frame);
  return frame;
}

bool expands(std::span<const std::byte> stored, std::size_t size) {
  std::vector<std::byte> content(size);
  try {
    Expander().expand_frame(stored, content);
    return stored.empty();
  } catch (const Damage&) {
    return false;
  }
}

}  // namespace

TEST_CASE("frames come back one after another") {
  Compressor compressor(1);
  std::vector<std::byte> stored;
  const std::string a(1000, 'a'), b = "short";
  compressor.append_frame(as_bytes(a), stored);
  compressor.append_frame(as_bytes(b), stored);
  std::span<const std::byte> rest = stored;
  Expander expander;
  std::vector<std::byte> content(a.size());
  expander.expand_frame(rest, content);
  CHECK(std::memcmp(content.data(), a.data(), a.size()) == 0);
  content.resize(b.size());
  expander.expand_frame(rest, content);
  CHECK(std::memcmp(content.data(), b.data(), b.size()) == 0);
  CHECK(rest.empty());
}

TEST_CASE("a frame of another size, without checksum or size, cut, or no frame at all is refused") {
  const std::string text = "the same text, the same text, the same text";
  const auto good = compressed(text);
  CHECK(expands(good, text.size()));
  CHECK(!expands(good, text.size() - 1));
  CHECK(!expands(good, text.size() + 1));
  for (std::size_t size = 0; size < good.size(); ++size) CHECK(!expands(std::span(good).first(size), text.size()));
  CHECK(!expands(as_bytes(std::string("\x50\x2a\x4d\x18\0\0\0\0", 8)), 0));

  std::vector<std::byte> bare(200);
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0);
  bare.resize(ZSTD_compress2(context, bare.data(), bare.size(), text.data(), text.size()));
  CHECK(!expands(bare, text.size()));
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  bare.resize(200);
  bare.resize(ZSTD_compress2(context, bare.data(), bare.size(), text.data(), text.size()));
  CHECK(!expands(bare, text.size()));
  ZSTD_freeCCtx(context);
}

TEST_CASE("level 0 stores, in frames that zstd reads, of the size that is known before; no other level makes more") {
  for (const std::size_t size : {0, 1, 255, 256, 65791, 131071, 131072, 131073, 262144, 300000}) {
    std::string content(size, 0);
    std::uint32_t state = 1;
    for (char& c : content) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    const auto stored = compressed(content, 0);
    CAPTURE(size);
    CHECK(stored.size() == Compressor::stored_bytes(size));
    CHECK(expands(stored, size));
    std::string back(size, 1);
    CHECK(ZSTD_decompress(back.data(), size, stored.data(), stored.size()) == size);
    CHECK(back == content);
    for (const int level : {1, 3, 9, 19}) CHECK(compressed(content, level).size() <= stored.size());
    if (size == 0) continue;
    for (const std::size_t at : {stored.size() - 1, stored.size() / 2, std::size_t{13}}) {
      auto flipped = stored;
      flipped[at] ^= std::byte{4};
      CHECK(!expands(flipped, size));
    }
  }
}

TEST_CASE("levels beyond zstd's are misuse") {
  CHECK(status_of([] { Compressor(-1); }) == 2);
  CHECK(status_of([] { Compressor(0); }) == 0);
  CHECK(status_of([] { Compressor(23); }) == 2);
  CHECK(status_of([] { Compressor(22); }) == 0);
}
