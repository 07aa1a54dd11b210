#include "train/nccl.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/nccl_plugin.h"
#include "model/cuda_plugin.h"

namespace uio {
namespace {

class NcclTransport : public Transport {
 public:
  NcclTransport(const kernels::NcclApi& api, void* communicator, int rank, int count)
      : api_(api), communicator_(communicator), rank_(rank), count_(count) {}
  int rank() const override { return rank_; }
  int count() const override { return count_; }
  void exchange(const void* mine, void* theirs, std::size_t bytes) override { check(api_.exchange(communicator_, mine, theirs, bytes)); }
  void gather(const void* mine, void* all, std::size_t bytes) override { check(api_.gather(communicator_, mine, all, bytes)); }
  void leave() override { check(api_.leave(communicator_)); }

 private:
  void check(int error) const {
    if (error != 0) throw Error(ErrorKind::kIo, "the other processes cannot be reached", "", std::string("NCCL: ") + api_.text(error));
  }
  const kernels::NcclApi& api_;
  void* communicator_;
  int rank_, count_;
};

}  // namespace

std::unique_ptr<Transport> join_by_nccl(Transport& meeting, int device, Host& host) {
  const std::string place = "cuda:" + std::to_string(device);
  const auto get_api = reinterpret_cast<decltype(&uio_nccl_api)>(cuda_symbol("uio_nccl_api"));
  const kernels::NcclApi* api = get_api ? get_api() : nullptr;
  if (api == nullptr || api->version != kernels::kNcclApiVersion)
    throw Error(ErrorKind::kDevice, "several processes on GPUs need NCCL", place, "the CUDA plugin was built without it", "--device cpu");

  // The first in the order of ranks makes it.
  std::vector<char> mine(kernels::kNcclIdBytes), all(kernels::kNcclIdBytes * static_cast<std::size_t>(meeting.count()));
  const std::string failed = "NCCL does not start";
  if (meeting.rank() == 0)
    if (const int error = api->make_id(mine.data())) throw Error(ErrorKind::kDevice, failed, place, api->text(error));
  meeting.gather(mine.data(), all.data(), mine.size());
  void* communicator = nullptr;
  if (const int error = api->join(device, all.data(), meeting.rank(), meeting.count(), &communicator))
    throw Error(ErrorKind::kDevice, failed, place, api->text(error));
  host.note("gradients are summed by NCCL on " + place);
  return std::make_unique<NcclTransport>(*api, communicator, meeting.rank(), meeting.count());
}

}  // namespace uio
