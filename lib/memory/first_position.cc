#include "memory/first_position.h"

#include <ATen/ATen.h>

namespace uio {

at::Tensor rotate_to_first(const RopeTable& rope, const at::Tensor& keys) {
  return rope.rotate(keys, at::zeros({keys.size(-2)}, at::TensorOptions().dtype(at::kLong).device(keys.device())));
}

}  // namespace uio
