// A real document, or several side by side, as estimators see them: encoder and transfer head of a memory method, decoder of the model.
#pragma once

#include "memory/method.h"
#include "model/rope.h"
#include "train/plan.h"
#include "train/recurrence.h"

namespace uio {

// What is trained, as long as it is trained.
struct Trainee {
  Model& model;
  MemoryMethod* method = nullptr;  // null: the base alone
  bool recompute = false;          // activations of a layer again instead of keeping them
};

// The losses of one plan, summed up by what they are for.
struct LossTally {
  struct Part {
    double sum = 0;       // of −log p
    std::int64_t n = 0;   // tokens
  };
  Part next, repeat, text;
  static constexpr std::int64_t kFirstBucket = 256;
  std::vector<Part> by_position;  // kNext's tokens; with b = kFirstBucket the i-th covers positions [b·2^(i-1), b·2^i), the first [0, b)
  void add(const Pass& pass, const at::Tensor& log_probabilities);
  void add(const LossTally& other);
};

// Σ weights · −log p of what a pass scores, a scalar, from the final-normed rows [R, D] of what it scores; told to `tally`.
at::Tensor scored_loss(const Model& model, const Pass& pass, const at::Tensor& rows, LossTally& tally);

class ModelDocument : public Recurrence {
 public:
  // Throws Error{kMismatch} when the longest pass needs more positions than the model has. Where the plan distils, the teacher
  // (the model itself with the raw text before it; where its positions end, the latest segments that fill half of them) reads the text here.
  ModelDocument(const Trainee& trainee, Plan plan, LossTally& tally);

  std::int64_t memories() const override { return static_cast<std::int64_t>(plan_.segments.size()); }
  std::int64_t slots() const override { return trainee_.method ? trainee_.method->memory_length() : 0; }
  std::span<const std::int64_t> visible() const override { return visible_; }
  bool is_recurrent() const override { return trainee_.method && trainee_.method->is_recurrent(); }
  at::Tensor encode(std::int64_t s, std::span<const at::Tensor> earlier) override;
  Tensors transfer(std::int64_t s, const at::Tensor& memory) override;  // keys (at their positions) and values of each layer
  at::Tensor loss(std::int64_t j, const Tensors& carried) override;
  const Plan& plan() const { return plan_; }

 private:
  at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& memory_keys,
                    const at::Tensor& memory_values) const;
  at::Tensor layer(std::int64_t layer, const at::Tensor& x, const at::Tensor& memory_keys, const at::Tensor& memory_values) const;
  void ask_teacher();

  Trainee trainee_;
  Plan plan_;
  LossTally& tally_;
  std::vector<std::int64_t> visible_;
  RopeTable rope_;
};

}  // namespace uio
