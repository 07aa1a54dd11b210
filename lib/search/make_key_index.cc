#include "search/make_key_index.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/plugin.h"
#include "io/key_index_file.h"
#include "kernels/products.h"
#include "kernels/rows.h"
#include "search/faiss_plugin.h"
#include "search/widen.h"

namespace uio {
namespace {

constexpr std::int64_t kRowsAtOnce = 1 << 13;  // read, assigned and encoded
constexpr std::int64_t kLinks = 32;            // of hnsw
constexpr std::int64_t kPointsAList = 64;      // keys that a centroid is made of, at most
constexpr std::int64_t kBookKeys = 1 << 16;    // keys that the books are made of, at most
constexpr std::int64_t kFewestBookKeys = 256;

const FaissApi& faiss() {
  static const Plugin plugin = open_plugin("libuio_faiss.so", Symbols::kOwn);
  const std::string hint = "install FAISS (libfaiss-dev) and build uio with it; --index flat and sq8 need none";
  if (plugin.handle == nullptr) throw Error(ErrorKind::kDevice, "this index needs FAISS", "", "built without it, or its library is missing: " + plugin.reason, hint);
  const auto get_api = reinterpret_cast<decltype(&uio_faiss_api)>(symbol_of(plugin, "uio_faiss_api"));
  const FaissApi* api = get_api ? get_api() : nullptr;
  if (api == nullptr || api->version != kFaissApiVersion) throw Error(ErrorKind::kDevice, "this index needs FAISS", "", "libuio_faiss.so is of another version", hint);
  return *api;
}

void check(const char* failure) {
  if (failure != nullptr) throw Error(ErrorKind::kInternal, "FAISS failed", "", failure);
}

// The keys of one layer and head, as f32.
class Keys {
 public:
  Keys(const StoredRows& rows, std::int64_t layer, std::int64_t head)
      : rows_(rows), layer_(layer), head_(head), raw_(static_cast<std::size_t>(kRowsAtOnce * rows.head_size()) * item_bytes(rows.dtype())) {}
  std::int64_t count() const { return rows_.count(); }
  std::int64_t size() const { return rows_.head_size(); }

  // Rows [begin, begin + count), of which there are at most kRowsAtOnce. Throws Error{kData} for one that is not finite.
  void read(std::int64_t begin, std::int64_t count, float* to) {
    const std::int64_t items = count * size();
    const std::span<std::byte> raw = std::span(raw_).first(static_cast<std::size_t>(items) * item_bytes(rows_.dtype()));
    rows_.copy(Side::kKeys, layer_, head_, begin, count, raw);
    widen(raw.data(), rows_.dtype(), items, to);
    for (std::int64_t i = 0; i < items; ++i)
      if (!std::isfinite(to[i]))
        throw Error(ErrorKind::kData, "keys cannot be indexed", rows_.path(),
                    "key " + std::to_string(begin + i / size()) + " of layer " + std::to_string(layer_) + ", head " + std::to_string(head_) + " is not finite");
  }

  // `count` keys that are spread evenly over all, or all where there are no more.
  std::vector<float> sample(std::int64_t count) {
    count = std::min(count, this->count());
    std::vector<float> keys(static_cast<std::size_t>(count * size()));
    for (std::int64_t i = 0; i < count; ++i) read(static_cast<std::int64_t>(static_cast<double>(i) * static_cast<double>(this->count()) / static_cast<double>(count)), 1, keys.data() + i * size());
    return keys;
  }

  // Calls visit(begin, count, keys) for all in order.
  template <typename Visit>
  void each(const Visit& visit) {
    std::vector<float> keys(static_cast<std::size_t>(kRowsAtOnce * size()));
    for (std::int64_t begin = 0; begin < count(); begin += kRowsAtOnce) {
      const std::int64_t some = std::min(kRowsAtOnce, count() - begin);
      read(begin, some, keys.data());
      visit(begin, some, keys.data());
    }
  }

