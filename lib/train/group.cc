#include "train/group.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <optional>

#include "base/told.h"
#include "model/tensor_error.h"
#include "train/nccl.h"
#include "train/ordered_sum.h"

namespace uio {
namespace {

class Group : public Processes {
 public:
  Group(std::unique_ptr<Transport> transport, Host& host) : host_side_(std::move(transport)), host_(host) {}

  int rank() const override { return host_side_->rank(); }
  int count() const override { return host_side_->count(); }

  void sum(const std::vector<at::Tensor>& tensors) override {
    std::vector<at::Tensor> on_device, on_host;
    for (const at::Tensor& tensor : tensors) (tensor.is_cpu() ? on_host : on_device).push_back(tensor);
    if (!on_host.empty()) ordered_sum(on_host, *host_side_);
    if (on_device.empty()) return;
    if (!device_side_) device_side_ = join_by_nccl(*host_side_, on_device.front().get_device(), host_);
    ordered_sum(on_device, *device_side_);
  }

  void add(std::vector<double>& numbers) override {
    std::vector<double> all(numbers.size() * static_cast<std::size_t>(count()));
    host_side_->gather(numbers.data(), all.data(), numbers.size() * sizeof(double));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = all[i];
      for (std::size_t at = i + numbers.size(); at < all.size(); at += numbers.size()) numbers[i] += all[at];
    }
  }

  std::vector<std::string> gather(const std::string& mine) override {
    const auto n = static_cast<std::size_t>(count());
    const std::uint64_t length = mine.size();
    std::vector<std::uint64_t> lengths(n);
    host_side_->gather(&length, lengths.data(), sizeof length);
    const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
    std::string padded = mine, all(n * longest, '\0');
    padded.resize(longest);
    if (longest > 0) host_side_->gather(padded.data(), all.data(), longest);
    std::vector<std::string> texts;
    for (std::size_t r = 0; r < n; ++r) texts.push_back(all.substr(r * longest, lengths[r]));
    return texts;
  }

  void together(const std::function<void()>& work) override {
    std::optional<Error> failure;
    try {
      work();
    } catch (...) {
      failure = error_of(std::current_exception());
    }
    const std::int32_t mine = failure ? failure->status() : 0;
    std::vector<std::int32_t> all(static_cast<std::size_t>(count()));
    host_side_->gather(&mine, all.data(), sizeof mine);
    const auto first = std::find_if(all.begin(), all.end(), [](std::int32_t status) { return status != 0; });
    if (first == all.end()) return;
    // Told before anyone goes: a launcher ends the others as soon as one has.
    if (failure && first - all.begin() == rank()) host_.fail(*failure);
    leave();
    throw ToldError(static_cast<ErrorKind>(*first));
  }

  void leave() override {
    if (device_side_) device_side_->leave();
    host_side_->leave();
  }

 private:
  std::unique_ptr<Transport> host_side_;
  std::unique_ptr<Transport> device_side_;  // null until a tensor on a device is summed
  Host& host_;
};

}  // namespace

std::unique_ptr<Processes> make_group(std::unique_ptr<Transport> transport, Host& host) {
  return std::make_unique<Group>(std::move(transport), host);
}

}  // namespace uio
