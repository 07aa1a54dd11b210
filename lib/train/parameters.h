// The weights that a run trains: by the names of their public files, as leaves with gradients in f32 (f64 for f64).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "memory/adapter.h"
#include "model/model.h"

namespace uio {

enum class Trainable { kAdapter, kFull, kBase };
Trainable trainable_named(const std::string& name);  // "adapter", "full", "base"; Error{kUsage} otherwise

struct Parameter {
  std::string name;
  at::Tensor value;            // leaf
  bool decays = true;          // weight decay: matrices only; token rows, norms and biases have none
  bool maps_features = false;  // a matrix from features to features: not the token rows, not the head
  bool of_base = false;        // belongs to the base model's files, not to the adapter's
};

class Parameters {
 public:
  // Replaces what is to be trained in `model` and `adapter` (null without one) by leaves, in the order of their names.
  Parameters(Trainable trainable, Model& model, Adapter* adapter);

  const std::vector<Parameter>& all() const { return all_; }
  std::int64_t values() const;  // how many numbers
  void clear_gradients();
  // Gradient of the i-th, zeros where none came.
  at::Tensor gradient(std::size_t i) const;

 private:
  std::vector<Parameter> all_;
};

}  // namespace uio
