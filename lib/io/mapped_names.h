// Which file is mapped where, for the handler of SIGBUS: by that signal a process learns of a page that cannot be read.
#pragma once

#include <cstddef>
#include <string>

namespace uio {

// From now on the bytes belong to the file at `path`, until leave_mapped_name. Beyond 256 maps at once, they have no name.
void enter_mapped_name(const std::byte* begin, std::size_t size, const std::string& path);
void leave_mapped_name(const std::byte* begin);
// The name, quoted for messages, of the mapped file that has this address; null when none has. Safe to call in a signal handler.
const char* mapped_name_at(const void* address) noexcept;

}  // namespace uio
