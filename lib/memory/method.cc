#include "memory/method.h"

#include "base/error.h"

namespace uio {
namespace {

constexpr MethodEntry kMethods[] = {
    {"uio", "keys and values of each layer", "independent", "LoRA encoder with memory tokens, LoRA transfer head (arXiv 2406.18173)", make_uio},
};

}  // namespace

std::span<const MethodEntry> memory_methods() { return kMethods; }

std::unique_ptr<MemoryMethod> make_method(const Model& model, Adapter adapter) {
  std::string known;
  for (const MethodEntry& entry : kMethods) {
    if (entry.name == adapter.config.method) return entry.make(model, std::move(adapter));
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error(ErrorKind::kMismatch, "unsupported memory method", adapter.config.method, "this build has: " + known);
}

}  // namespace uio
