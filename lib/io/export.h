// The tensors of blobs as a safetensors file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/selection.h"

namespace uio {

// Writes the selected memories of all streams in `inputs` to `sink`: `{document}/{segment}/{layer}/key` and `…/value` of shape
// [KV heads, M, head size], or `…/hidden` of [M, hidden size], in the dtype that they have. Raw segments have no tensors and
// are left out. Files are mapped and read twice, holding one record; what comes through a pipe is held, at most 4 GiB of it.
// Throws Error{kData} for two memories of the same document and segment, naming the tensor, and for an id that is not UTF-8.
// Returns the number of memories.
std::uint64_t export_tensors(const std::vector<std::string>& inputs, const Selection& selection, Sink& sink);

}  // namespace uio
