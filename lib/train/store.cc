#include "train/store.h"

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/quote.h"

namespace uio {
namespace {

constexpr std::chrono::minutes kTimeToJoin{5}, kTimeToAnswer{30};

class StoreTransport : public Transport {
 public:
  StoreTransport(c10::intrusive_ptr<c10d::TCPStore> store, const Launch& launch)
      : store_(std::move(store)), rank_(launch.rank), count_(launch.count), is_server_(launch.rank == 0 && !launch.has_server),
        prefix_("uio/" + launch.attempt + "/") {}

  int rank() const override { return rank_; }
  int count() const override { return count_; }

  void exchange(const void* mine, void* theirs, std::size_t bytes) override {
    round([&] {
      const auto* from = static_cast<const std::uint8_t*>(mine);
      for (int r = 0; r < count_; ++r)
        if (r != rank_) post(key(rank_, r), from + static_cast<std::size_t>(r) * bytes, bytes);
      for (int r = 0; r < count_; ++r) take(r, key(r, rank_), from + static_cast<std::size_t>(rank_) * bytes, theirs, bytes);
    });
  }

  void gather(const void* mine, void* all, std::size_t bytes) override {
    round([&] {
      post(key(rank_, -1), static_cast<const std::uint8_t*>(mine), bytes);
      for (int r = 0; r < count_; ++r) take(r, key(r, -1), mine, all, bytes);
    });
  }

  void leave() override {
    const char nothing = 0;
    std::vector<char> all(static_cast<std::size_t>(count_));
    gather(&nothing, all.data(), 1);
    // The store ends with its process: the others must have read their last.
    try {
      const std::string left = prefix_ + "left";
      const std::int64_t gone = store_->add(left, 1);
      if (!is_server_ || gone == count_) return;
      const auto end = std::chrono::steady_clock::now() + kTimeToJoin;
      while (store_->add(left, 0) < count_ && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    } catch (const c10::Error&) {
      // Everyone has agreed already that the run is over.
    }
  }

 private:
  std::string key(int from, int to) const {
    return prefix_ + std::to_string(round_) + "/" + std::to_string(from) + (to < 0 ? "" : "/" + std::to_string(to));
  }

  void post(const std::string& key, const std::uint8_t* data, std::size_t bytes) {
    store_->set(key, std::vector<std::uint8_t>(data, data + bytes));
    posted_.push_back(key);
  }

  // What process `from` has posted under `key`, into its place in `all`; its own is at hand.
  void take(int from, const std::string& key, const void* own, void* all, std::size_t bytes) {
    auto* to = static_cast<std::uint8_t*>(all) + static_cast<std::size_t>(from) * bytes;
    if (from == rank_) {
      std::memcpy(to, own, bytes);
      return;
    }
    const std::vector<std::uint8_t> found = store_->get(key);
    if (found.size() != bytes) throw Error(ErrorKind::kInternal, "the processes are out of step", key, std::to_string(found.size()) + " bytes, expected " + std::to_string(bytes));
    std::memcpy(to, found.data(), bytes);
  }

  template <typename Work>
  void round(Work work) {
    try {
      std::vector<std::string> before;
      before.swap(posted_);
      work();
      // All have posted in this round, so all have read what was posted in the one before.
      for (const std::string& key : before) store_->deleteKey(key);
      ++round_;
    } catch (const c10::Error& error) {
      throw Error(ErrorKind::kIo, "the other processes cannot be reached", "", first_line(error.what_without_backtrace()));
    }
  }

  c10::intrusive_ptr<c10d::TCPStore> store_;
  int rank_, count_;
  bool is_server_;
  std::string prefix_;
  std::uint64_t round_ = 0;
  std::vector<std::string> posted_;  // by this process, in this round
};

}  // namespace

std::unique_ptr<Transport> join_at_store(const Launch& launch, Host& host) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.port);
  options.isServer = launch.rank == 0 && !launch.has_server;
  options.waitWorkers = false;  // the first exchange waits
  options.timeout = kTimeToJoin;
  const std::string place = launch.address + ":" + std::to_string(launch.port);
  try {
    auto store = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
    auto transport = std::make_unique<StoreTransport>(store, launch);
    const char here = 0;
    std::vector<char> all(static_cast<std::size_t>(launch.count));
    transport->gather(&here, all.data(), 1);
    store->setTimeout(kTimeToAnswer);
    host.note("process " + std::to_string(launch.rank) + " of " + std::to_string(launch.count) + ", met at " + place);
    return transport;
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::kDevice, "the processes do not find each other", place, first_line(error.what_without_backtrace()));
  } catch (const Error& error) {
    throw Error(ErrorKind::kDevice, "the processes do not find each other", place, error.reason());
  }
}

}  // namespace uio
