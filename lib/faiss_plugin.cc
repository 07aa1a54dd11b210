// libuio_faiss.so: the part that knows FAISS; see search/faiss_plugin.h. Loaded to make an index, never to read one. Its BLAS is LibTorch's.
#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/impl/ProductQuantizer.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <exception>

#include "search/faiss_plugin.h"

namespace {

constexpr int kRounds = 10;        // of k-means: FAISS's own choice for lists
constexpr int kMostPoints = 1 << 9;  // that a centroid is made of; callers draw fewer
constexpr int kDepth = 64;         // keys that are held at once while links are made

template <typename Work>
const char* guarded(const Work& work) {
  static char text[512];
  try {
    work();
    return nullptr;
  } catch (const std::exception& failure) {
    std::snprintf(text, sizeof text, "%s", failure.what());
  } catch (...) {
    std::snprintf(text, sizeof text, "unknown exception");
  }
  return text;
}

const char* cluster(std::int64_t d, std::int64_t n, const float* x, std::int64_t count, std::uint64_t seed, float* centroids) {
  return guarded([&] {
    faiss::ClusteringParameters parameters;
    parameters.niter = kRounds;
    parameters.seed = static_cast<int>(seed & 0x7fffffff);
    parameters.min_points_per_centroid = 1;  // no warning on standard error
    parameters.max_points_per_centroid = kMostPoints;
    faiss::Clustering clustering(static_cast<int>(d), static_cast<int>(count), parameters);
    faiss::IndexFlatL2 index(d);
    clustering.train(n, x, index);
    std::copy(clustering.centroids.begin(), clustering.centroids.end(), centroids);
  });
}

const char* make_books(std::int64_t d, std::int64_t n, const float* x, std::int64_t parts, std::uint64_t seed, float* books) {
  return guarded([&] {
    faiss::ProductQuantizer quantiser(static_cast<std::size_t>(d), static_cast<std::size_t>(parts), 8);
    quantiser.cp.seed = static_cast<int>(seed & 0x7fffffff);
    quantiser.cp.min_points_per_centroid = 1;
    quantiser.train(static_cast<int>(n), x);
    std::copy(quantiser.centroids.begin(), quantiser.centroids.end(), books);
  });
}

const char* encode(std::int64_t d, std::int64_t n, const float* x, std::int64_t parts, const float* books, std::uint8_t* codes) {
  return guarded([&] {
    faiss::ProductQuantizer quantiser(static_cast<std::size_t>(d), static_cast<std::size_t>(parts), 8);
    std::copy(books, books + quantiser.centroids.size(), quantiser.centroids.begin());
    quantiser.compute_codes(x, codes, static_cast<std::size_t>(n));
  });
}

// The lowest level of an HNSW graph (arXiv 1603.09320), which has all keys and twice the links of the others. One thread: with several the links depend on
// which comes first, and the same keys would not give the same bytes.
const char* link(std::int64_t d, std::int64_t n, const float* x, std::int64_t count, std::int32_t* links) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const char* failure = guarded([&] {
    faiss::IndexHNSWFlat index(static_cast<int>(d), static_cast<int>(count / 2));
    index.hnsw.efConstruction = kDepth;
    index.add(n, x);
    const faiss::HNSW& graph = index.hnsw;
    for (std::int64_t key = 0; key < n; ++key, links += count) std::copy_n(graph.neighbors.begin() + static_cast<std::ptrdiff_t>(graph.offsets[static_cast<std::size_t>(key)]), count, links);
  });
  omp_set_num_threads(threads);
  return failure;
}

const char* library() {
  static char text[32];
  std::snprintf(text, sizeof text, "FAISS %d.%d.%d", FAISS_VERSION_MAJOR, FAISS_VERSION_MINOR, FAISS_VERSION_PATCH);
  return text;
}

constexpr uio::FaissApi kApi = {uio::kFaissApiVersion, cluster, make_books, encode, link, library};

}  // namespace

extern "C" const uio::FaissApi* uio_faiss_api() { return &kApi; }
