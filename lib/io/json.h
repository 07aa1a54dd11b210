// Strict JSON: UTF-8, no duplicate keys, bounded depth; every failure names the file.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace uio {

using Json = nlohmann::json;

// Throws Error{kData} with `subject` for syntax errors, duplicate keys, nesting deeper than 64, invalid UTF-8.
Json parse_json(std::string_view text, const std::string& subject);
// Takes a member of a container as it is read; `key` is empty in an array.
using JsonMember = std::function<void(const std::string& key, Json value)>;
// As parse_json, for files whose size is in a few containers that need not be held whole: each member of those named in
// `streamed` (their keys joined, as in "model/vocab") goes to its function, in the order of the text, and the container stays
// empty in the result. There a key that is given twice is the function's to find. Throws Error{kData} too where more than
// `max_values` values would be held at once.
Json parse_json(std::string_view text, const std::string& subject, const std::map<std::string, JsonMember>& streamed,
                std::size_t max_values);
// Reads and parses a file of at most 64 MiB. Error{kIo} when it cannot be read.
Json read_json(const std::string& path);
// One line, keys in insertion order is not promised; invalid UTF-8 in strings becomes U+FFFD.
std::string to_json_line(const Json& value);

}  // namespace uio
