// Strict JSON: UTF-8, no duplicate keys, bounded depth; every failure names the file.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace uio {

using Json = nlohmann::json;

// Throws Error{kData} with `subject` for syntax errors, duplicate keys, nesting deeper than 64, invalid UTF-8.
Json parse_json(std::string_view text, const std::string& subject);
// Reads and parses a file of at most 64 MiB. Error{kIo} when it cannot be read.
Json read_json(const std::string& path);
// One line, keys in insertion order is not promised; invalid UTF-8 in strings becomes U+FFFD.
std::string to_json_line(const Json& value);

}  // namespace uio
