// Ladder: (1) reference: the weight widened, at::linear; MKL reaches 0.6 to 0.75 of the arithmetic of an AMD CPU with AVX2, less with wide weights. (2) shipped there:
// panels of both factors in the order in which tiles of 6 by 16 results read them (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008).
// Rows are laid out once for all weights, weights a run of 256 numbers and some 200 rows at a time, so that a panel stays in a core's first cache and rows in its second;
// narrow ones are widened on the way. Bound: the CPU's multiplications.
#include "kernels/many_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

#include "kernels/policy.h"
#include "kernels/rows.h"
#include "kernels/scratch.h"

namespace uio::kernels {
namespace {

constexpr std::int64_t kRun = 256;     // numbers of a row that a panel has: 16 KB with 16 columns
constexpr std::int64_t kPanels = 12;   // of weights at once: 192 KB
constexpr std::int64_t kStrips = 20;   // of rows at once: 120 KB

// Rows [R, in] in strips of six: run by run, in each the strips one behind the other, in each strip the rows' first numbers, then their second.
class Strips {
 public:
  Strips(const at::Tensor& x, std::int64_t threads)
      : rows_(x.size(0)), in_(x.size(1)), packed_(scratch({rows_ * in_})), data_(packed_.mutable_data_ptr<float>()) {
    const float* from = x.const_data_ptr<float>();
    at::parallel_for(0, count(), (count() + threads - 1) / threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t run = 0; run < in_; run += kRun)
        for (std::int64_t strip = begin; strip < end; ++strip)
          tiles()->pack_rows(from + strip * kTileRows * in_ + run, in_, rows_of(strip), data_ + place(strip, run), length(run));
    });
  }
  std::int64_t count() const { return (rows_ + kTileRows - 1) / kTileRows; }
  std::int64_t rows_of(std::int64_t strip) const { return std::min(kTileRows, rows_ - strip * kTileRows); }
  std::int64_t length(std::int64_t run) const { return std::min(kRun, in_ - run); }
  std::int64_t in() const { return in_; }
  const float* at(std::int64_t strip, std::int64_t run) const { return data_ + place(strip, run); }

 private:
  std::int64_t place(std::int64_t strip, std::int64_t run) const { return run * rows_ + strip * kTileRows * length(run); }
  std::int64_t rows_, in_;
  at::Tensor packed_;
  float* data_;
};

// One thread's panels of weights.
class Panels {
 public:
  // Rows [16 · first, …) of the weight, `count` panels of them, of which the numbers [run, run + length) are laid out.
  void set(const RowWeight& weight, std::int64_t first, std::int64_t count, std::int64_t run, std::int64_t length) {
    for (std::int64_t panel = 0; panel < count; ++panel) {
      const std::int64_t row = (first + panel) * kTileColumns, rows = std::min(kTileColumns, weight.out - row), at = row * weight.in + run;
      float* const to = data_ + panel * kTileColumns * length;
      if (weight.dtype == at::kFloat) {
        tiles()->pack_columns(static_cast<const float*>(weight.values) + at, weight.in, rows, to, length);
        continue;
      }
      for (std::int64_t r = 0; r < rows; ++r) widen(weight, row + r, at + r * weight.in, wide_.data() + r * kRun, length);
      tiles()->pack_columns(wide_.data(), kRun, rows, to, length);
    }
  }
  const float* at(std::int64_t panel, std::int64_t length) const { return data_ + panel * kTileColumns * length; }

 private:
  static void widen(const RowWeight& weight, std::int64_t row, std::int64_t at, float* to, std::int64_t length) {
    const RowKernels& kernel = row_kernels();
    if (weight.dtype == at::kChar) return kernel.widen_i8(static_cast<const std::int8_t*>(weight.values) + at, weight.scales[row], to, length);
    (weight.dtype == at::kBFloat16 ? kernel.widen_bf16 : kernel.widen_f16)(static_cast<const std::uint16_t*>(weight.values) + at, to, length);
  }
  at::Tensor memory_ = at::empty({kPanels * kTileColumns * kRun}, at::kFloat);  // which begins with a cache line
  float* data_ = memory_.mutable_data_ptr<float>();
  std::array<float, kTileColumns * kRun> wide_;
};

