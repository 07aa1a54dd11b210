// The tokens of a document, which need not all lie in memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace uio {

class TokenSequence {
 public:
  virtual ~TokenSequence() = default;
  virtual std::int64_t size() const = 0;
  // Tokens [begin, end) as ids [1, end - begin] int64 on the CPU.
  at::Tensor ids(std::int64_t begin, std::int64_t end) const;
  // Writes tokens [begin, end) to `out`.
  virtual void copy(std::int64_t begin, std::int64_t end, std::int64_t* out) const = 0;
};

// Tokens that lie in memory, and outlive it.
class TokenList : public TokenSequence {
 public:
  explicit TokenList(std::span<const std::int32_t> tokens) : tokens_(tokens) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(tokens_.size()); }
  void copy(std::int64_t begin, std::int64_t end, std::int64_t* out) const override;

 private:
  std::span<const std::int32_t> tokens_;
};

}  // namespace uio
