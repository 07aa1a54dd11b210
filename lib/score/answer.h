// What a model answers: the tokens that it goes on with.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/decoder_session.h"
#include "model/model.h"

namespace uio {

// The best tokens after `prompt`, one after the other: `count` of them, or fewer where one of `ends` comes first, which is not told. `session` is fresh.
// Throws what capacity throws.
std::vector<std::int32_t> answer(const Model& model, DecoderSession& session, const std::vector<std::int32_t>& prompt, std::int64_t count,
                                 const std::vector<std::int32_t>& ends);

}  // namespace uio
