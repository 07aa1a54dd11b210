// Indexes of keys: what they find of what exact search finds, memory that stays in its file, and files that lie.
#include "search/key_index.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <random>

#include "base/plugin.h"
#include "io/key_index_file.h"
#include "io/stream.h"
#include "memory/blob.h"
#include "memory/index_job.h"
#include "memory/memory_tensor.h"
#include "memory/window_session.h"
#include "unit/memory/plain_fot.h"
#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::check_error;

class QuietHost : public Host {
 public:
  void note(const std::string&) override {}
  void warn(const std::string&) override {}
  void fail(const Error&) override {}
  void succeed() override {}
  void progress(std::uint64_t, std::uint64_t, const char*) override {}
  double seconds() override { return 0; }
};

constexpr std::int64_t kRows = 3000, kSize = 10, kHeads = 2, kLayers = 2;

// Keys in clouds, as those of a model are.
at::Tensor clouds(std::int64_t count) {
  const at::Tensor centres = at::randn({40, kSize});
  return centres.index_select(0, at::randint(40, {count}, at::kLong)) + 0.3 * at::randn({count, kSize});
}

Memory memory_of(const at::Tensor& keys, const at::Tensor& values, std::uint64_t number) {
  Memory memory;
  memory.span = {"book", number, number, number, number + 1, false};
  memory.base = memory.tokenizer = memory.adapter = memory.token_hash = std::string(64, 'a');
  memory.method = "fot";
  memory.positions = "none";
  memory.layers = kLayers, memory.kv_heads = kHeads, memory.head_size = kSize;
  memory.memory_length = memory.segment_length = memory.token_count = static_cast<std::uint32_t>(keys.size(2));
  set_tensors(memory, {}, keys.contiguous(), values.contiguous());
  return memory;
}

// A blob of random keys in several memories, and its index of each kind.
struct Indexed {
  explicit Indexed(std::int64_t rows = kRows) {
    at::manual_seed(3);
    keys = at::stack({clouds(kHeads * rows).view({kHeads, rows, kSize}), clouds(kHeads * rows).view({kHeads, rows, kSize})});
    const auto sink = open_sink(path());
    RecordWriter writer(*sink, {}, {0});
    std::uint64_t number = 0;
    for (std::int64_t begin = 0; begin < rows; begin += 700) {
      const at::Tensor some = keys.narrow(2, begin, std::min<std::int64_t>(700, rows - begin));
      writer.write(memory_of(some, -some, number++));
    }
    writer.finish();
    sink->commit();
    stored = read_stored_memory(path(), [](RecordReader&) {});
    REQUIRE(stored);
  }
  std::string path() const { return scratch.path("blob"); }
  void make(const std::string& kind) const {
    IndexJob job;
    job.kind = kind;
    QuietHost host;
    JobIo io;
    io.inputs = {path()};
    io.host = &host;
    make_key_indexes(job, io);
  }
  std::unique_ptr<KeyIndex> open(std::int64_t probe = 0) const { return open_key_index(key_index_path(path()), stored->fingerprint, stored->rows, probe); }

  test::Scratch scratch;
  at::Tensor keys;  // [layers, heads, rows, d]
  std::shared_ptr<StoredMemory> stored;
};

class LayerKeys : public kernels::FarRows {
 public:
  explicit LayerKeys(const at::Tensor& keys) : keys_(keys.contiguous()) {}
  std::int64_t count() const override { return keys_.size(1); }
  const float* keys(std::int64_t m, std::int64_t begin, std::int64_t, float*) const override { return keys_.const_data_ptr<float>() + (m * keys_.size(1) + begin) * keys_.size(2); }
  const double* keys(std::int64_t, std::int64_t, std::int64_t, double*) const override { return nullptr; }
  void named_keys(std::int64_t m, std::span<const std::int64_t> rows, float* to) const override {
    for (const std::int64_t row : rows) to = std::copy_n(keys(m, row, 1, to), keys_.size(2), to);
  }
  void named_values(std::int64_t m, std::span<const std::int64_t> rows, float* to) const override { named_keys(m, rows, to); }
  void named_keys(std::int64_t, std::span<const std::int64_t>, double*) const override { FAIL("queries are f32"); }
  void named_values(std::int64_t, std::span<const std::int64_t>, double*) const override { FAIL("queries are f32"); }

 private:
  at::Tensor keys_;
};

bool has_faiss() { return open_plugin("libuio_faiss.so", Symbols::kOwn).handle != nullptr; }

