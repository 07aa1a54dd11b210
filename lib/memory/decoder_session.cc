#include "memory/decoder_session.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace uio {

void DecoderSession::add_stored(const std::shared_ptr<const StoredMemory>&, std::int64_t) {
  throw Error(ErrorKind::kInternal, "memory that stays in its file", "", "this method has none");
}

at::Tensor DecoderSession::ids_of(const std::int32_t* tokens, std::int64_t count) {
  return at::from_blob(const_cast<std::int32_t*>(tokens), {1, count}, at::kInt).to(at::kLong);
}

at::Tensor DecoderSession::add_token_each(std::span<DecoderSession* const> sessions, std::span<const std::int32_t> tokens) {
  std::vector<TokenContext*> contexts;
  for (DecoderSession* session : sessions) contexts.push_back(&session->context());
  const at::Tensor ids = ids_of(tokens.data(), static_cast<std::int64_t>(tokens.size())).view({-1, 1});
  const at::Tensor x = contexts.size() == 1 ? contexts.front()->add_tokens(ids) : TokenContext::add_token_each(contexts, ids);
  for (std::size_t i = 0; i < sessions.size(); ++i) sessions[i]->local_.push_back(tokens[i]);
  return x.select(1, 0);
}

}  // namespace uio
