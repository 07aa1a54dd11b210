// What moves bytes between the processes of a run. MPI, a store and NCCL have one each; what is made of it is in group.h.
#pragma once

#include <cstddef>

namespace uio {

// Both functions are called by all processes in the same order with the same `bytes`, and throw Error{kIo} when that fails. The
// buffers lie in the memory that the transport is for: the host's, or the device's (NCCL).
class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int count() const = 0;
  // Process i gets the i-th slice of `mine` (count × bytes) of everyone: in `theirs` (count × bytes) the r-th is from process r.
  virtual void exchange(const void* mine, void* theirs, std::size_t bytes) = 0;
  // Everyone gets `mine` (bytes) of everyone, in the order of ranks, in `all` (count × bytes).
  virtual void gather(const void* mine, void* all, std::size_t bytes) = 0;
  // Waits for all; nothing is moved afterwards.
  virtual void leave() = 0;
};

}  // namespace uio
