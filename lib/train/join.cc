#include "train/join.h"

#include "train/group.h"
#include "train/mpi.h"
#include "train/store.h"

namespace uio {

std::unique_ptr<Processes> join_processes(const Launch& launch, Host& host) {
  switch (launch.meeting) {
    case Launch::Meeting::kNone: break;
    case Launch::Meeting::kMpi: return make_group(join_by_mpi(launch, host), host);
    case Launch::Meeting::kStore: return make_group(join_at_store(launch, host), host);
  }
  return std::make_unique<Processes>();
}

}  // namespace uio
