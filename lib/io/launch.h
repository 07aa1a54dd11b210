// How a process was started: alone, or as one of several that make one run together.
#pragma once

#include <string>

namespace uio {

struct Launch {
  enum class Meeting {
    kNone,   // alone
    kMpi,    // the processes find each other by MPI
    kStore,  // at a key-value store that listens at `address`:`port`, as torchrun has it
  };
  Meeting meeting = Meeting::kNone;
  int rank = 0, count = 1;              // among all
  int local_rank = 0, local_count = 1;  // among those on this machine; 0 of 1 where the launcher does not say
  std::string launcher;                 // "mpirun", "srun", "torchrun": for messages
  std::string address;
  int port = 0;
  bool has_server = false;  // the launcher keeps the store; otherwise the first process does
  std::string attempt;      // sets a run that was started again apart from the one before in the same store
};

}  // namespace uio
