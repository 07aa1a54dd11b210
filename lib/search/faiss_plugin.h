// What the core asks of libuio_faiss.so. Plain C functions: FAISS stays behind them, its symbols its own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace uio {

struct FaissApi {
  int version;
  // Each returns null, or what went wrong (a static buffer). Matrices are by rows.
  // k-means: `count` centroids [count, d] of x [n, d], n ≥ count.
  const char* (*cluster)(std::int64_t d, std::int64_t n, const float* x, std::int64_t count, std::uint64_t seed, float* centroids);
  // A product quantiser of `parts` numbers of 8 bits: its books [parts, 256, d / parts], of x [n, d], n ≥ 256; and the codes [n, parts] of x.
  const char* (*make_books)(std::int64_t d, std::int64_t n, const float* x, std::int64_t parts, std::uint64_t seed, float* books);
  const char* (*encode)(std::int64_t d, std::int64_t n, const float* x, std::int64_t parts, const float* books, std::uint8_t* codes);
  // Links each of the keys x [n, d], n < 2^31, to near ones, by distance: `links` [n, count], −1 behind the last; `count` is even.
  const char* (*link)(std::int64_t d, std::int64_t n, const float* x, std::int64_t count, std::int32_t* links);
  const char* (*library)();  // "FAISS 1.7.3"
};
inline constexpr int kFaissApiVersion = 2;

}  // namespace uio

// The one symbol of the plugin.
extern "C" const uio::FaissApi* uio_faiss_api();
