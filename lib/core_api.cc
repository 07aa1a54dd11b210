// The one symbol of libuio_core.so that programs ask for: see io/jobs.h.
#include <ATen/Version.h>
#include <torch/csrc/api/include/torch/version.h>

#include <c10/util/Exception.h>

#include "base/error.h"
#include "io/jobs.h"
#include "kernels/policy.h"
#include "memory/compress.h"
#include "memory/decode.h"
#include "score/score.h"
#include "train/train.h"

namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::vector<std::string> versions() {
  return {"LibTorch " TORCH_VERSION, std::string("row kernels ") + uio::kernels::instruction_set()};
}

// LibTorch's exceptions become ours, so that no program needs to know its types.
template <typename Job, void (*work)(const Job&, uio::JobIo&)>
void guarded(const Job& job, uio::JobIo& io) {
  using uio::Error, uio::ErrorKind;
  try {
    uio::kernels::force_reference(job.choice.reference);
    work(job, io);
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(ErrorKind::kDevice, "out of memory", job.choice.device, first_line(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string text = first_line(error.what_without_backtrace());
    const bool is_memory = text.find("can't allocate memory") != std::string::npos || text.find("not enough memory") != std::string::npos;
    throw Error(is_memory ? ErrorKind::kDevice : ErrorKind::kInternal, is_memory ? "out of memory" : "internal error", "", text);
  }
}

constexpr uio::CoreApi kApi = {uio::kCoreApiVersion, guarded<uio::CompressJob, uio::compress>, guarded<uio::DecodeJob, uio::decode>,
                               guarded<uio::ScoreJob, uio::score>,
                               guarded<uio::TrainJob, uio::train>, uio::estimator_table, versions};

}  // namespace

extern "C" const uio::CoreApi* uio_core_api() { return &kApi; }
