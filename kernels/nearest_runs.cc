// Ladder: (1) reference: run by run, scale by scale. (2) on the CPU: lib/io/nearest_runs.h. (3) on a CUDA device: cuda/nearest_runs.h, a thread a run; bound by its
// divisions in f64, 14 an item for int4.
#include "kernels/nearest_runs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/device_kernels.h"

namespace uio::kernels {
namespace {

struct Sizes {
  Sizes(const at::Tensor& items, bool is_down)
      : rows(items.size(-2)), columns(items.size(-1)), matrices(items.numel() / (rows * columns)), lines(is_down ? columns : rows), length(is_down ? rows : columns),
        runs_of_line((length + kItemsOfRun - 1) / kItemsOfRun) {}
  std::int64_t rows, columns, matrices, lines, length, runs_of_line;
  std::int64_t runs() const { return matrices * lines * runs_of_line; }
};

double nearest_number(double x, double scale, int greatest) { return std::clamp(std::nearbyint(x / scale), -1.0 * greatest, 1.0 * greatest); }

// Index of the scale for the items of one run.
int choose(const std::vector<double>& items, const RunScales& scales) {
  double largest = 0, least = 0;
  for (const double x : items) largest = std::max(largest, std::fabs(x)), least += x * x;
  int best = -1, tried = 0;
  for (std::size_t i = 0; largest > 0 && i < scales.allowed.size() && tried < scales.most_tried; ++i) {
    const double scale = scales.allowed[i];
    if (scale < scales.least_share * largest / scales.greatest) continue;
    if (scale > std::max(2 * largest / scales.greatest, scales.floor)) break;
    ++tried;
    double squares = 0;
    for (const double x : items) squares += std::pow(x - nearest_number(x, scale, scales.greatest) * scale, 2);
    if (squares < least) least = squares, best = static_cast<int>(i);
  }
  return best;
}

}  // namespace

NearestRuns nearest_runs_reference(const at::Tensor& items, bool is_down, const RunScales& scales) {
  const at::Tensor wide = items.to(at::kCPU, at::kDouble).contiguous();
  const Sizes sizes(items, is_down);
  const NearestRuns found{at::empty(items.sizes(), at::kChar), at::empty({sizes.runs()}, at::kShort)};
  const double* const x = wide.const_data_ptr<double>();
  for (std::int64_t run = 0; run < sizes.runs(); ++run) {
    const std::int64_t begin = run % sizes.runs_of_line * kItemsOfRun, line = run / sizes.runs_of_line % sizes.lines, matrix = run / sizes.runs_of_line / sizes.lines;
    const auto place = [&](std::int64_t i) { return (matrix * sizes.rows + (is_down ? begin + i : line)) * sizes.columns + (is_down ? line : begin + i); };
    std::vector<double> here;
    for (std::int64_t i = 0; i < kItemsOfRun && begin + i < sizes.length; ++i) here.push_back(x[place(i)]);
    const int chosen = choose(here, scales);
    found.chosen.mutable_data_ptr<std::int16_t>()[run] = static_cast<std::int16_t>(chosen);
    for (std::size_t i = 0; i < here.size(); ++i)
      found.numbers.mutable_data_ptr<std::int8_t>()[place(static_cast<std::int64_t>(i))] =
          chosen < 0 ? std::int8_t{0} : static_cast<std::int8_t>(nearest_number(here[i], scales.allowed[static_cast<std::size_t>(chosen)], scales.greatest));
  }
  return found;
}

bool has_nearest_runs(const at::Tensor& items) {
  const CudaKernels* device = device_kernels(items);
  return device && device->nearest_runs && has_number(items.scalar_type()) && items.dim() >= 2 && items.numel() > 0;
}

std::optional<NearestRuns> nearest_runs(const at::Tensor& items, bool is_down, const RunScales& scales) {
  if (!has_nearest_runs(items)) return std::nullopt;
  const at::Tensor dense = items.contiguous();
  const Sizes sizes(items, is_down);
  const at::Tensor allowed = at::tensor(at::ArrayRef<double>(scales.allowed.data(), scales.allowed.size())).to(items.device());
  const NearestRuns found{at::empty(items.sizes(), items.options().dtype(at::kChar)), at::empty({sizes.runs()}, items.options().dtype(at::kShort))};
  launch("nearest_runs", device_kernels(items)->nearest_runs,
         NearestRunsJob{dense.const_data_ptr(), number_of(dense), sizes.matrices, sizes.rows, sizes.columns, is_down, allowed.const_data_ptr<double>(),
                        static_cast<int>(scales.allowed.size()), scales.floor, scales.greatest, scales.least_share, scales.most_tried,
                        found.numbers.mutable_data_ptr<std::int8_t>(), found.chosen.mutable_data_ptr<std::int16_t>()},
         items);
  return found;
}

}  // namespace uio::kernels
