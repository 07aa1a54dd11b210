#include "score/answer.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace uio {

std::vector<std::int32_t> answer(const Model& model, DecoderSession& session, const std::vector<std::int32_t>& prompt, std::int64_t count,
                                 const std::vector<std::int32_t>& ends) {
  std::vector<std::int32_t> tokens;
  session.drop_compressed();  // nobody asks for the memories
  at::Tensor last = session.add_tokens(prompt);
  DecoderSession* const alone[] = {&session};
  for (;;) {
    const auto best = static_cast<std::int32_t>(model.logits(model.final_norm(last)).argmax(1).item<std::int64_t>());
    if (std::find(ends.begin(), ends.end(), best) != ends.end()) return tokens;
    tokens.push_back(best);
    if (static_cast<std::int64_t>(tokens.size()) >= count) return tokens;
    session.prepare();
    const std::int32_t fed[] = {best};
    last = DecoderSession::add_token_each(alone, fed);
    session.settle();
  }
}

}  // namespace uio
