// What a fuzzer checks of one input; both the driver and libFuzzer call these.
#pragma once

#include <string_view>

namespace uio::fuzz {

// Reads `bytes` as a stream in every way there is. True if it was accepted. What is accepted must come out the same when it is
// written and read again. Throws std::logic_error when it does not, and lets every exception that is not an Error of the right
// kind through: both are findings.
bool check_stream(std::string_view bytes);

// The same for a safetensors file.
bool check_safetensors(std::string_view bytes);

}  // namespace uio::fuzz
