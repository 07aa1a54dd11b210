// Small recurrences in f64 for the tests of estimators, and every single term u_{s,t} of their gradients (algorithm notes 16.1).
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numeric>
#include <string>

#include "train/estimators.h"
#include "unit/model/tiny.h"

namespace uio::test {

using List = std::vector<at::Tensor>;

// A recurrence that also says what its leaves are.
class ToyRecurrence : public Recurrence {
 public:
  explicit ToyRecurrence(std::vector<std::int64_t> visible) : visible_(std::move(visible)) {}
  std::int64_t memories() const override { return visible_.empty() ? 0 : visible_.back(); }
  std::span<const std::int64_t> visible() const override { return visible_; }
  virtual List theta() const = 0;
  virtual List phi() const = 0;

 private:
  std::vector<std::int64_t> visible_;
};

// One loss for each number of memories from `first` to `last`.
inline std::vector<std::int64_t> one_loss_each(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> visible(static_cast<std::size_t>(last - first + 1));
  std::iota(visible.begin(), visible.end(), first);
  return visible;
}

// Attention of random queries over the memories behind a learned sink, two rows side by side. An independent encoder is
// m_s = tanh(x_s A + b); a recurrent one also reads all memories before it.
class Toy : public ToyRecurrence {
 public:
  Toy(std::vector<std::int64_t> visible, bool recurrent, std::uint64_t seed = 1)
      : ToyRecurrence(std::move(visible)), recurrent_(recurrent), generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {
    for (std::int64_t s = 0; s < memories(); ++s) texts_.push_back(normal({kRows, 1, kSlots, 3}));
    for (std::size_t j = 0; j < this->visible().size(); ++j) {
      questions_.push_back(normal({kRows, 1, 2, 3}));
      answers_.push_back(normal({kRows, 1, 2, kWidth}));
    }
    encode_ = leaf({3, kWidth}), bias_ = leaf({kWidth}), look_ = leaf({3, kWidth}), mix_ = leaf({kWidth, kWidth});
    key_ = leaf({kWidth, kWidth}), value_ = leaf({kWidth, kWidth}), ask_ = leaf({3, kWidth}), sink_ = leaf({1, 1, 1, kWidth});
  }
  List theta() const override { return recurrent_ ? List{encode_, bias_, look_, mix_} : List{encode_, bias_}; }
  List phi() const override { return {key_, value_, ask_, sink_}; }
  std::int64_t slots() const override { return kSlots; }
  bool is_recurrent() const override { return recurrent_; }

  at::Tensor encode(std::int64_t s, std::span<const at::Tensor> earlier) override {
    const at::Tensor& text = texts_[static_cast<std::size_t>(s)];
    at::Tensor sum = text.matmul(encode_) + bias_;
    if (recurrent_) {
      if (static_cast<std::int64_t>(earlier.size()) != s) throw std::logic_error("not all earlier memories");
      if (s > 0) {
        const at::Tensor before = at::cat(List(earlier.begin(), earlier.end()), kMemoryAxis);
        sum = sum + at::softmax(text.matmul(look_).matmul(before.transpose(2, 3)), -1).matmul(before).matmul(mix_);
      }
    }
    return sum.tanh();
  }
  List transfer(std::int64_t, const at::Tensor& memory) override { return {memory.matmul(key_).tanh(), memory.matmul(value_)}; }
  at::Tensor loss(std::int64_t j, const List& carried) override {
    const bool has_memory = !carried.empty() && carried[0].defined();
    const at::Tensor first = sink_.expand({kRows, 1, 1, kWidth}), query = questions_[static_cast<std::size_t>(j)].matmul(ask_);
    const at::Tensor keys = has_memory ? at::cat({first, carried[0]}, kMemoryAxis) : first,
                     values = has_memory ? at::cat({first, carried[1]}, kMemoryAxis) : first;
    const at::Tensor read = at::softmax(query.matmul(keys.transpose(2, 3)), -1).matmul(values);
    return (read + query - answers_[static_cast<std::size_t>(j)]).square().sum();
  }

 private:
  static constexpr std::int64_t kRows = 2, kSlots = 2, kWidth = 4;
  at::Tensor normal(at::IntArrayRef sizes) { return at::randn(sizes, generator_, at::TensorOptions().dtype(at::kDouble)); }
  at::Tensor leaf(at::IntArrayRef sizes) { return (0.7 * normal(sizes)).requires_grad_(); }

