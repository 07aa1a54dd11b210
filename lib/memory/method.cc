#include "memory/method.h"

#include "base/error.h"

namespace uio {
namespace {

constexpr MethodEntry kMethods[] = {
    {"uio", true, "keys and values of each layer", "independent", "LoRA encoder with memory tokens, LoRA transfer head (arXiv 2406.18173)", make_uio},
    {"fot", false, "raw keys and values of the memory layers", "recurrent", "windows of tokens, attended to beside the local window (arXiv 2307.03170)", make_fot},
};

}  // namespace

std::span<const MethodEntry> memory_methods() { return kMethods; }

const MethodEntry& find_method(const std::string& name) {
  std::string known;
  for (const MethodEntry& entry : kMethods) {
    if (entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error(ErrorKind::kMismatch, "unsupported memory method", name, "this build has: " + known);
}

std::unique_ptr<MemoryMethod> make_method(const Model& model, Adapter adapter) {
  const MethodEntry& entry = find_method(adapter.config.method);
  return entry.make(model, std::move(adapter));
}

}  // namespace uio
