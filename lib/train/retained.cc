// Estimators that keep the encoder graphs of some memories while the document goes by once: the same engine, and one policy each
// that says which graphs are kept, when one is let go, and how much a loss's cotangent counts. The losses run on leaves; a memory's
// encoder is traversed once, when its graph is let go, with what has gathered for it (algorithm notes 16.4 to 16.8).
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "train/carried.h"
#include "train/estimators.h"

namespace uio {
namespace {

class Policy {
 public:
  virtual ~Policy() = default;
  // Before memory s is encoded: which graphs are let go, and whether that of s is kept. Drawn before anything of s is computed.
  struct Admission {
    std::vector<std::int64_t> leave;
    bool keep = true;
  };
  virtual Admission admit(std::int64_t s, Draws& draws) = 0;
  // Factor on the cotangent that a loss seeing n memories sends to memory s, whose graph is kept; `later` losses follow it.
  virtual double weight(std::int64_t s, std::int64_t n, std::int64_t later) const = 0;
};

double estimate(Recurrence& document, Policy& policy, Draws& draws) {
  struct Kept {
    at::Tensor memory;  // with its graph
    Tensors cotangent;
  };
  const auto visible = document.visible();
  const std::int64_t count = document.memories(), losses = static_cast<std::int64_t>(visible.size());
  Carried carried(document);
  Tensors memories;
  std::vector<Tensors> whole;  // unweighted cotangents of every memory: φ's gradient is exact whatever the sample is
  std::map<std::int64_t, Kept> kept;

  const auto let_go = [&](std::int64_t s) {
    const Kept& one = kept.at(s);
    const at::Tensor leaf = one.memory.detach().requires_grad_();
    backward({one.memory}, {pull_back(document.transfer(s, leaf), one.cotangent, leaf)});
    kept.erase(s);
  };

  double total = 0;
  std::int64_t j = 0;
  for (std::int64_t n = 0; n <= count; ++n) {
    for (; j < losses && visible[static_cast<std::size_t>(j)] == n; ++j) {
      const LossOnLeaves loss = loss_on_leaves(document, j, carried, n);
      total += loss.value;
      for (std::int64_t s = 0; s < n; ++s) add(whole[static_cast<std::size_t>(s)], carried.part(loss.cotangents, s));
      for (auto& [s, one] : kept) add(one.cotangent, carried.part(loss.cotangents, s), policy.weight(s, n, losses - 1 - j));
    }
    if (n == count) break;
    const Policy::Admission admission = policy.admit(n, draws);
    for (const std::int64_t s : admission.leave) let_go(s);
    at::Tensor memory;
    {
      const at::AutoGradMode record(admission.keep);
      memory = document.encode(n, {});
    }
    memories.push_back(memory.detach());
    {
      const at::NoGradGuard no_gradients;
      carried.put(n, document.transfer(n, memories.back()));
    }
    whole.push_back(carried.zeros());
    if (admission.keep) kept.emplace(n, Kept{memory, carried.zeros()});
  }
  while (!kept.empty()) let_go(kept.begin()->first);
  for (std::int64_t s = 0; s < count; ++s) backward(document.transfer(s, memories[static_cast<std::size_t>(s)]), whole[static_cast<std::size_t>(s)]);
  return total;
}

// The last W memories. With weights that grow towards the first losses: the text's decayed compensation (16.8).
class Window : public Policy {
 public:
  explicit Window(std::int64_t size, double decay = 0) : size_(size), decay_(decay) {}
  Admission admit(std::int64_t s, Draws&) override { return s >= size_ ? Admission{{s - size_}, true} : Admission{}; }
  // c_t = g_t + λ c_{t-1} summed over t gives g_t the factor 1 + λ + … + λ^later.
  double weight(std::int64_t, std::int64_t, std::int64_t later) const override {
    return decay_ > 0 ? (1 - std::pow(decay_, static_cast<double>(later + 1))) / (1 - decay_) : 1;
  }

 private:
  std::int64_t size_;
  double decay_;
};

// A uniform sample of items that come one by one (algorithm R, Vitter 1985), its victims drawn too.
class Reservoir {
 public:
  explicit Reservoir(std::int64_t size) : size_(size) {}
  // Item s comes. Returns whether it stays, and who has to leave for it (-1: nobody).
  std::pair<bool, std::int64_t> offer(std::int64_t s, Draws& draws) {
    ++offered_;
    if (offered_ <= size_) {
      members_.push_back(s);
      return {true, -1};
    }
    if (!draws.happens(static_cast<double>(size_) / static_cast<double>(offered_))) return {false, -1};
    const auto place = static_cast<std::size_t>(size_ == 1 ? 0 : draws.one_of(size_));
    return {true, std::exchange(members_[place], s)};
  }
  // 1 / P(an item is a member after n were offered).
  double inverse_probability(std::int64_t n) const { return std::max(1.0, static_cast<double>(n) / static_cast<double>(size_)); }
  bool has(std::int64_t s) const { return std::find(members_.begin(), members_.end(), s) != members_.end(); }

 private:
  std::int64_t size_, offered_ = 0;
  std::vector<std::int64_t> members_;
};

// A reservoir over all memories; weighted by the inverse of the inclusion probability it is unbiased (16.6), unweighted it is
// what was released with arXiv 2406.18173 (1.6).
class Sampled : public Policy {
 public:
  Sampled(std::int64_t size, bool weighted) : reservoir_(size), weighted_(weighted) {}
  Admission admit(std::int64_t s, Draws& draws) override {
    const auto [stays, victim] = reservoir_.offer(s, draws);
    return {victim < 0 ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{victim}, stays};
  }
  double weight(std::int64_t, std::int64_t n, std::int64_t) const override { return weighted_ ? reservoir_.inverse_probability(n) : 1; }

 private:
  Reservoir reservoir_;
  bool weighted_;
};

// The last W memories, and a reservoir of those that have left them (16.7).
class WindowAndTail : public Policy {
 public:
  WindowAndTail(std::int64_t window, std::int64_t tail) : window_(window), tail_(tail) {}
  Admission admit(std::int64_t s, Draws& draws) override {
    const std::int64_t leaving = s - window_;
    if (leaving < 0) return {};
    const auto [stays, victim] = tail_.offer(leaving, draws);
    if (!stays) return {{leaving}, true};
    return {victim < 0 ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{victim}, true};
  }
  double weight(std::int64_t s, std::int64_t n, std::int64_t) const override {
    return s >= n - window_ ? 1 : tail_.inverse_probability(n - window_);
  }

 private:
  std::int64_t window_;
  Reservoir tail_;
};

}  // namespace

double estimate_incremental(Recurrence& document, const EstimatorSettings& settings, Draws& draws) {
  Window policy(settings.window);
  return estimate(document, policy, draws);
}

double estimate_decayed(Recurrence& document, const EstimatorSettings& settings, Draws& draws) {
  Window policy(settings.window, settings.decay);
  return estimate(document, policy, draws);
}

double estimate_reservoir(Recurrence& document, const EstimatorSettings& settings, Draws& draws) {
  Sampled policy(settings.reservoir, /*weighted=*/true);
  return estimate(document, policy, draws);
}

double estimate_released(Recurrence& document, const EstimatorSettings& settings, Draws& draws) {
  Sampled policy(settings.reservoir, /*weighted=*/false);
  return estimate(document, policy, draws);
}

double estimate_window_tail(Recurrence& document, const EstimatorSettings& settings, Draws& draws) {
  WindowAndTail policy(settings.window, settings.reservoir);
  return estimate(document, policy, draws);
}

}  // namespace uio
