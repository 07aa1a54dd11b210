// What mpirun, srun and torchrun tell the processes that they start.
#pragma once

#include <string>
#include <vector>

#include "io/launch.h"

namespace uio::cli {

// Reads the environment: torchrun's RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, else what MPI's launchers set (Open MPI, MPICH
// and its relatives), else what srun sets for a step of several tasks. Alone where none of them names more than one process.
// Throws Error{kUsage} for values that are no numbers or do not fit together.
Launch find_launch();

// Throws Error{kUsage} when several processes would read standard input, which launchers give to one.
void check_launch(const Launch& launch, const std::vector<std::string>& inputs, const std::vector<std::string>& more_inputs);

// Threads of one process when `threads` (0: not said) and OMP_NUM_THREADS say nothing: the cores that it may use, shared with
// the other processes of its machine. 0 when it is alone there: LibTorch's own choice.
int share_of_threads(const Launch& launch, int threads);

// The device of one process: of `auto` and `cuda` the GPU of its number on its machine, "auto:N" and "cuda:N"; others as they are.
std::string share_of_devices(const Launch& launch, const std::string& device);

}  // namespace uio::cli
