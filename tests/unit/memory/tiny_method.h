// A tiny model with a random adapter, ready to encode.
#pragma once

#include <memory>

#include "memory/context.h"
#include "memory/method.h"
#include "unit/model/plain_decoder.h"
#include "unit/model/tiny.h"

namespace uio::test {

struct TinyMethod {
  explicit TinyMethod(const Json& model_changes = Json::object(), const Json& adapter_changes = Json::object(),
                      at::ScalarType dtype = at::kDouble, bool is_shared = false)
      : tiny(model_changes), config(tiny_adapter_config(adapter_changes)), model(tiny.load(dtype)) {
    weights = tiny_adapter_weights(config, model.config(), 77, is_shared);
    make();
  }
  // Reads the adapter anew from `config` and `weights`.
  void make() {
    write_adapter(tiny.scratch, config, weights);
    method = make_method(model, load_adapter(tiny.scratch.path("adapter"), model));
  }
  KeysValues memory(const std::vector<std::int32_t>& ids) const { return method->transfer(method->encode(ids_tensor(ids))); }
  at::Tensor logits(const at::Tensor& x) const { return model.logits(model.final_norm(x)); }

  TinyModel tiny;
  Json config;
  Model model;
  Tensors weights;
  std::unique_ptr<MemoryMethod> method;
};

// ids[begin, begin + count)
inline std::vector<std::int32_t> part(const std::vector<std::int32_t>& ids, std::int64_t begin, std::int64_t count) {
  return {ids.begin() + begin, ids.begin() + begin + count};
}

}  // namespace uio::test
