// The one symbol of libuio_core.so that programs ask for: see io/jobs.h.
#include <ATen/Version.h>
#include <torch/csrc/api/include/torch/version.h>

#include "io/jobs.h"
#include "kernels/policy.h"
#include "memory/compress.h"
#include "memory/decode.h"
#include "score/score.h"

namespace {

std::vector<std::string> versions() {
  return {"LibTorch " TORCH_VERSION, std::string("row kernels ") + uio::kernels::instruction_set()};
}

constexpr uio::CoreApi kApi = {uio::kCoreApiVersion, uio::compress, uio::decode, uio::score, versions};

}  // namespace

extern "C" const uio::CoreApi* uio_core_api() { return &kApi; }
