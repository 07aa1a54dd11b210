// What the benchmarks share: clocks, the machine's own rates as yardsticks, a synthetic Llama, and a line a figure.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/safetensors.h"
#include "kernels/rows.h"

namespace uio::bench {

struct Shape {
  std::int64_t hidden = 768, layers = 12, heads = 12, feed = 2048, vocabulary = 32000, positions = 131072;
};

inline bool counts_cpu_time = false;

// Which clock counts, and memory that is kept: fresh pages would be timed with the first runs.
inline void begin(bool counts_cpu) {
  counts_cpu_time = counts_cpu;
  if (counts_cpu) at::set_num_threads(1);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
}

// Seconds of the clock on the wall or, on a machine that others use too, of the processor (with one thread the same on a quiet machine).
inline double now() {
  timespec time;
  clock_gettime(counts_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

inline double middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Times `work` and `yardstick` in turn, after one run of each that warms up: the machine's speed drifts, and a bound taken at another moment
// would be another machine's.
struct Pair {
  std::vector<double> work, yardstick;  // seconds of each run
};
inline Pair in_turn(int runs, const std::function<void()>& work, const std::function<void()>& yardstick) {
  Pair pair;
  for (int i = -1; i < runs; ++i) {
    const double start = now();
    yardstick();
    const double between = now();
    work();
    const double end = now();
    if (i < 0) continue;
    pair.yardstick.push_back(between - start);
    pair.work.push_back(end - between);
  }
  return pair;
}

// A model directory of random weights; written once, reused.
inline void write_model(const std::string& directory, const Shape& s, const std::string& dtype) {
  if (std::filesystem::exists(directory + "/model.safetensors")) return;
  std::filesystem::create_directories(directory);
  const Json config = {{"model_type", "llama"}, {"hidden_size", s.hidden}, {"intermediate_size", s.feed}, {"num_hidden_layers", s.layers},
                       {"num_attention_heads", s.heads}, {"vocab_size", s.vocabulary}, {"max_position_embeddings", s.positions},
                       {"rms_norm_eps", 1e-5}, {"tie_word_embeddings", false}, {"eos_token_id", 2}};
  const auto sink = open_sink(directory + "/config.json");
  sink->write(config.dump());
  sink->commit();
  std::vector<SafetensorsWriter::Entry> entries;
  const std::uint64_t size = dtype == "F32" ? 4 : 2;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    std::uint64_t count = 1;
    for (const std::int64_t n : shape) count *= static_cast<std::uint64_t>(n);
    entries.push_back({name, dtype, shape, count * size});
  };
  add("model.embed_tokens.weight", {s.vocabulary, s.hidden});
  add("lm_head.weight", {s.vocabulary, s.hidden});
  add("model.norm.weight", {s.hidden});
  for (std::int64_t l = 0; l < s.layers; ++l) {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    add(p + "input_layernorm.weight", {s.hidden});
    add(p + "post_attention_layernorm.weight", {s.hidden});
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) add(p + "self_attn." + name + ".weight", {s.hidden, s.hidden});
    add(p + "mlp.gate_proj.weight", {s.feed, s.hidden});
    add(p + "mlp.up_proj.weight", {s.feed, s.hidden});
    add(p + "mlp.down_proj.weight", {s.hidden, s.feed});
  }
  const auto weights = open_sink(directory + "/model.safetensors");
  SafetensorsWriter writer(*weights, entries);
  at::manual_seed(1);
  for (const auto& entry : entries) {
    const at::Tensor values = entry.shape.size() == 1 ? at::ones(entry.shape) : at::randn(entry.shape) * 0.02;
    const at::Tensor stored = values.to(dtype == "F32" ? at::kFloat : at::kBFloat16).contiguous();
    writer.write({static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes()});
  }
  writer.finish();
  weights->commit();
}

// The machine's matrix rate: a square product as LibTorch does it, long enough to be steady.
struct Product {
  explicit Product(at::ScalarType dtype) : a(at::randn({2048, 2048}).to(dtype)), b(at::randn({2048, 2048}).to(dtype)) {}
  void operator()() const { at::linear(a, b); }
  static constexpr double kFlops = 2.0 * 2048 * 2048 * 2048;
  at::Tensor a, b;
};

// The machine's read rate: f32 values read once by all threads, in the plainest loop that is not bound by arithmetic.
struct Read {
  static constexpr std::int64_t kWidth = 4096, kRows = 16384;  // 256 MB
  at::Tensor data = at::ones({kRows, kWidth}), x = at::ones({kWidth}), out = at::empty({kRows});
  void operator()() const {
    at::parallel_for(0, kRows, 64, [&](std::int64_t begin, std::int64_t end) {
      kernels::row_kernels().matvec_f32(data.const_data_ptr<float>() + begin * kWidth, x.const_data_ptr<float>(), out.mutable_data_ptr<float>() + begin,
                                        end - begin, kWidth);
    });
  }
  static constexpr double kBytes = 4.0 * kWidth * kRows;
};

inline void print(const Json& line) {
  std::printf("%s\n", to_json_line(line).c_str());
  std::fflush(stdout);
}

// One line: the work's seconds and amount beside the yardstick's rate in the same run; medians, and the best of each.
inline void report(const char* what, const char* dtype, double tokens, const char* unit, double amount, double yardstick_amount, const Pair& pair) {
  const double seconds = middle(pair.work), rate = yardstick_amount / middle(pair.yardstick);
  const double best = *std::min_element(pair.work.begin(), pair.work.end());
  const double best_rate = yardstick_amount / *std::min_element(pair.yardstick.begin(), pair.yardstick.end());
  print({{"what", what}, {"dtype", dtype}, {"tokens_per_second", tokens / seconds}, {"seconds", seconds}, {unit, amount}, {"machine_rate", rate},
         {"of_bound", amount / rate / seconds}, {"of_bound_best", amount / best_rate / best}, {"runs", pair.work}, {"yardstick_runs", pair.yardstick}});
}

}  // namespace uio::bench