  bool recurrent_;
  at::Generator generator_;
  List texts_, questions_, answers_;
  at::Tensor encode_, bias_, look_, mix_, key_, value_, ask_, sink_;
};

// Terms u_{s,t} of any choice, at little cost: m_s = θ's own direction for s, every loss a linear form in the memories. What
// loss t sends to s is `shared` of one vector per s, and the rest by chance, times lag^-decline.
class Linear : public ToyRecurrence {
 public:
  Linear(std::vector<std::int64_t> visible, double shared, double decline, std::uint64_t seed = 1)
      : ToyRecurrence(std::move(visible)), theta_(at::zeros({1, 1, 1, kWidth}, at::kDouble).requires_grad_()) {
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble)); };
    for (std::int64_t s = 0; s < memories(); ++s) turns_.push_back(normal({kWidth, kWidth}) / std::sqrt(double{kWidth}));
    const at::Tensor own = normal({1, 1, memories(), kWidth});
    for (const std::int64_t n : this->visible()) {
      at::Tensor forms = shared * own.narrow(kMemoryAxis, 0, n) + std::sqrt(1 - shared * shared) * normal({1, 1, n, kWidth});
      for (std::int64_t s = 0; s < n; ++s) forms.select(kMemoryAxis, s).mul_(std::pow(static_cast<double>(n - s), -decline));
      forms_.push_back(forms);
    }
  }
  List theta() const override { return {theta_}; }
  List phi() const override { return {}; }
  std::int64_t slots() const override { return 1; }
  bool is_recurrent() const override { return false; }
  at::Tensor encode(std::int64_t s, std::span<const at::Tensor>) override { return theta_.matmul(turns_[static_cast<std::size_t>(s)]); }
  List transfer(std::int64_t, const at::Tensor& memory) override { return {memory}; }
  at::Tensor loss(std::int64_t j, const List& carried) override { return (carried[0] * forms_[static_cast<std::size_t>(j)]).sum(); }

 private:
  static constexpr std::int64_t kWidth = 16;
  at::Tensor theta_;
  List turns_, forms_;
};

struct Gradients {
  double loss = 0;
  List theta, phi;
};

inline List gradients_and_clear(const List& leaves) {
  List found;
  for (const at::Tensor& leaf : leaves) {
    found.push_back(leaf.grad().defined() ? leaf.grad().clone() : at::zeros_like(leaf));
    leaf.mutable_grad() = at::Tensor();
  }
  return found;
}

inline Gradients estimate(const std::string& name, ToyRecurrence& toy, const EstimatorSettings& settings, Draws& draws) {
  Gradients made;
  made.loss = estimator_named(name).estimate(toy, settings, draws);
  made.theta = gradients_and_clear(toy.theta());
  made.phi = gradients_and_clear(toy.phi());
  return made;
}

inline Gradients estimate(const std::string& name, ToyRecurrence& toy, const EstimatorSettings& settings = {}) {
  SeededDraws draws(1, 0);
  return estimate(name, toy, settings, draws);
}

inline at::Tensor flat(const List& tensors) {
  List parts = {at::zeros({0}, at::kDouble)};
  for (const at::Tensor& one : tensors) parts.push_back(one.detach().flatten());
  return at::cat(parts);
}

inline double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  const double size = expected.norm().item<double>(), error = (found - expected).norm().item<double>();
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : size > 0 ? error / size : error;
}
inline double relative_error(const List& found, const List& expected) { return relative_error(flat(found), flat(expected)); }

// Σ_t of all losses by one graph written out here, memories detached where `attached(s, t)` says no: what estimators claim,
// computed without any of them. Independent encoders only, if any is detached.
template <typename Attached>
at::Tensor loss_of(ToyRecurrence& toy, std::size_t t, Attached attached) {
  List memories, plain;
  std::vector<List> seen;
  for (std::int64_t s = 0; s < toy.visible()[t]; ++s) {
    memories.push_back(toy.encode(s, memories));
    if (!attached(s)) memories.back() = memories.back().detach();
    seen.push_back(toy.transfer(s, memories.back()));
  }
  List joined;
  for (std::size_t i = 0; !seen.empty() && i < seen.front().size(); ++i) {
    List parts;
    for (const List& one : seen) parts.push_back(one[i]);
    joined.push_back(at::cat(parts, kMemoryAxis));
  }
  return toy.loss(static_cast<std::int64_t>(t), joined);
}

