// Shared objects that are loaded only when they are needed, from beside the library.
#pragma once

#include <string>

namespace uio {

struct Plugin {
  void* handle = nullptr;  // of dlopen; never closed
  std::string reason;      // why there is none
};

// Opens `file` in the folder of this library, its symbols visible to what is loaded later: MPI's and LibTorch's own plugins
// look for theirs there.
Plugin open_plugin(const std::string& file);

// The address of a symbol; null without the plugin or the symbol.
void* symbol_of(const Plugin& plugin, const char* name);

}  // namespace uio
