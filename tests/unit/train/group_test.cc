#include "train/group.h"

#include <ATen/ATen.h>

#include <atomic>
#include <catch2/catch.hpp>

#include "base/told.h"
#include "train/metrics.h"
#include "unit/text/recording_host.h"
#include "unit/train/crew.h"

namespace {

constexpr int kCount = 3;

// Runs `work(processes, rank)` on each; what their hosts were told is in the returned list, by rank.
template <typename Work>
std::vector<std::vector<std::string>> on_each(Work work) {
  std::vector<text_test::RecordingHost> hosts(kCount);
  train_test::Crew(kCount).run([&](std::unique_ptr<uio::Transport> transport) {
    const int rank = transport->rank();
    const auto processes = uio::make_group(std::move(transport), hosts[static_cast<std::size_t>(rank)]);
    work(*processes, rank);
  });
  std::vector<std::vector<std::string>> told;
  for (const auto& host : hosts) told.push_back(host.failures);
  return told;
}

}  // namespace

TEST_CASE("numbers are added and texts gathered on every process") {
  std::vector<std::vector<double>> sums(kCount);
  std::vector<std::vector<std::string>> texts(kCount);
  std::vector<at::Tensor> tensors;
  for (int r = 0; r < kCount; ++r) tensors.push_back(at::full({4}, r + 1.0, at::kFloat));
  on_each([&](uio::Processes& processes, int rank) {
    const auto r = static_cast<std::size_t>(rank);
    sums[r] = {1.0 + rank, 1e16, rank == 1 ? 1.0 : 0.0};
    processes.add(sums[r]);
    texts[r] = processes.gather(std::string(r * 1000, 'x') + "end");
    processes.sum({tensors[r]});
    processes.leave();
  });
  for (std::size_t r = 0; r < kCount; ++r) {
    CHECK(sums[r] == std::vector<double>{6, 3e16, 1});
    REQUIRE(texts[r].size() == kCount);
    CHECK(texts[r][0] == "end");
    CHECK(texts[r][2] == std::string(2000, 'x').append("end"));
    CHECK(at::equal(tensors[r], at::full({4}, 6.0, at::kFloat)));
  }
}

TEST_CASE("an error of one process ends all with its status, and is told once") {
  std::vector<int> statuses(kCount);
  std::atomic<int> silent = 0, went_on = 0;
  const auto told = on_each([&](uio::Processes& processes, int rank) {
    processes.together([] {});
    try {
      processes.together([&] {
        if (rank == 1) throw uio::Error(uio::ErrorKind::kData, "damaged", "some file", "");
        if (rank == 2) throw std::bad_alloc();
      });
      ++went_on;
    } catch (const uio::Error& error) {
      statuses[static_cast<std::size_t>(rank)] = error.status();
      if (uio::is_told(error)) ++silent;
    }
  });
  CHECK(went_on == 0);
  CHECK(silent == kCount);
  CHECK(statuses == std::vector<int>{3, 3, 3});
  CHECK(told == std::vector<std::vector<std::string>>{{}, {"damaged: 'some file'"}, {}});
}

TEST_CASE("a tally is the same after it was numbers") {
  uio::LossTally tally;
  tally.next = {1.5, 7};
  tally.repeat = {0.25, 3};
  tally.by_position = {{1, 2}, {0, 0}, {0.5, 5}};
  const uio::LossTally back = uio::tally_of(uio::numbers_of(tally));
  CHECK(back.next.sum == 1.5);
  CHECK(back.next.n == 7);
  CHECK(back.repeat.n == 3);
  REQUIRE(back.by_position.size() == 3);
  CHECK(back.by_position[2].sum == 0.5);
  CHECK(back.by_position[2].n == 5);
  CHECK(uio::numbers_of({}).size() == uio::numbers_of(tally).size());
}
