// Where a model computes, and in which numbers: what --device and --dtype mean on this machine.
#pragma once

#include <string>

#include "base/host.h"
#include "io/jobs.h"
#include "model/model.h"

namespace uio {

// Chooses and prepares device and numbers: threads, the CUDA plugin (loaded before LibTorch is asked anything about CUDA).
// dtype `auto` is the checkpoint's own. bf16 on a CPU without bf16 products, and f16 on any CPU, is stored as asked and computed in f32,
// and so is everything around int8 weights. Throws Error{kDevice} for an explicit device that is not there, Error{kUsage} for names that are none.
Placement choose_placement(const ModelChoice& choice, Host& host);

}  // namespace uio
