// The parts that the option table (options.h) is put together from, and what its rows have in common.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "cli/options.h"

namespace uio::cli {

inline constexpr std::uint32_t kMostTokens = 1u << 24;  // of a segment or a memory: as much as a stream can hold (uio-stream(5))

// Rows that uio-train-step alone has, and uio-score; those that say what the other programs are asked to do, and those that programs share.
std::span<const Option> training_rows();
std::span<const Option> score_rows();
std::span<const Option> task_rows();
std::span<const Option> common_rows();

// The value as a whole number from `least` to `most`, and as a name, which is not empty. They throw Error{kUsage} otherwise.
int whole(const Given& given, int least, int most);
const std::string& file_name(const Given& given);

}  // namespace uio::cli
