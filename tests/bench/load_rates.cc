// What a memory costs to load against what it costs to compute again: load_rates MODEL RUNS [cpu]. MODEL has an adapter/ and bf16 weights, as the
// demo model; segments are of random tokens. One JSON line for each number of tokens, form and precision; `ratio` is the time to
// encode the segments and to make keys and values of them over that to read a stream of their memories, checksums and all,
// in turn in one run (median over median). Both end with the tensors that the decoder's context takes.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdlib>

#include "bench/yardsticks.h"
#include "io/stream.h"
#include "kernels/policy.h"
#include "memory/memory_tensor.h"
#include "memory/method.h"

namespace {

using namespace uio;
using namespace uio::bench;

void measure(const Model& model, const MemoryMethod& method, std::int64_t segments, Form form, Precision precision, int runs) {
  const std::string tokenizer(64, '0');
  std::vector<at::Tensor> ids;
  MemorySink sink;
  RecordWriter writer(sink, {});
  for (std::int64_t i = 0; i < segments; ++i) {
    ids.push_back(at::randint(3, model.config().vocabulary, {1, method.segment_length()}, at::kLong));
    const at::Tensor row = ids.back().to(at::kInt).contiguous();
    Segment segment;
    segment.span.document = "random";
    segment.span.segment = static_cast<std::uint64_t>(i);
    segment.tokenizer = tokenizer;
    segment.tokens.assign(row.const_data_ptr<std::int32_t>(), row.const_data_ptr<std::int32_t>() + row.numel());
    const at::Tensor hidden = method.encode(ids.back());
    const KeysValues kv = method.transfer(hidden);
    Memory memory = to_record(segment, method, model, form, hidden[0], kv.keys[0], kv.values[0]);
    memory.precision = precision;
    writer.write(memory);
  }
  writer.finish();
  const std::string blob = sink.bytes();

  const auto load = [&] {
    const auto source = memory_source(std::as_bytes(std::span(blob)), "blob");
    RecordReader reader(*source);
    while (const auto record = reader.next()) from_record(std::get<Memory>(*record), model, tokenizer, &method);
  };
  const auto compute = [&] {
    for (const at::Tensor& segment : ids) method.transfer(method.encode(segment));
  };
  const Pair pair = in_turn(runs, compute, load);
  const double computing = middle(pair.work), loading = middle(pair.yardstick);
  print({{"what", "load"}, {"form", name_of(form)}, {"precision", name_of(precision)}, {"tokens", segments * method.segment_length()},
         {"blob", blob.size()}, {"compute_seconds", computing}, {"load_seconds", loading}, {"ratio", computing / loading},
         {"compute_runs", pair.work}, {"load_runs", pair.yardstick}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: load_rates MODEL RUNS [cpu]\n");
    return 2;
  }
  begin(argc == 4);
  const c10::InferenceMode no_gradients;
  const std::string directory = argv[1];
  Placement placement;
  placement.stored = at::kBFloat16;
  placement.computed = kernels::cpu_has_bf16_products() ? at::kBFloat16 : at::kFloat;
  const Model model(directory, placement, "", at::get_num_threads());
  const auto method = make_method(model, load_adapter(directory + "/adapter", model));
  print({{"what", "machine"}, {"threads", at::get_num_threads()}, {"clock", counts_cpu_time ? "processor" : "wall"}});
  for (const std::int64_t tokens : {4096, 16384}) {
    for (const Form form : {Form::kKv, Form::kHidden}) {
      for (const Precision precision : {Precision::kExact, Precision::kInt8, Precision::kInt4})
        measure(model, *method, std::max<std::int64_t>(1, tokens / method->segment_length()), form, precision, std::max(1, std::atoi(argv[2])));
    }
  }
}
