// What the decoder has before it: the interface, and memories and raw tokens in text order, as keys and values at positions counted from 0.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "memory/memory_mass.h"
#include "model/model.h"
#include "model/rope.h"

namespace uio {

// Tokens go through the decoder; what they find before them, and how they attend to it, is the context's business.
class TokenContext {
 public:
  explicit TokenContext(const Model& model) : model_(model) {}
  virtual ~TokenContext() = default;

  // Keys (un-rotated) and values [B, N, G, M, d] of one memory, any float dtype; N is of the layers that have memories.
  virtual void add_memory(const at::Tensor& keys, const at::Tensor& values) = 0;
  // How many tokens it still takes.
  virtual std::int64_t room() const = 0;
  // Runs tokens [B, T] through the decoder and keeps their keys and values. Returns the residual stream before the final norm, [B, T, D].
  at::Tensor add_tokens(const at::Tensor& ids);
  // One token for each of several contexts of one model, ids [B, 1]: their rows of each product are computed together, and each
  // attends to its own past. Returns [B, 1, D]. Contexts have a batch of 1.
  static at::Tensor add_token_each(std::span<TokenContext* const> contexts, const at::Tensor& ids);

 protected:
  virtual void make_room(std::int64_t count) = 0;  // so many tokens are about to come
  virtual at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) = 0;
  // Where the layer's keys and values of the token that is about to come go, of each row, if attention is over these alone: appended to `caches`, or false.
  virtual bool find_caches(std::int64_t layer, std::vector<kernels::TokenCache>& caches) const;
  virtual void advance(std::int64_t count) = 0;  // so many have gone through all layers

  const Model& model_;

 private:
  // One token of each of the contexts, embedded: x [R, 1, D] after all layers.
  static at::Tensor pass_token_each(std::span<TokenContext* const> contexts, at::Tensor x, const Attend& attend);
};

// Keys are kept rotated in one growing buffer a layer; memories come un-rotated and get the next positions when they are added.
// Everything added before is seen by everything added after. B rows side by side advance in step.
class DecoderContext : public TokenContext {
 public:
  // `positions`: how many may be needed in all (dynamic rope scaling looks at it).
  // Throws Error{kMismatch} naming both numbers when the model has fewer.
  DecoderContext(const Model& model, std::int64_t positions, std::int64_t batch = 1);

  void add_memory(const at::Tensor& keys, const at::Tensor& values) override;
  std::int64_t room() const override { return positions_ - length_; }
  // Forgets everything from position `position` on.
  void truncate(std::int64_t position);
  // From now on `mass` is told of all that tokens attend to, but in layers with a sliding window, where memories go out of sight; null: nobody is.
  void watch(MemoryMass* mass) { mass_ = mass; }

  std::int64_t length() const { return length_; }       // positions in use
  std::int64_t capacity() const { return positions_; }  // positions there are
  // Bytes of the keys and values in use.
  std::int64_t bytes() const;

 private:
  struct Cache {
    at::Tensor keys, values;  // [B, G, room, d]
  };
  void make_room(std::int64_t count) override;
  at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) override;
  bool find_caches(std::int64_t layer, std::vector<kernels::TokenCache>& caches) const override;
  void advance(std::int64_t count) override { length_ += count; }
  void reserve(std::int64_t length);

  std::int64_t positions_, batch_, length_ = 0, room_ = 0;
  RopeTable rope_;
  std::vector<Cache> layers_;
  MemoryMass* mass_ = nullptr;
};

// Throws Error{kMismatch} when `needed` positions are more than the model has; `what` names what needs them.
void check_capacity(const Model& model, std::int64_t needed, const std::string& what);

}  // namespace uio
