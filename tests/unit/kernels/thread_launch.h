// Launches the bodies of the CUDA kernels with threads of this machine: barriers, sums and tails really run, in any order of
// threads.
#pragma once

#include <barrier>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/cuda/table.h"

namespace uio::test {

// One block's threads; see kernels/cuda/team.h. 4 lanes, so that few threads make several groups.
class ThreadTeam {
 public:
  static constexpr int kLanes = 4;

  // What the threads of a block share.
  struct Shared {
    explicit Shared(int groups) : all(groups * kLanes), lanes(static_cast<std::size_t>(groups * kLanes)) {
      for (int group = 0; group < groups; ++group) within.push_back(std::make_unique<std::barrier<>>(kLanes));
    }
    std::barrier<> all;
    std::vector<std::unique_ptr<std::barrier<>>> within;  // each group
    std::vector<float> lanes;
    float scratch[kernels::cuda::kMostGroups] = {};
  };

  ThreadTeam(Shared& shared, int index) : shared_(shared), index_(index) {}
  int index() const { return index_; }
  int size() const { return static_cast<int>(shared_.lanes.size()); }
  float partner(float x, int distance) const {
    std::barrier<>& meet = *shared_.within[static_cast<std::size_t>(index_ / kLanes)];
    shared_.lanes[static_cast<std::size_t>(index_)] = x;
    meet.arrive_and_wait();
    const float other = shared_.lanes[static_cast<std::size_t>(index_ ^ distance)];
    meet.arrive_and_wait();
    return other;
  }
  void wait() const { shared_.all.arrive_and_wait(); }
  float* scratch() const { return shared_.scratch; }

 private:
  Shared& shared_;
  int index_;
};

struct ThreadLaunch {
  static constexpr int kLanes = ThreadTeam::kLanes;

  template <typename Body>
  static int run(std::int64_t blocks, int groups, const Body& body) {
    if (blocks == 0) return 0;
    ThreadTeam::Shared shared(groups);
    std::vector<std::thread> threads;
    for (int index = 0; index < groups * kLanes; ++index)
      threads.emplace_back([&, index] {
        ThreadTeam team(shared, index);
        for (std::int64_t block = 0; block < blocks; ++block) body(team, block, blocks);
      });
    for (std::thread& thread : threads) thread.join();
    return 0;
  }
};

}  // namespace uio::test
