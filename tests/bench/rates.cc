// Rates of compress, score and generate on a synthetic Llama, beside the machine's own matrix and read rates, all in one run.
// One JSON line a figure; tests/bench/run keeps them. Bounds: compress and score are bound by arithmetic (their FLOPs over the
// matrix rate), generate by reading every weight once a token (their bytes over the read rate).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "bench/yardsticks.h"
#include "kernels/policy.h"
#include "memory/context.h"
#include "memory/method.h"
#include "model/model.h"

namespace {

using namespace uio;
using namespace uio::bench;

Adapter random_adapter(const Model& model, std::uint32_t length, std::uint32_t slots, std::int64_t rank) {
  Adapter adapter = fresh_adapter(model, length, slots);
  adapter.config.lora_rank = rank;
  const auto dtype = model.placement().computed;
  for (std::size_t l = 0; l < adapter.encoder.size(); ++l) {
    for (const Projection p : {Projection::kQuery, Projection::kValue})
      adapter.encoder[l][static_cast<std::size_t>(p)] = {(at::randn({rank, model.config().hidden_size}) * 0.02).to(dtype),
                                                          (at::randn({model.config().hidden_size, rank}) * 0.02).to(dtype), 1.0};
    for (const Projection p : {Projection::kKey, Projection::kValue})
      adapter.transfer[l][static_cast<std::size_t>(p)] = {(at::randn({rank, model.config().hidden_size}) * 0.02).to(dtype),
                                                           (at::randn({model.config().hidden_size, rank}) * 0.02).to(dtype), 1.0};
  }
  return adapter;
}

// Tokens of one stream, whose bound is reading every weight once.
void measure_generation(const Model& model, const char* dtype, double bytes_of_weight, const Read& read, int runs) {
  const at::Tensor ids = at::randint(3, model.config().vocabulary, {1, 32}, at::kLong), one = ids.narrow(1, 0, 1);
  DecoderContext context(model, 1024);
  context.add_tokens(ids);
  constexpr int kSteps = 8;  // tokens of one timing
  const Pair generated = in_turn(runs * 2, [&] {
    for (int i = 0; i < kSteps; ++i) {
      const at::Tensor x = context.add_tokens(one);
      model.logits(model.final_norm(x.squeeze(0))).argmax().item<std::int64_t>();
    }
  }, read);
  const double bytes = (model.layer_flops() + model.logits_flops()) / 2 * bytes_of_weight;
  report("generate", dtype, kSteps, "bytes", kSteps * bytes, Read::kBytes, generated);
}

// Generation after a text of 100,000 tokens: from all its keys and values, and from 32 times fewer.
void measure_long_text(const Model& model, const char* dtype, int runs) {
  constexpr std::int64_t kText = 100000, kTimesFewer = 32, kPiece = 625;
  const ModelConfig& c = model.config();
  // What keys and values hold does not matter to the time of reading them.
  const at::Tensor piece = at::randn({1, c.layers, c.kv_heads, kPiece, c.head_size}).to(model.placement().stored);
  const at::Tensor one = at::full({1, 1}, 5, at::kLong);
  const auto context_of = [&](std::int64_t entries) {
    DecoderContext context(model, entries + 16);
    while (context.length() < entries) context.add_memory(piece, piece);
    return context;
  };
  DecoderContext full = context_of(kText), memory = context_of(kText / kTimesFewer);
  constexpr int kSteps = 4;
  const auto generate = [&](DecoderContext& context) {
    const std::int64_t begin = context.length();
    for (int i = 0; i < kSteps; ++i) model.logits(model.final_norm(context.add_tokens(one).squeeze(0))).argmax().item<std::int64_t>();
    context.truncate(begin);
  };
  const double share = static_cast<double>(memory.bytes()) / static_cast<double>(full.bytes());
  const Pair pair = in_turn(runs, [&] { generate(memory); }, [&] { generate(full); });
  print({{"what", "generate after 100,000 tokens"}, {"dtype", dtype}, {"full_tokens_per_second", kSteps / middle(pair.yardstick)},
         {"memory_tokens_per_second", kSteps / middle(pair.work)}, {"times", middle(pair.yardstick) / middle(pair.work)}, {"kv_share", share},
         {"runs", pair.work}, {"full_runs", pair.yardstick}});
}

using Wanted = std::set<std::string>;  // compress, score, generate, long

void measure(const std::string& directory, at::ScalarType stored, int runs, const Wanted& wanted) {
  Placement placement;
  placement.stored = stored;
  // Without bf16 products the machine's best way to multiply bf16 matrices is in f32: that is the bound then.
  const bool has_products = stored != at::kBFloat16 || kernels::cpu_has_bf16_products();
  placement.computed = has_products ? stored : at::kFloat;
  const Product product(placement.computed);
  const Read read;
  const Model model(directory, placement, "", at::get_num_threads());
  const ModelConfig& c = model.config();
  const char* dtype = stored == at::kFloat ? "f32" : "bf16";
  constexpr std::int64_t kTokens = 1024, kSlots = 32, kRank = 32;
  const auto method = make_method(model, random_adapter(model, kTokens, kSlots, kRank));
  const at::Tensor ids = at::randint(3, c.vocabulary, {1, kTokens}, at::kLong);

  if (wanted.contains("compress"))
    report("compress", dtype, kTokens, "flops", method->cost()->segment_flops(method->segment_length(), Form::kKv), Product::kFlops,
           in_turn(runs, [&] { method->transfer(method->encode(ids)); }, product));

  const at::Tensor targets = ids.squeeze(0).roll(-1);
  const double width = static_cast<double>(c.heads * c.head_size * c.layers), tokens = kTokens;
  if (wanted.contains("score"))
    report("score", dtype, tokens, "flops", tokens * (model.layer_flops() + model.logits_flops()) + 2 * width * tokens * tokens, Product::kFlops,
           in_turn(runs, [&] {
             DecoderContext context(model, kTokens);
             const at::Tensor x = context.add_tokens(ids).squeeze(0);
             model.log_probabilities(model.final_norm(x), targets);
           }, product));

  if (wanted.contains("generate")) measure_generation(model, dtype, static_cast<double>(c10::elementSize(stored)), read, runs);
  if (stored == at::kFloat) return;
  if (wanted.contains("long")) measure_long_text(model, dtype, runs);
  if (!wanted.contains("generate")) return;
  placement.int8_weights = true;
  placement.computed = at::kFloat;
  measure_generation(Model(directory, placement, "", at::get_num_threads()), "int8", 1, read, runs);
}

}  // namespace

