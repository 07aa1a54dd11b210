// What a program does when it is told to stop.
#pragma once

namespace uio::cli {

// Opens what is missing of the three standard descriptors in such a way that using it fails: otherwise the next file opened
// would take its number, and results or messages would land in it.
void guard_standard_descriptors();
// On HUP, INT, TERM and PIPE: unfinished files are removed, then the process dies of that very signal, so that make and shells
// stop. A closed reader kills quietly even when the parent ignored SIGPIPE; a file size limit is a write error.
// A page of a mapped file that cannot be read (a disk that fails, a file that was cut meanwhile) is a read failure of `program`: its
// message and status 5.
void handle_signals(const char* program);

}  // namespace uio::cli
