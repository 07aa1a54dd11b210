#include "memory/token_sequence.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace uio {

at::Tensor TokenSequence::ids(std::int64_t begin, std::int64_t end) const {
  at::Tensor ids = at::empty({1, end - begin}, at::kLong);
  copy(begin, end, ids.mutable_data_ptr<std::int64_t>());
  return ids;
}

void TokenList::copy(std::int64_t begin, std::int64_t end, std::int64_t* out) const {
  std::copy(tokens_.begin() + begin, tokens_.begin() + end, out);
}

}  // namespace uio