 private:
  const StoredRows& rows_;
  std::int64_t layer_, head_;
  std::vector<std::byte> raw_;
};

// The list of each of `count` keys: that of the nearest centroid, by distance.
void assign(const float* keys, std::int64_t count, std::int64_t size, const std::vector<float>& centroids, const std::vector<float>& halves, std::uint32_t* lists) {
  constexpr std::int64_t kAtOnce = 128;
  const auto total = static_cast<std::int64_t>(halves.size());
  at::parallel_for(0, (count + kAtOnce - 1) / kAtOnce, 1, [&](std::int64_t first, std::int64_t last) {
    const kernels::SequentialProducts alone;
    std::vector<float> scores(static_cast<std::size_t>(kAtOnce * total));
    for (std::int64_t begin = first * kAtOnce; begin < std::min(count, last * kAtOnce); begin += kAtOnce) {
      const std::int64_t some = std::min(kAtOnce, count - begin);
      kernels::multiply(some, total, size, 1, {keys + begin * size, size}, {centroids.data(), size, true}, 0, scores.data(), total);
      for (std::int64_t i = 0; i < some; ++i) {
        const float* const row = scores.data() + i * total;
        std::int64_t best = 0;
        for (std::int64_t j = 1; j < total; ++j)
          if (row[j] - halves[static_cast<std::size_t>(j)] > row[best] - halves[static_cast<std::size_t>(best)]) best = j;
        lists[begin + i] = static_cast<std::uint32_t>(best);
      }
    }
  });
}

// Half of each centroid's square.
std::vector<float> halves_of(const std::vector<float>& centroids, std::int64_t size) {
  std::vector<float> halves;
  for (std::size_t at = 0; at < centroids.size(); at += static_cast<std::size_t>(size)) halves.push_back(kernels::row_kernels().dot(&centroids[at], &centroids[at], size) / 2);
  return halves;
}

// Keys as whole numbers times a scale each: those of the keys from `begin` on.
template <typename Byte>
void round(const float* keys, std::int64_t count, std::int64_t size, std::int64_t begin, Byte* codes, float* scales) {
  for (std::int64_t i = 0; i < count; ++i)
    scales[begin + i] = kernels::row_kernels().round_i8(keys + i * size, reinterpret_cast<std::int8_t*>(codes) + (begin + i) * size, size);
}

// One index in the making.
class Making {
 public:
  Making(const IndexJob& job, const StoredMemory& stored, Sink& sink) : job_(job), rows_(stored.rows), header_(header_of(job, stored)), writer_(sink, header_) {}

  void run(Host& host) {
    for (std::uint32_t layer = 0; layer < header_.layers; ++layer)
      for (std::uint32_t head = 0; head < header_.heads; ++head) {
        layer_ = layer, head_ = head;
        Keys keys(rows_, layer, head);
        if (header_.kind == "hnsw") make_links(keys);
        else if (header_.kind != "flat") make_lists(keys);
        host.progress(layer * header_.heads + head + 1, header_.layers * header_.heads, "heads");
      }
    writer_.finish();
  }

 private:
  static KeyIndexHeader header_of(const IndexJob& job, const StoredMemory& stored) {
    const StoredRows& rows = stored.rows;
    KeyIndexHeader header;
    header.kind = job.kind;
    header.blob = stored.fingerprint;
    header.rows = static_cast<std::uint64_t>(rows.count());
    header.layers = static_cast<std::uint32_t>(rows.layers());
    header.heads = static_cast<std::uint32_t>(rows.heads());
    header.head_size = static_cast<std::uint32_t>(rows.head_size());
    const double most = static_cast<double>(header.rows) / 8;  // a list of few keys costs more than it saves
    if (job.kind == "ivf" || job.kind == "ivfpq")
      header.lists = static_cast<std::uint32_t>(std::max(1.0, std::min(most, std::round(4 * std::sqrt(static_cast<double>(header.rows))))));
    if (job.kind == "ivfpq") {
      if (rows.count() < kFewestBookKeys)
        throw Error(ErrorKind::kUsage, "too few keys for this index", rows.path(), std::to_string(rows.count()) + ", ivfpq needs " + std::to_string(kFewestBookKeys));
      header.parts = header.head_size;  // a byte for two numbers of a key, where their number is even
      while (header.parts > 1 && (header.head_size % header.parts != 0 || header.head_size / header.parts < 2)) --header.parts;
    }
    if (job.kind == "hnsw") header.links = kLinks;
    return header;
  }

  template <typename T>
  void add(KeyArray array, const std::vector<T>& items) {
    writer_.add(layer_, head_, array, std::span<const T>(items));
  }

  void make_lists(Keys& keys) {
    const std::int64_t rows = keys.count(), size = keys.size(), lists = header_.lists, parts = header_.parts;
    std::vector<float> centroids(static_cast<std::size_t>(lists * size)), halves, books;
    if (lists > 0) {
      const std::vector<float> sample = keys.sample(lists * kPointsAList);
      check(faiss().cluster(size, static_cast<std::int64_t>(sample.size()) / size, sample.data(), lists, job_.choice.seed, centroids.data()));
      halves = halves_of(centroids, size);
    }
    if (parts > 0) books = make_books(keys, centroids, halves);

    // Codes in the order of the blob, then lists behind each other.
    const std::int64_t code = parts > 0 ? parts : size;
    std::vector<std::uint32_t> list(static_cast<std::size_t>(lists > 0 ? rows : 0));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * code));
    std::vector<float> scales(static_cast<std::size_t>(parts > 0 ? 0 : rows));
    keys.each([&](std::int64_t begin, std::int64_t count, float* block) {
      if (lists > 0) assign(block, count, size, centroids, halves, &list[static_cast<std::size_t>(begin)]);
      if (parts > 0) {
        subtract(block, count, size, centroids, &list[static_cast<std::size_t>(begin)]);
        check(faiss().encode(size, count, block, parts, books.data(), codes.data() + begin * code));
        return;
      }
      round(block, count, size, begin, codes.data(), scales.data());
    });
    if (lists > 0) {
      const auto [starts, ids] = in_lists(list, lists);
      add(KeyArray::kCentroids, centroids);
      add(KeyArray::kStarts, starts);
      add(KeyArray::kIds, ids);
      codes = in_order(codes, ids, static_cast<std::size_t>(code));
      if (parts == 0) scales = in_order(scales, ids, 1);
    }
    add(KeyArray::kCodes, codes);
    if (parts > 0) add(KeyArray::kBooks, books);
    else add(KeyArray::kScales, scales);
  }

