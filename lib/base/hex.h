// Bytes as lower-case hexadecimal digits and back: how fingerprints are shown.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace uio {

std::string to_hex(std::span<const std::byte> bytes);
// Nothing unless `digits` is an even number of lower-case hexadecimal digits.
std::optional<std::vector<std::byte>> from_hex(std::string_view digits);

}  // namespace uio