std::vector<std::string> kinds() {
  std::vector<std::string> kinds = {"flat", "sq8"};
  if (has_faiss()) kinds.insert(kinds.end(), {"ivf", "ivfpq", "hnsw"});
  else WARN("built without FAISS: kinds that it makes are not tested");
  return kinds;
}

double recall_of(const KeyIndex& index, const at::Tensor& keys, std::int64_t layer, std::int64_t count) {
  const LayerKeys rows(keys[layer]);
  const at::Tensor queries = clouds(4 * 50).view({1, 4, 50, kSize});
  const kernels::Found exact = kernels::find_nearest(queries, kHeads, rows, 0, rows.count(), count), found = index.find(layer, queries, kHeads, rows, 0, count);
  REQUIRE(found.index.sizes() == exact.index.sizes());
  // Each row once, scored by itself, in order.
  const at::Tensor sorted = std::get<0>(at::sort(found.index));
  const at::Tensor same = sorted.narrow(-1, 1, count - 1).eq(sorted.narrow(-1, 0, count - 1)).logical_and(sorted.narrow(-1, 1, count - 1).ge(0));
  CHECK_FALSE(same.any().item<bool>());
  CHECK((found.scores.narrow(-1, 1, count - 1) <= found.scores.narrow(-1, 0, count - 1)).all().item<bool>());
  const at::Tensor hits = exact.index.unsqueeze(-1).eq(found.index.unsqueeze(-2)).any(-1);
  return hits.to(at::kDouble).mean().item<double>();
}

TEST_CASE("every kind finds most of what exact search finds, and all of it when it looks everywhere") {
  const Indexed indexed;
  for (const std::string& kind : kinds()) {
    INFO(kind);
    indexed.make(kind);
    const std::string bytes = indexed.scratch.read("blob.index");
    indexed.make(kind);
    CHECK(bytes == indexed.scratch.read("blob.index"));
    for (const std::int64_t layer : {0, 1}) {
      const double recall = recall_of(*indexed.open(), indexed.keys, layer, 16);
      CHECK(recall >= (kind == "flat" ? 1 : 0.95));
      CHECK(recall_of(*indexed.open(kRows), indexed.keys, layer, 16) >= (kind == "flat" ? 1 : 0.98));
    }
  }
  CHECK(indexed.scratch.count() == 2);
}

TEST_CASE("blobs of few keys, and of fewer than are wanted") {
  for (const std::int64_t rows : {1, 5, 40}) {
    const Indexed indexed(rows);
    for (const std::string& kind : kinds()) {
      INFO(kind << " " << rows);
      if (kind == "ivfpq") {
        check_error([&] { indexed.make(kind); }, ErrorKind::kUsage, {"too few keys", "ivfpq needs 256"});
        continue;
      }
      indexed.make(kind);
      const LayerKeys keys(indexed.keys[1]);
      const kernels::Found found = indexed.open()->find(1, at::randn({1, 4, 3, kSize}), kHeads, keys, 0, 50);
      CHECK((found.index >= 0).sum(-1).eq(rows).all().item<bool>());
      CHECK(found.index.max().item<std::int64_t>() == rows - 1);
    }
  }
}

TEST_CASE("an index of another blob, a damaged one, and none") {
  const Indexed indexed, other(600);
  check_error([&] { indexed.open(); }, ErrorKind::kUsage, {"no index", "no such file"});
  indexed.make("sq8");
  other.make("sq8");
  const std::string whole = indexed.scratch.read("blob.index");
  indexed.scratch.write("blob.index", other.scratch.read("blob.index"));
  check_error([&] { indexed.open(); }, ErrorKind::kMismatch, {"index belongs to another blob", other.stored->fingerprint, indexed.stored->fingerprint});
  std::string damaged = whole;
  damaged[damaged.size() / 2] ^= 1;
  indexed.scratch.write("blob.index", damaged);
  check_error([&] { indexed.open(); }, ErrorKind::kData, {"cannot read index", "damaged"});
}

