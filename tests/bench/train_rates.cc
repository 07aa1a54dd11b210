// Rates of training steps on a synthetic Llama, beside the machine's matrix rate in the same run. One JSON line a figure; tests/bench/run
// keeps them. The bound is the arithmetic that the step cannot do without, over the matrix rate:
//   base, one text:              forward, and twice as much backward (rows and weights)
//   exact, 4 segments, adapter:  per memory two encoder forwards and one backward of its rows; per local text one forward and one
//                                backward of its rows (the base's weights are frozen; updates of low rank are not counted)
// `exact` is also held against `incremental`, which keeps the encoders' graphs instead of computing them again.
#include <ATen/core/grad_mode.h>
#include <sys/resource.h>

#include <cstdlib>

#include "bench/yardsticks.h"
#include "kernels/policy.h"
#include "train/document.h"
#include "train/estimators.h"
#include "train/optimiser.h"

namespace {

using namespace uio;
using namespace uio::bench;

constexpr std::int64_t kLength = 1024, kSlots = 32, kSegments = 4;

// A document of random tokens that all count alike.
Document random_document(std::int64_t tokens, std::int64_t vocabulary) {
  const at::Tensor ids = at::randint(3, vocabulary, {tokens}, at::kLong);
  Document document;
  document.ids.assign(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + tokens);
  document.weights.assign(static_cast<std::size_t>(tokens), 1.0);
  return document;
}

// One step: the gradient of a document under an estimator, and the optimiser's.
struct Step {
  Trainee trainee;
  Parameters& parameters;
  Optimiser optimiser;
  Document document;
  PlanSettings settings;
  const Estimator& estimator;

  void operator()() {
    parameters.clear_gradients();
    LossTally tally;
    ModelDocument whole(trainee, make_plan({document}, settings), tally);
    SeededDraws draws(0, 0);
    EstimatorSettings sizes;
    sizes.window = kSegments;
    estimator.estimate(whole, sizes, draws);
    std::vector<at::Tensor> gradients;
    for (std::size_t i = 0; i < parameters.all().size(); ++i) gradients.push_back(parameters.gradient(i));
    norm_of(gradients);
    optimiser.step(parameters, gradients, Optimisation{}, 1e-6, 1);
  }
};

// FLOPs of a local text of T tokens after n keys, forward.
double local_flops(const Model& model, double tokens, double before) {
  const ModelConfig& c = model.config();
  const double width = static_cast<double>(c.heads * c.head_size * c.layers);
  return tokens * (model.layer_flops() + model.logits_flops()) + 4 * width * tokens * (before + tokens / 2);
}

void measure(const std::string& directory, at::ScalarType dtype, int runs) {
  Placement placement;
  placement.stored = placement.computed = dtype;
  const Product product(dtype);
  const char* name = dtype == at::kFloat ? "f32" : "bf16";
  PlanSettings settings;
  {
    Model model(directory, placement, "", at::get_num_threads());
    Parameters parameters(Trainable::kBase, model, nullptr);
    settings.objectives.lm = 1;
    settings.has_memories = false;
    settings.trains_base = true;
    Step step{{model}, parameters, Optimiser(parameters), random_document(kLength, model.config().vocabulary), settings, estimator_named("exact")};
    report("train base", name, kLength, "flops", 3 * local_flops(model, kLength, 0), Product::kFlops, in_turn(runs, std::ref(step), product));
  }
  Model model(directory, placement, "", at::get_num_threads());
  AdapterConfig config;
  config.segment_length = kLength;
  config.memory_length = kSlots;
  config.lora_rank = 32;
  config.lora_alpha = 128;
  Adapter adapter = initial_adapter(model, config, false, 1);
  Parameters parameters(Trainable::kAdapter, model, &adapter);
  const auto method = make_method(model, adapter);
  settings.has_memories = true;
  settings.trains_base = false;
  settings.segment_length = kLength;
  double flops = (kSegments - 1) * 3 * method->cost()->segment_flops(method->segment_length(), Form::kKv);
  for (int n = 1; n < kSegments; ++n) flops += 2 * local_flops(model, kLength, static_cast<double>(n * kSlots));
  const Document document = random_document(kSegments * kLength, model.config().vocabulary);
  Step exact{{model, method.get()}, parameters, Optimiser(parameters), document, settings, estimator_named("exact")};
  Step incremental{{model, method.get()}, parameters, Optimiser(parameters), document, settings, estimator_named("incremental")};
  report("train adapter, exact", name, kSegments * kLength, "flops", flops, Product::kFlops, in_turn(runs, std::ref(exact), product));
  const Pair both = in_turn(runs, std::ref(exact), std::ref(incremental));
  print({{"what", "exact over incremental"}, {"dtype", name}, {"ratio", middle(both.work) / middle(both.yardstick)}, {"runs", both.work}, {"yardstick_runs", both.yardstick}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: train_rates DIRECTORY RUNS [cpu]\n  cpu: one thread, processor time instead of wall time\n");
    return 2;
  }
  begin(argc == 4);
  const std::string directory = argv[1];
  const int runs = std::max(1, std::atoi(argv[2]));
  write_model(directory + "/llama-134m-128k-f32", Shape(), "F32");
  print({{"what", "machine"}, {"threads", at::get_num_threads()}, {"instruction_set", kernels::instruction_set()},
         {"bf16_products", kernels::cpu_has_bf16_products()}, {"clock", counts_cpu_time ? "processor" : "wall"}});
  measure(directory + "/llama-134m-128k-f32", at::kFloat, runs);
  if (kernels::cpu_has_bf16_products()) measure(directory + "/llama-134m-128k-f32", at::kBFloat16, runs);
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  print({{"what", "process"}, {"peak_memory", usage.ru_maxrss * 1024}});
}