int main(int argc, char** argv) {
  const Wanted all = {"compress", "score", "generate", "long"};
  Wanted wanted;
  bool counts_cpu = false, is_good = argc >= 3;
  for (const std::string& word : std::vector<std::string>(argv + std::min(argc, 3), argv + argc)) {
    if (word == "cpu") counts_cpu = true;
    else if (all.contains(word)) wanted.insert(word);
    else is_good = false;
  }
  if (!is_good) {
    std::fprintf(stderr, "usage: rates DIRECTORY RUNS [cpu] [compress|score|generate|long...]\n  cpu: one thread, processor time instead of wall time\n");
    return 2;
  }
  if (wanted.empty()) wanted = all;
  begin(counts_cpu);
  const c10::InferenceMode no_gradients;
  const std::string directory = argv[1];
  const int runs = std::max(1, std::atoi(argv[2]));
  const Shape shape;
  write_model(directory + "/llama-134m-128k-f32", shape, "F32");
  write_model(directory + "/llama-134m-128k-bf16", shape, "BF16");

  print({{"what", "machine"}, {"threads", at::get_num_threads()}, {"instruction_set", kernels::instruction_set()},
         {"bf16_products", kernels::cpu_has_bf16_products()}, {"clock", counts_cpu_time ? "processor" : "wall"}});
  measure(directory + "/llama-134m-128k-f32", at::kFloat, runs, wanted);
  measure(directory + "/llama-134m-128k-bf16", at::kBFloat16, runs, wanted);
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  print({{"what", "process"}, {"peak_memory", usage.ru_maxrss * 1024}});
}
