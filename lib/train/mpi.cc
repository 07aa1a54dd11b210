#include "train/mpi.h"

#include <string>

#include "base/error.h"
#include "base/plugin.h"
#include "train/mpi_plugin.h"

namespace uio {
namespace {

class MpiTransport : public Transport {
 public:
  MpiTransport(const MpiApi& api, int rank, int count) : api_(api), rank_(rank), count_(count) {}
  int rank() const override { return rank_; }
  int count() const override { return count_; }
  void exchange(const void* mine, void* theirs, std::size_t bytes) override { check(api_.exchange(mine, theirs, bytes)); }
  void gather(const void* mine, void* all, std::size_t bytes) override { check(api_.gather(mine, all, bytes)); }
  void leave() override { check(api_.leave()); }

 private:
  void check(int error) const {
    if (error != 0) throw Error(ErrorKind::kIo, "the other processes cannot be reached", "", std::string("MPI: ") + api_.text(error));
  }
  const MpiApi& api_;
  int rank_, count_;
};

}  // namespace

std::unique_ptr<Transport> join_by_mpi(const Launch& launch, Host& host) {
  const Plugin plugin = open_plugin("libuio_mpi.so");
  const std::string missing = "several processes need MPI";
  const std::string hint = "install MPI and build uio with it, or start the processes with torchrun";
  if (plugin.handle == nullptr) throw Error(ErrorKind::kDevice, missing, launch.launcher, "built without it, or its library is missing: " + plugin.reason, hint);
  const auto get_api = reinterpret_cast<decltype(&uio_mpi_api)>(symbol_of(plugin, "uio_mpi_api"));
  const MpiApi* api = get_api ? get_api() : nullptr;
  if (api == nullptr || api->version != kMpiApiVersion) throw Error(ErrorKind::kDevice, missing, launch.launcher, "libuio_mpi.so is of another version", hint);

  int rank = 0, count = 0;
  if (const int error = api->join(&rank, &count)) throw Error(ErrorKind::kDevice, "MPI does not start", launch.launcher, api->text(error));
  // The two differ when the launcher is another MPI's, or srun's without its PMI: each process would train the whole run.
  if (rank != launch.rank || count != launch.count)
    throw Error(ErrorKind::kDevice, "the processes do not find each other", launch.launcher,
                "it says process " + std::to_string(launch.rank) + " of " + std::to_string(launch.count) + ", MPI " + std::to_string(rank) + " of " +
                    std::to_string(count),
                std::string("use the launcher of ") + api->library() + (launch.launcher == "srun" ? "; srun may need --mpi=pmix" : ""));
  host.note(std::string("process ") + std::to_string(rank) + " of " + std::to_string(count) + ", " + api->library());
  return std::make_unique<MpiTransport>(*api, rank, count);
}

}  // namespace uio
