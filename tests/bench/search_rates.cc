// What it takes to attend to a memory on disk: search_rates MODEL LAYER BLOB TEXT RUNS [cpu]. BLOB holds memories of that layer alone (--memory-layers LAYER
// --level 0), TEXT is what asks: its queries are the model's own, of a whole window. One JSON line for exact search and, where BLOB has an index, one for that,
// for 1 token at a time and for many: `of_bound` is the time to read the layer's keys once, at the rate of the machine in the same run, over the time taken;
// `recall` is the share of the nearest keys that the index finds, `faster` the time of exact search over its own.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <cstdlib>

#include "bench/yardsticks.h"
#include "io/key_index_file.h"
#include "io/path.h"
#include "kernels/attention.h"
#include "model/model.h"
#include "model/rope.h"
#include "search/far_memory.h"
#include "text/tokenizer.h"

namespace {

using namespace uio;
using namespace uio::bench;

constexpr std::int64_t kNearest = 128, kTokens = 1024;

// Queries [1, H, T, d] of a layer, rotated to their positions.
at::Tensor queries_of(const Model& model, std::int64_t layer, const at::Tensor& ids) {
  const RopeTable rope(model.config(), ids.size(1), model.placement().computed, at::kCPU);
  const Attend attend = [&](std::int64_t, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    const kernels::AttentionPart parts[] = {{rope.rotate(q.transpose(1, 2), 0), rope.rotate(k.transpose(1, 2), 0), v.transpose(1, 2).contiguous(), kernels::Visible::kCausal, {}}};
    return kernels::attention(parts, 1 / std::sqrt(static_cast<double>(model.config().head_size))).transpose(1, 2).flatten(2);
  };
  at::Tensor x = model.embed(ids);
  for (std::int64_t l = 0; l < layer; ++l) x = model.layer(l, x, attend);
  return rope.rotate(model.heads(layer, Projection::kQuery, model.attention_input(layer, x)).transpose(1, 2), 0);
}

std::string read_text(const std::string& path) { return read_all(*open_source(path), std::size_t{1} << 24); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return std::fprintf(stderr, "usage: search_rates MODEL LAYER BLOB TEXT RUNS [cpu]\n"), 2;
  const c10::InferenceMode no_gradients;
  begin(argc > 6);
  const int runs = std::atoi(argv[5]);
  const std::string path = argv[3];
  const Model model(argv[1], {at::kCPU, at::kFloat, at::kFloat}, "", at::get_num_threads());
  const auto tokenizer = load_tokenizer(argv[1]);
  std::vector<std::int32_t> tokens;
  for (const Token& token : tokenizer->encode(read_text(argv[4])))
    if (tokens.size() < kTokens) tokens.push_back(token.id);
  const at::Tensor queries = queries_of(model, std::atoll(argv[2]), at::tensor(tokens, at::kInt).to(at::kLong).unsqueeze(0));

  const auto stored = read_stored_memory(path, [](RecordReader&) {});
  if (!stored || stored->rows.layers() != 1) return std::fprintf(stderr, "%s: no stored blob of one memory layer\n", path.c_str()), 3;
  const StoredRows& rows = stored->rows;
  std::string kind = "exact";
  if (path_exists(key_index_path(path))) {
    stored->index = open_key_index(key_index_path(path), stored->fingerprint, rows, 0);
    kind = KeyIndexFile(key_index_path(path)).header().kind;
  }
  SearchSettings settings;
  settings.nearest = kNearest;
  FarMemory exact(settings, 1, rows.dtype(), 1);
  settings.by_index = true;
  FarMemory index(settings, 1, rows.dtype(), 1);
  for (FarMemory* memory : {&exact, &index}) memory->add_stored(stored, rows.count());

  const double scale = 1 / std::sqrt(static_cast<double>(rows.head_size()));
  const auto attend = [&](const FarMemory& memory, std::int64_t first, std::int64_t count) {
    const at::Tensor some = queries.narrow(2, first, count), own = at::zeros({1, rows.heads(), 1, rows.head_size()});
    memory.attend(0, some, {{some, own, own, kernels::Visible::kAll, {}}}, scale);
  };
  const double bytes = static_cast<double>(rows.count() * rows.heads() * rows.head_size()) * static_cast<double>(item_bytes(rows.dtype()));
  const Read read;
  for (const std::int64_t at_once : {std::int64_t{1}, std::int64_t{32}, queries.size(2)}) {
    std::int64_t next = 0;
    const auto some = [&](const FarMemory& memory) { attend(memory, next = (next + 37) % (queries.size(2) - at_once + 1), at_once); };
    const auto tell = [&](const std::string& what, const Pair& pair, const Json& more) {
      const double seconds = middle(pair.work), rate = Read::kBytes / middle(pair.yardstick);
      Json line = {{"what", "search"}, {"kind", what}, {"keys", rows.count()}, {"kv_heads", rows.heads()}, {"heads", queries.size(1)}, {"head_size", rows.head_size()},
                   {"dtype", name_of(rows.dtype())}, {"nearest", kNearest}, {"tokens", at_once}, {"seconds", seconds}, {"seconds_a_token", seconds / static_cast<double>(at_once)},
                   {"key_bytes", bytes}, {"machine_rate", rate}, {"of_bound", bytes / rate / seconds}, {"runs", pair.work}, {"yardstick_runs", pair.yardstick}};
      line.update(more);
      print(line);
      return seconds;
    };
    const double seconds = tell("exact", in_turn(runs, [&] { some(exact); }, read), Json::object());
    if (kind == "exact") continue;
    const Pair pair = in_turn(runs, [&] { some(index); }, read);
    SearchTally tally;
    index.measure(&tally);
    if (at_once > 1) attend(index, 0, std::min<std::int64_t>(at_once, 256));
    index.measure(nullptr);
    tell(kind, pair, {{"faster", seconds / middle(pair.work)}, {"recall", tally.wanted == 0 ? Json() : Json(static_cast<double>(tally.found) / static_cast<double>(tally.wanted))}, {"recall_keys", tally.wanted}});
  }
}