  std::vector<float> make_books(Keys& keys, const std::vector<float>& centroids, const std::vector<float>& halves) const {
    const std::int64_t size = keys.size();
    std::vector<float> sample = keys.sample(kBookKeys), books(static_cast<std::size_t>(256 * size));
    const std::int64_t count = static_cast<std::int64_t>(sample.size()) / size;
    std::vector<std::uint32_t> lists(static_cast<std::size_t>(count));
    assign(sample.data(), count, size, centroids, halves, lists.data());
    subtract(sample.data(), count, size, centroids, lists.data());
    check(faiss().make_books(size, count, sample.data(), header_.parts, job_.choice.seed, books.data()));
    return books;
  }

  static void subtract(float* keys, std::int64_t count, std::int64_t size, const std::vector<float>& centroids, const std::uint32_t* lists) {
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t x = 0; x < size; ++x) keys[i * size + x] -= centroids[static_cast<std::size_t>(lists[i]) * static_cast<std::size_t>(size) + static_cast<std::size_t>(x)];
  }

  // Where each list begins, and the keys of all, those of a list in their order.
  struct Lists {
    std::vector<std::uint64_t> starts;
    std::vector<std::uint32_t> ids;
  };
  static Lists in_lists(const std::vector<std::uint32_t>& list, std::int64_t lists) {
    Lists all{std::vector<std::uint64_t>(static_cast<std::size_t>(lists) + 1), std::vector<std::uint32_t>(list.size())};
    for (const std::uint32_t one : list) ++all.starts[one + 1];
    for (std::size_t i = 1; i < all.starts.size(); ++i) all.starts[i] += all.starts[i - 1];
    std::vector<std::uint64_t> next(all.starts.begin(), all.starts.end() - 1);
    for (std::size_t row = 0; row < list.size(); ++row) all.ids[next[list[row]]++] = static_cast<std::uint32_t>(row);
    return all;
  }

  template <typename T>
  static std::vector<T> in_order(const std::vector<T>& items, const std::vector<std::uint32_t>& ids, std::size_t width) {
    std::vector<T> ordered(items.size());
    for (std::size_t i = 0; i < ids.size(); ++i) std::copy_n(items.begin() + static_cast<std::ptrdiff_t>(ids[i] * width), width, ordered.begin() + static_cast<std::ptrdiff_t>(i * width));
    return ordered;
  }

  void make_links(Keys& keys) {
    const std::int64_t rows = keys.count(), size = keys.size();
    const auto numbers = [](std::int64_t count) { return static_cast<std::size_t>(count); };
    std::vector<float> all(numbers(rows * size)), scales(numbers(rows));
    std::vector<std::int8_t> codes(numbers(rows * size));
    keys.each([&](std::int64_t begin, std::int64_t count, const float* block) {
      std::copy_n(block, count * size, all.data() + begin * size);
      round(block, count, size, begin, codes.data(), scales.data());
    });
    std::vector<std::int32_t> links(numbers(rows * kLinks));
    check(faiss().link(size, rows, all.data(), kLinks, links.data()));
    // Keys that are near the same one of some that are spread over all lie behind each other: a walk goes from near to near.
    const std::vector<float> some = keys.sample(static_cast<std::int64_t>(2 * std::sqrt(static_cast<double>(rows))));
    std::vector<std::uint32_t> near(numbers(rows)), places(numbers(rows));
    assign(all.data(), rows, size, some, halves_of(some, size), near.data());
    const std::vector<std::uint32_t> ids = in_lists(near, static_cast<std::int64_t>(some.size()) / size).ids;
    for (std::size_t place = 0; place < ids.size(); ++place) places[ids[place]] = static_cast<std::uint32_t>(place);
    for (std::int32_t& link : links)
      if (link >= 0) link = static_cast<std::int32_t>(places[static_cast<std::size_t>(link)]);
    add(KeyArray::kIds, ids);
    add(KeyArray::kCodes, in_order(codes, ids, numbers(size)));
    add(KeyArray::kScales, in_order(scales, ids, 1));
    add(KeyArray::kLinks, in_order(links, ids, numbers(kLinks)));
  }

  const IndexJob& job_;
  const StoredRows& rows_;
  KeyIndexHeader header_;
  KeyIndexWriter writer_;
  std::uint32_t layer_ = 0, head_ = 0;
};

}  // namespace

void make_key_index(const IndexJob& job, const StoredMemory& stored, Sink& sink, Host& host) { Making(job, stored, sink).run(host); }

}  // namespace uio
