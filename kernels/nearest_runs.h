// The whole numbers and scales that come nearest to runs of items, found where the items lie: what lib/io/nearest_runs.h does for items in memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>

namespace uio::kernels {

// What may be chosen: see lib/io/quantise.h, of which it comes.
struct RunScales {
  std::span<const double> allowed;  // ascending
  double floor;                     // scales up to this are tried whatever the items are
  int greatest;                     // of the numbers
  double least_share;               // of the largest item that the greatest number may stand for
  int most_tried;
};

struct NearestRuns {
  at::Tensor numbers;  // int8, of the items' sizes
  at::Tensor chosen;   // int16 [runs], line by line: which scale; -1: 0
};

// Whether items of that type, where they lie, have a kernel for it.
bool has_nearest_runs(const at::Tensor& items);
// Of items [..., rows, columns], f32 or bf16, on a device that has a kernel for it; nothing elsewhere. A run is 32 items of a column (is_down) or of a row, or what
// is left of it. The bits of lib/io.
std::optional<NearestRuns> nearest_runs(const at::Tensor& items, bool is_down, const RunScales& scales);
// The same of items anywhere, one run after the other: the oracle of the device's kernel. The result is on the CPU.
NearestRuns nearest_runs_reference(const at::Tensor& items, bool is_down, const RunScales& scales);

}  // namespace uio::kernels
