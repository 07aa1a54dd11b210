// The one symbol of libuio_core.so that programs ask for: see io/jobs.h.
#include <ATen/Version.h>
#include <torch/csrc/api/include/torch/version.h>

#include <c10/util/Exception.h>

#include "io/jobs.h"
#include "kernels/policy.h"
#include "memory/compress.h"
#include "memory/decode.h"
#include "memory/index_job.h"
#include "model/tensor_error.h"
#include "score/score.h"
#include "train/train.h"

namespace {

std::vector<std::string> versions() {
  return {"LibTorch " TORCH_VERSION, std::string("row kernels ") + uio::kernels::instruction_set()};
}

// LibTorch's exceptions become ours, so that no program needs to know its types.
template <typename Job, void (*work)(const Job&, uio::JobIo&)>
void guarded(const Job& job, uio::JobIo& io) {
  try {
    uio::kernels::force_reference(job.choice.reference);
    work(job, io);
  } catch (const c10::Error&) {
    throw uio::error_of(std::current_exception(), job.choice.device);
  }
}

constexpr uio::CoreApi kApi = {uio::kCoreApiVersion, guarded<uio::CompressJob, uio::compress>, guarded<uio::IndexJob, uio::make_key_indexes>, guarded<uio::DecodeJob, uio::decode>,
                               guarded<uio::ScoreJob, uio::score>,
                               guarded<uio::TrainJob, uio::train>, uio::estimator_table, versions};

}  // namespace

extern "C" const uio::CoreApi* uio_core_api() { return &kApi; }
