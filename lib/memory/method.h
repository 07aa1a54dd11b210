// A memory method: how past text reaches the decoder. One file and one row of the table each (design: uio(7), METHODS).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/record.h"
#include "memory/adapter.h"
#include "model/model.h"

namespace uio {

// Keys and values of memories, per layer. Keys are un-rotated.
struct KeysValues {
  at::Tensor keys, values;  // [B, N, G, M, d], placement.stored
};

class MemoryMethod {
 public:
  virtual ~MemoryMethod() = default;
  virtual const Adapter& adapter() const = 0;
  // Whether a segment's memory depends on the memories before it in its document.
  virtual bool is_recurrent() const { return false; }
  // Hidden memories of whole segments, ids [B, n] int64 with n ≤ L (fewer than L where their content closed them): [B, N, M, D] in
  // placement.stored. A segment's memory does not depend on the others in the batch. `earlier`: those of the documents' segments before, oldest first, where the method is recurrent.
  // Differentiable in the adapter, in the base's weights and in `earlier`, where these require gradients; so is transfer().
  virtual at::Tensor encode(const at::Tensor& ids, std::span<const at::Tensor> earlier = {}) const = 0;
  // What the decoder reads: hidden [B, N, M, D] through the transfer head.
  virtual KeysValues transfer(const at::Tensor& hidden) const = 0;
  // What compressing takes, from shapes alone; the model's weights may be of the meta device.
  // Arithmetic of the products that make the memory of a segment of n tokens in that form, in FLOPs: two for a multiplication and the
  // addition to its sum. Norms, rotations and exponentials, which are less by the width of a layer, are not in it.
  virtual double segment_flops(std::int64_t tokens, Form form) const = 0;
  // Allocates and lets go, in the order of a run, tensors as large as those that compressing `batch` such segments makes. They are never
  // filled: what the heap grows by is what such a run takes.
  virtual void rehearse(std::int64_t batch, std::int64_t tokens, Form form) const = 0;
  // Whether compressing reads the base's weight of that name.
  virtual bool reads_weight(const std::string& name, Form form) const = 0;

  std::int64_t segment_length() const { return adapter().config.segment_length; }
  std::int64_t memory_length() const { return adapter().config.memory_length; }
};

struct MethodEntry {
  std::string_view name;     // as in adapter_config.json and in memories
  std::string_view carrier;  // what a memory is
  std::string_view encoder;  // whether a segment's memory sees those before it
  std::string_view summary;
  std::unique_ptr<MemoryMethod> (*make)(const Model& model, Adapter adapter);
};

std::span<const MethodEntry> memory_methods();
// The method that the adapter names. Throws Error{kMismatch} naming it when there is none such. Keeps a reference to `model`.
std::unique_ptr<MemoryMethod> make_method(const Model& model, Adapter adapter);

std::unique_ptr<MemoryMethod> make_uio(const Model& model, Adapter adapter);

}  // namespace uio
