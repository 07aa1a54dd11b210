// Names from outside, made safe to print on one line of a terminal.
#pragma once

#include <string>
#include <string_view>

namespace uio {

// `text` between single quotes; control characters and bytes that are not UTF-8 as \xNN, and cut after
// 200 bytes with `…`, so that a hostile file name or id cannot break a line or move a terminal's cursor.
std::string quote(std::string_view text);

// Up to the first line break.
std::string first_line(const std::string& text);

}  // namespace uio