// The full gradient's parts, flat: u(s, t), one vector of θ's size each, and for importance sampling |ā_s|.
struct Terms {
  std::vector<std::vector<at::Tensor>> u;  // [t][s], s < visible[t]
  std::vector<std::int64_t> visible;
  std::vector<double> cotangent_norms;  // |ā_s| at the memory

  at::Tensor zero() const { return at::zeros_like(u.back().front()); }
  at::Tensor sum() const {
    return weighted([](std::int64_t, std::int64_t, std::size_t) { return 1.0; });
  }
  // Σ factor(s, n_t, t) · u_{s,t}
  template <typename Factor>
  at::Tensor weighted(Factor factor) const {
    at::Tensor total = zero();
    for (std::size_t t = 0; t < u.size(); ++t)
      for (std::int64_t s = 0; s < visible[t]; ++s) total += factor(s, visible[t], t) * u[t][static_cast<std::size_t>(s)];
    return total;
  }
  // Trace of the sample covariance of u_{s,t} and u_{s,t'} over s < n.
  double covariance(std::size_t t, std::size_t other, std::int64_t n) const {
    const List a(u[t].begin(), u[t].begin() + n), b(u[other].begin(), u[other].begin() + n);
    const at::Tensor x = at::stack(a), y = at::stack(b);
    return ((x - x.mean(0)) * (y - y.mean(0))).sum().item<double>() / static_cast<double>(n - 1);
  }
  // 16.6; with a window 16.7.
  double reservoir_variance(std::int64_t size, std::int64_t window = 0) const {
    double variance = 0;
    for (std::size_t t = 0; t < u.size(); ++t) {
      const std::int64_t n = visible[t] - window;
      if (n <= size) continue;
      for (std::size_t later = t; later < u.size(); ++later)
        variance += (later == t ? 1 : 2) * static_cast<double>(n * (n - size)) / static_cast<double>(size) * covariance(t, later, n);
    }
    return variance;
  }
  // 16.10: π_s ∝ |ā_s|.
  double importance_variance(std::int64_t draws) const {
    const double all = std::accumulate(cotangent_norms.begin(), cotangent_norms.end(), 0.0);
    double squares = 0;
    for (std::size_t s = 0; s < cotangent_norms.size(); ++s) {
      at::Tensor whole = zero();
      for (std::size_t t = 0; t < u.size(); ++t)
        if (s < u[t].size()) whole += u[t][s];
      squares += whole.square().sum().item<double>() / (cotangent_norms[s] / all);
    }
    return (squares - sum().square().sum().item<double>()) / static_cast<double>(draws);
  }
};

inline Terms terms_of(ToyRecurrence& toy) {
  Terms terms;
  terms.visible.assign(toy.visible().begin(), toy.visible().end());
  List cotangents(static_cast<std::size_t>(toy.memories()));
  for (std::size_t t = 0; t < terms.visible.size(); ++t) {
    terms.u.emplace_back();
    for (std::int64_t s = 0; s < terms.visible[t]; ++s) {
      const at::Tensor loss = loss_of(toy, t, [s](std::int64_t other) { return other == s; });
      terms.u.back().push_back(flat(torch::autograd::grad({loss}, toy.theta(), {}, {}, false, /*allow_unused=*/true)));
    }
    List memories;
    std::vector<List> seen;
    for (std::int64_t s = 0; s < terms.visible[t]; ++s) {
      memories.push_back(toy.encode(s, {}).detach().requires_grad_());
      seen.push_back(toy.transfer(s, memories.back()));
    }
    if (memories.empty()) continue;
    List joined;
    for (std::size_t i = 0; i < seen.front().size(); ++i) {
      List parts;
      for (const List& one : seen) parts.push_back(one[i]);
      joined.push_back(at::cat(parts, kMemoryAxis));
    }
    const List back = torch::autograd::grad({toy.loss(static_cast<std::int64_t>(t), joined)}, memories);
    for (std::size_t s = 0; s < back.size(); ++s) cotangents[s] = cotangents[s].defined() ? cotangents[s] + back[s] : back[s];
  }
  for (const at::Tensor& one : cotangents) terms.cotangent_norms.push_back(one.norm().item<double>());
  return terms;
}

}  // namespace uio::test
