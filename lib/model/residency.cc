#include "model/residency.h"

#include <algorithm>
#include <span>

#include "model/checkpoint.h"
#include "model/tensor.h"

namespace uio {
namespace {

// Linux maps 16 pages around one that is touched, as far as they are in its cache.
constexpr std::uintptr_t kTouched = 1 << 16;

// Bytes that become resident when the rows of `ids` are read.
std::uint64_t bytes_of_rows(const TensorView& view, const std::vector<bool>& ids) {
  const auto begin = reinterpret_cast<std::uintptr_t>(view.bytes.data());
  const std::uintptr_t row = ids.empty() ? 0 : view.bytes.size() / ids.size();
  std::uint64_t bytes = 0;
  std::uintptr_t next = 0;  // the first stretch that no row before has touched
  for (std::size_t id = 0; id < ids.size(); ++id) {
    if (!ids[id] || row == 0) continue;
    const std::uintptr_t first = std::max(next, (begin + id * row) / kTouched), last = (begin + (id + 1) * row - 1) / kTouched;
    if (last < first) continue;
    bytes += (last - first + 1) * kTouched;
    next = last + 1;
  }
  return std::min<std::uint64_t>(bytes, view.bytes.size() + 2 * kTouched);
}

at::ScalarType wanted_type(const std::string& name, const Placement& placement) {
  return name.ends_with("norm.weight") ? placement.residual() : name.ends_with(".bias") ? placement.computed : placement.stored;
}

}  // namespace

std::uint64_t resident_weights(const std::string& directory, const ModelConfig& config, const Placement& placement, const WeightUse& use) {
  const Checkpoint checkpoint(directory);
  std::uint64_t bytes = 0;
  for (const auto& [name, view] : checkpoint.tensors()) {
    if ((config.tied_embeddings && name == "lm_head.weight") || name.ends_with(".rotary_emb.inv_freq")) continue;
    const at::ScalarType has = scalar_type_of(view.dtype, name), wants = wanted_type(name, placement);
    const bool is_copied = has != wants || reinterpret_cast<std::uintptr_t>(view.bytes.data()) % c10::elementSize(has) != 0;
    if (is_copied) bytes += view.bytes.size() / c10::elementSize(has) * c10::elementSize(wants);
    if (is_copied || use.is_hashed) bytes += view.bytes.size();
    else if (name == "model.embed_tokens.weight") bytes += bytes_of_rows(view, use.ids);
    else if (use.reads(name)) bytes += view.bytes.size();
  }
  return bytes;
}

}  // namespace uio
