// Launches the bodies of the CUDA kernels on one thread: a block's threads take turns, from barrier to barrier, in an order
// that changes from turn to turn. What thread_launch.h does, without waiting for other threads to wake up: for the many cases
// of tests/ops.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "kernels/cuda/table.h"
#include "kernels/device_kernels.h"

namespace uio::test {

// Whatever a test puts into use is gone after it.
struct TakenBack {
  ~TakenBack() { kernels::set_device_kernels(nullptr, at::kCPU); }
};

// Functions that go on in turn. Only one such run at a time on a thread.
class Fibres {
 public:
  // Calls body(0) … body(count − 1), all of them under way at once.
  static void run(int count, const std::function<void(int)>& body) {
    Fibres& here = instance();
    here.body_ = &body;
    here.contexts_.resize(static_cast<std::size_t>(count));
    here.is_done_.assign(static_cast<std::size_t>(count), false);
    while (here.stacks_.size() < here.contexts_.size()) here.stacks_.emplace_back(kStack);
    std::vector<int> order;
    for (int i = 0; i < count; ++i) {
      ucontext_t& context = here.contexts_[static_cast<std::size_t>(i)];
      getcontext(&context);
      context.uc_stack.ss_sp = here.stacks_[static_cast<std::size_t>(i)].data();
      context.uc_stack.ss_size = kStack;
      context.uc_link = nullptr;
      makecontext(&context, enter, 0);
      order.push_back(i);
    }
    while (!order.empty()) {
      std::shuffle(order.begin(), order.end(), here.random_);
      for (const int i : order) {
        here.current_ = i;
        swapcontext(&here.scheduler_, &here.contexts_[static_cast<std::size_t>(i)]);
      }
      std::erase_if(order, [&](int i) { return here.is_done_[static_cast<std::size_t>(i)]; });
    }
  }
  // Lets the others go on.
  static void yield() {
    Fibres& here = instance();
    swapcontext(&here.contexts_[static_cast<std::size_t>(here.current_)], &here.scheduler_);
  }

 private:
  static constexpr std::size_t kStack = 1 << 16;

  static Fibres& instance() {
    static thread_local Fibres fibres;
    return fibres;
  }
  static void enter() {
    Fibres& here = instance();
    (*here.body_)(here.current_);
    here.is_done_[static_cast<std::size_t>(here.current_)] = true;
    yield();
  }

  ucontext_t scheduler_ = {};
  std::vector<ucontext_t> contexts_;
  std::vector<std::vector<char>> stacks_;
  std::vector<bool> is_done_;
  const std::function<void(int)>* body_ = nullptr;
  int current_ = 0;
  std::mt19937 random_{1};
};

// One block's threads; see kernels/cuda/team.h. 4 lanes, so that few of them make several groups.
class FibreTeam {
 public:
  static constexpr int kLanes = 4;

  class Barrier {
   public:
    void wait(int count) {
      const int turn = turn_;
      if (++arrived_ == count) {
        arrived_ = 0;
        ++turn_;
      }
      while (turn_ == turn) Fibres::yield();
    }

   private:
    int arrived_ = 0, turn_ = 0;
  };
  // What the threads of a block share.
  struct Shared {
    explicit Shared(int groups) : within(static_cast<std::size_t>(groups)), lanes(static_cast<std::size_t>(groups * kLanes)) {}
    Barrier all;
    std::vector<Barrier> within;  // each group
    std::vector<float> lanes;
    float scratch[kernels::cuda::kMostGroups] = {};
  };

  FibreTeam(Shared& shared, int index) : shared_(shared), index_(index) {}
  int index() const { return index_; }
  int size() const { return static_cast<int>(shared_.lanes.size()); }
  float partner(float x, int distance) const {
    Barrier& meet = shared_.within[static_cast<std::size_t>(index_ / kLanes)];
    shared_.lanes[static_cast<std::size_t>(index_)] = x;
    meet.wait(kLanes);
    const float other = shared_.lanes[static_cast<std::size_t>(index_ ^ distance)];
    meet.wait(kLanes);
    return other;
  }
  void wait() const { shared_.all.wait(size()); }
  float* scratch() const { return shared_.scratch; }

 private:
  Shared& shared_;
  int index_;
};

struct FibreLaunch {
  static constexpr int kLanes = FibreTeam::kLanes;

  template <typename Body>
  static int run(std::int64_t blocks, int groups, const Body& body) {
    if (blocks == 0) return 0;
    FibreTeam::Shared shared(groups);
    Fibres::run(groups * kLanes, [&](int index) {
      FibreTeam team(shared, index);
      for (std::int64_t block = 0; block < blocks; ++block) body(team, block, blocks);
    });
    return 0;
  }
};

inline const kernels::CudaKernels& emulated_kernels() { return kernels::cuda::kTable<FibreLaunch>; }

}  // namespace uio::test