// An index whose checksums are right and whose arrays are anything: it is refused, or finds rows that there are.
TEST_CASE("ten thousand indexes that lie are refused or found wanting, and nothing else") {
  const Indexed indexed(300);
  std::mt19937_64 random(21);
  const at::Tensor queries = at::randn({1, 4, 2, kSize});
  int taken = 0;
  for (int round = 0; round < 10000; ++round) {
    const char* const kind = std::array{"ivf", "ivfpq", "hnsw", "sq8"}[static_cast<std::size_t>(round % 4)];
    KeyIndexHeader header{kind, indexed.stored->fingerprint, 300, kLayers, kHeads, kSize, 0, 0, 0};
    const auto below = [&](std::uint64_t bound) { return random() % bound; };
    if (kind[0] == 'i') header.lists = static_cast<std::uint32_t>(1 + below(6));
    if (std::string(kind) == "ivfpq") header.parts = below(8) == 0 ? static_cast<std::uint32_t>(below(12)) : 5;
    if (std::string(kind) == "hnsw") header.links = 2;
    MemorySink sink;
    KeyIndexWriter writer(sink, header);
    const bool is_bent = round % 3 != 0;  // something of it is not as it should be
    const auto bent = [&](std::uint64_t odds) { return is_bent && below(odds) == 0; };
    const auto size = [&](std::uint64_t n) { return bent(40) ? below(2 * n + 2) : n; };
    for (std::uint32_t layer = 0; layer < kLayers; ++layer)
      for (std::uint32_t head = 0; head < kHeads; ++head) {
        const auto add = [&]<typename T>(KeyArray array, const std::vector<T>& items) {
          if (!bent(100)) writer.add(layer, head, array, std::span<const T>(items));
        };
        if (std::string(kind) == "hnsw") {
          std::vector<std::int32_t> links(size(300 * header.links));
          for (auto& link : links) link = bent(20000) ? static_cast<std::int32_t>(random()) : static_cast<std::int32_t>(below(301)) - 1;
          add(KeyArray::kLinks, links);
        }
        std::vector<std::uint32_t> ids(size(300));
        for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::uint32_t>(bent(5000) ? random() : i);
        if (std::string(kind) != "sq8") add(KeyArray::kIds, ids);
        if (header.lists > 0) {
          std::vector<std::uint64_t> starts(size(header.lists + 1));
          for (auto& start : starts) start = bent(50) ? random() : below(301);
          if (!bent(5)) std::ranges::sort(starts);
          if (!starts.empty() && !bent(20)) starts.front() = 0, starts.back() = 300;
          std::vector<float> centroids(size(header.lists * kSize));
          for (float& x : centroids) x = bent(100) ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(below(1000)) / 500 - 1;
          add(KeyArray::kCentroids, centroids);
          add(KeyArray::kStarts, starts);
        }
        std::vector<std::uint8_t> codes(size(300 * (header.parts > 0 ? header.parts : kSize)));
        for (auto& code : codes) code = static_cast<std::uint8_t>(random());
        add(KeyArray::kCodes, codes);
        std::vector<float> floats(size(header.parts > 0 ? 256 * kSize : 300));
        for (float& x : floats) x = bent(1000) ? std::numeric_limits<float>::infinity() : static_cast<float>(below(1000)) / 1000;
        add(header.parts > 0 ? KeyArray::kBooks : KeyArray::kScales, floats);
      }
    writer.finish();
    indexed.scratch.write("blob.index", sink.bytes());
    try {
      const auto index = indexed.open(1 + static_cast<std::int64_t>(below(8)));
      ++taken;
      const LayerKeys rows(indexed.keys[1]);
      const kernels::Found found = index->find(1, queries, kHeads, rows, 0, 9);
      REQUIRE((found.index.ge(-1).logical_and(found.index.lt(300))).all().item<bool>());
      const at::Tensor sorted = std::get<0>(at::sort(found.index));
      REQUIRE_FALSE(sorted.narrow(-1, 1, 8).eq(sorted.narrow(-1, 0, 8)).logical_and(sorted.narrow(-1, 1, 8).ge(0)).any().item<bool>());
    } catch (const Error& error) {
      REQUIRE(error.status() == 3);
      REQUIRE((is_bent || header.parts == 0 || kSize % header.parts != 0));
    }
  }
  CHECK(taken > 3000);
}

TEST_CASE("loading FAISS changes nothing of LibTorch's products") {
  if (!has_faiss()) return;
  at::manual_seed(4);
  const at::Tensor a = at::randn({300, 200}), b = at::randn({200, 100});
  const at::Tensor before = at::matmul(a, b);
  const Indexed indexed;
  indexed.make("ivf");
  CHECK(at::equal(before, at::matmul(a, b)));
}

// --- memory layers -------------------------------------------------------------------------------------------------------