// Panels [first, first + count) of a weight's results, of 16 rows of the weight each.
void multiply(const Strips& x, const RowWeight& weight, std::int64_t first, std::int64_t count, Panels& panels, float* out) {
  const auto tile = tiles()->tile;
  float edge[kTileRows * kTileColumns];  // a tile of which the last columns do not exist
  for (std::int64_t run = 0; run < x.in(); run += kRun) {
    const std::int64_t length = x.length(run);
    panels.set(weight, first, count, run, length);
    for (std::int64_t begin = 0; begin < x.count(); begin += kStrips) {
      const std::int64_t end = std::min(begin + kStrips, x.count());
      for (std::int64_t panel = 0; panel < count; ++panel) {
        const std::int64_t column = (first + panel) * kTileColumns, columns = std::min(kTileColumns, weight.out - column);
        for (std::int64_t strip = begin; strip < end; ++strip) {
          float* const to = out + strip * kTileRows * weight.out + column;
          const std::int64_t rows = x.rows_of(strip);
          if (columns == kTileColumns) {
            tile(x.at(strip, run), rows, panels.at(panel, length), length, to, weight.out, run > 0);
            continue;
          }
          for (std::int64_t r = 0; run > 0 && r < rows; ++r) std::copy_n(to + r * weight.out, columns, edge + r * kTileColumns);
          tile(x.at(strip, run), rows, panels.at(panel, length), length, edge, kTileColumns, run > 0);
          for (std::int64_t r = 0; r < rows; ++r) std::copy_n(edge + r * kTileColumns, columns, to + r * weight.out);
        }
      }
    }
  }
}

}  // namespace

bool has_many_rows() { return tiles() != nullptr && !is_reference_forced(); }

bool fits_many_rows(const at::Tensor& x) {
  return has_many_rows() && x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous() && x.numel() > 0 && !x.requires_grad();
}

std::vector<at::Tensor> many_rows_each(const at::Tensor& x, std::span<const RowWeight> weights) {
  std::vector<at::Tensor> results;
  std::vector<float*> targets;
  std::int64_t multiplications = 0;
  for (const RowWeight& weight : weights) {
    results.push_back(at::empty({x.size(0), weight.out}, x.options()));
    targets.push_back(results.back().mutable_data_ptr<float>());
    multiplications += x.numel() * weight.out;
  }
  constexpr std::int64_t kLeast = 1 << 19;  // multiplications that are worth a thread: some 10 µs
  const std::int64_t threads = at::in_parallel_region() ? 1 : std::clamp<std::int64_t>(multiplications / kLeast, 1, at::get_num_threads());
  const Strips strips(x, threads);
  static_assert(Shares::kRows == kTileColumns);
  Shares shares(weights, threads);
  for_each_member(threads, [&](std::int64_t member) {
    Panels panels;
    shares.take(member, [&](std::size_t which, std::int64_t first, std::int64_t count) {
      const std::int64_t end = (first + count + kTileColumns - 1) / kTileColumns;
      for (std::int64_t panel = first / kTileColumns; panel < end; panel += kPanels)
        multiply(strips, weights[which], panel, std::min(kPanels, end - panel), panels, targets[which]);
    });
  });
  return results;
}

std::vector<at::Tensor> rows_each(const at::Tensor& x, std::span<const RowWeight> weights) {
  if (is_few(x.size(0), weights.front().dtype)) return few_rows_each(x, weights);
  return fits_many_rows(x) ? many_rows_each(x, weights) : std::vector<at::Tensor>();
}

}  // namespace uio::kernels
