// libuio_mpi.so: the part of the trainer that knows MPI; see train/mpi_plugin.h. Only bytes are moved here: sums are ours, so that
// their order is.
#include <mpi.h>

#include <algorithm>
#include <climits>

#include "train/mpi_plugin.h"

namespace {

int processes = 1;

int join(int* rank, int* count) {
  int provided = 0;
  // Other threads compute, this one alone calls MPI.
  if (const int error = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided)) return error;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (const int error = MPI_Comm_rank(MPI_COMM_WORLD, rank)) return error;
  if (const int error = MPI_Comm_size(MPI_COMM_WORLD, count)) return error;
  processes = *count;
  return 0;
}

// MPI counts in int; slices are far below that, texts might not be.
int exchange(const void* mine, void* theirs, std::size_t bytes) {
  if (bytes > INT_MAX) return MPI_ERR_COUNT;
  const int n = static_cast<int>(bytes);
  return MPI_Alltoall(mine, n, MPI_BYTE, theirs, n, MPI_BYTE, MPI_COMM_WORLD);
}

int gather(const void* mine, void* all, std::size_t bytes) {
  if (bytes > INT_MAX) return MPI_ERR_COUNT;
  const int n = static_cast<int>(bytes);
  return MPI_Allgather(mine, n, MPI_BYTE, all, n, MPI_BYTE, MPI_COMM_WORLD);
}

int leave() { return MPI_Finalize(); }

const char* text(int error) {
  static char buffer[MPI_MAX_ERROR_STRING + 1];
  int length = 0;
  if (MPI_Error_string(error, buffer, &length) != MPI_SUCCESS) length = 0;
  buffer[length] = '\0';
  return buffer;
}

const char* library() {
  static char buffer[MPI_MAX_LIBRARY_VERSION_STRING + 1];
  int length = 0;
  if (MPI_Get_library_version(buffer, &length) != MPI_SUCCESS) length = 0;
  buffer[length] = '\0';
  *std::find(buffer, buffer + length, '\n') = '\0';
  return buffer;
}

constexpr uio::MpiApi kApi = {uio::kMpiApiVersion, join, exchange, gather, leave, text, library};

}  // namespace

extern "C" const uio::MpiApi* uio_mpi_api() { return &kApi; }