// A model with memory layers, and memories of it in a blob.
struct Windows {
  explicit Windows(const std::string& search, std::int64_t nearest = 5, const Json& changes = Json::object())
      : tiny(test::with_changes(Json{{"model_type", "longllama"}, {"mem_layers", {2, 0}}, {"mem_dtype", "float64"}, {"max_position_embeddings", 16}, {"last_context_length", 6}}, changes)),
        ready{std::make_unique<Model>(tiny.load(at::kDouble)), nullptr, nullptr} {
    ModelChoice choice;
    choice.model = tiny.directory();
    choice.search = search;
    choice.nearest = static_cast<std::uint32_t>(nearest);
    ready.method = make_method(*ready.model, choose_adapter(choice, *ready.model));
  }
  // Windows of `ids`, each after those before it, as a blob.
  void write(const std::vector<std::int32_t>& ids) {
    const auto sink = open_sink(path());
    RecordWriter writer(*sink, {}, {0});
    std::vector<at::Tensor> earlier;
    std::uint64_t number = 0;
    for (std::size_t begin = 0; begin < ids.size(); begin += 16) {
      Segment segment;
      segment.span = {"book", number++, begin, begin, begin + 16, false};
      segment.tokenizer = std::string(64, 'b');
      segment.segment_length = 16;
      segment.is_closed = true;
      segment.tokens = test::part(ids, static_cast<std::int64_t>(begin), 16);
      const at::Tensor hidden = ready.method->encode(test::ids_tensor(segment.tokens), earlier);
      earlier.push_back(hidden);
      memories.push_back(ready.method->transfer(hidden));
      writer.write(to_record(segment, *ready.method, *ready.model, Form::kKv, hidden[0], memories.back().keys[0], memories.back().values[0]));
    }
    writer.finish();
    sink->commit();
  }
  std::string path() const { return tiny.scratch.path("book.uio"); }
  // The residual rows of tokens after all memories, which stay in the file or not.
  at::Tensor read(const std::vector<std::int32_t>& ids, bool is_stored) const {
    const auto session = ready.method->make_session(0, false);
    if (is_stored) {
      const auto stored = read_stored_memory(path(), [](RecordReader&) {});
      REQUIRE(stored);
      if (ready.method->adapter().window.search.by_index) stored->index = open_key_index(key_index_path(path()), stored->fingerprint, stored->rows, 0);
      for (std::size_t i = 0; i < memories.size(); ++i) session->add_stored(stored, 16);
    } else {
      for (const KeysValues& memory : memories) session->add_memory({memory.keys, memory.values});
    }
    std::vector<at::Tensor> rows;
    for (const std::int32_t id : ids) rows.push_back(session->add_tokens({id}));
    return at::cat(rows);
  }

  test::TinyModel tiny;
  Ready ready;
  std::vector<KeysValues> memories;
};

TEST_CASE("memory that stays in its file is memory that was read, also behind what grew") {
  const std::vector<std::int32_t> ids = test::random_ids(96, 31), text = test::random_ids(40, 32);  // two windows move while it is read
  for (const Json& changes : {Json::object(), Json{{"mem_positionals", false}}, Json{{"mem_dtype", "bfloat16"}},
                              Json{{"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 4}}}}})
    for (const std::int64_t nearest : {1, 5, 200}) {
      INFO(changes.dump() << " " << nearest);
      Windows windows("exact", nearest, changes);
      windows.write(ids);
      CHECK(test::largest_difference(windows.read(text, true), windows.read(text, false)) < 1e-9);
    }
  // As many as there are: all of it.
  Windows exact("exact", 200), dense("dense");
  exact.write(ids);
  dense.write(ids);
  CHECK(test::largest_difference(exact.read(text, true), dense.read(text, false)) < 1e-9);
}

TEST_CASE("an index that looks everywhere is exact search") {
  const std::vector<std::int32_t> ids = test::random_ids(96, 33), text = test::random_ids(40, 34);
  Windows exact("exact"), index("index");
  exact.write(ids);
  index.write(ids);
  for (const std::string& kind : kinds()) {
    if (kind == "ivfpq") continue;  // too few keys
    INFO(kind);
    IndexJob job;
    job.kind = kind;
    QuietHost host;
    JobIo io;
    io.inputs = {index.path()};
    io.host = &host;
    make_key_indexes(job, io);
    CHECK(test::largest_difference(index.read(text, true), exact.read(text, false)) < 1e-9);
  }
}

}  // namespace
}  // namespace uio
