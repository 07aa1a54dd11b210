// How a model with memory layers takes a document: windows that become memory, and a tail that stays raw. And when it is used so.
#pragma once

#include <cstdint>
#include <string>

#include "io/jobs.h"

namespace uio {

struct MemoryWindow {
  std::uint32_t length;  // of a window: `max_position_embeddings`
  std::uint32_t tail;    // tokens at the document's end: `last_context_length`, at most a window
};

// Of DIR/config.json; `length` is the window's where it is not 0. A tail that the file does not say is 1024 tokens, as in LongLLaMA, at most
// half a window. Throws Error{kData} for numbers that are missing or no numbers, Error{kMismatch} naming both for a window or a tail that is longer than the
// model's positions.
MemoryWindow read_memory_window(const std::string& model, std::uint32_t length);

// The memory method: as asked for by name; else `fot` where memory layers were named, or where no adapter was and config.json names memory layers
// (`mem_layers`); else empty: an adapter says it, if there is one.
std::string choose_method(const ModelChoice& choice);

}  // namespace uio
