// What a run leaves for others: the trained parts in their public files, and gradients by the same names.
#pragma once

#include <string>

#include "memory/adapter.h"
#include "train/parameters.h"

namespace uio {

// Writes what was trained into `directory`: an adapter (adapter_config.json, adapter_model.safetensors), a base model
// (config.json and tokenizer files of the model's directory, model.safetensors), or a base with its adapter in `adapter/`.
// `windows`: of memory layers that were trained, which the configuration then names; null: none. Each file is replaced atomically, weights before configurations. `dtype`: f32, bf16, f16. Throws Error{kIo}.
void export_trained(const std::string& directory, const std::string& dtype, Trainable trainable, const Parameters& parameters, const Model& model,
                    const AdapterConfig* adapter, const WindowSettings* windows);

// The gradient of one step, before clipping, as safetensors under the tensors' public names.
void write_gradients(const std::string& path, const Parameters& parameters, const std::vector<at::Tensor>& gradients);

}  // namespace uio
