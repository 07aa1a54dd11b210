// Processes of a run as threads of this one, and what they exchange as copies in memory.
#pragma once

#include <barrier>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "train/transport.h"

namespace train_test {

class Crew {
 public:
  explicit Crew(int count) : count_(count), posted_(static_cast<std::size_t>(count)), barrier_(count) {}

  // Runs `work(transport)` once for each process and waits for all. A process whose work throws must not leave others waiting.
  template <typename Work>
  void run(Work work) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < count_; ++rank) threads.emplace_back([this, rank, &work] { work(std::make_unique<Member>(*this, rank)); });
    for (std::thread& thread : threads) thread.join();
  }

 private:
  class Member : public uio::Transport {
   public:
    Member(Crew& crew, int rank) : crew_(crew), rank_(rank) {}
    int rank() const override { return rank_; }
    int count() const override { return crew_.count_; }
    void exchange(const void* mine, void* theirs, std::size_t bytes) override { move(mine, theirs, bytes, static_cast<std::size_t>(rank_) * bytes); }
    void gather(const void* mine, void* all, std::size_t bytes) override { move(mine, all, bytes, 0); }
    void leave() override { crew_.barrier_.arrive_and_wait(); }

   private:
    void move(const void* mine, void* into, std::size_t bytes, std::size_t offset) {
      crew_.posted_[static_cast<std::size_t>(rank_)] = static_cast<const char*>(mine);
      crew_.barrier_.arrive_and_wait();
      for (std::size_t r = 0; r < crew_.posted_.size(); ++r) std::memcpy(static_cast<char*>(into) + r * bytes, crew_.posted_[r] + offset, bytes);
      crew_.barrier_.arrive_and_wait();
    }
    Crew& crew_;
    int rank_;
  };

  const int count_;
  std::vector<const char*> posted_;
  std::barrier<> barrier_;
};

}  // namespace train_test
