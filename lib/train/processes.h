// The processes of one run, as the trainer sees them. This class is the run of one process; join.h makes the others.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace uio {

// Every function that exchanges something is called by all processes in the same order; it throws Error{kIo} when another one
// cannot be reached any more.
class Processes {
 public:
  virtual ~Processes() = default;
  virtual int rank() const { return 0; }
  virtual int count() const { return 1; }
  // Sums each tensor over all processes, in the order of their ranks, so that every process holds the same bits. In f32 (f64 for
  // f64). The tensors have the same shapes everywhere.
  virtual void sum(const std::vector<at::Tensor>&) {}
  // The same for numbers.
  virtual void add(std::vector<double>&) {}
  // The texts of all processes, in the order of their ranks.
  virtual std::vector<std::string> gather(const std::string& mine) { return {mine}; }
  // Does `work`, which exchanges nothing, and waits until all processes have done theirs. Where any of them throws, the first in
  // the order of ranks has its error told, and every process throws a ToldError of its kind; after that nothing can
  // be exchanged any more.
  virtual void together(const std::function<void()>& work) { work(); }
  // The run is over: waits for all and lets go of them.
  virtual void leave() {}
};

}  // namespace uio
