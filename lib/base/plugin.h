// Shared objects that are loaded only when they are needed, from beside the library.
#pragma once

#include <string>

namespace uio {

struct Plugin {
  void* handle = nullptr;  // of dlopen; never closed
  std::string reason;      // why there is none
};

enum class Symbols {
  kShared,  // visible to what is loaded later: MPI's and LibTorch's own plugins look for theirs there
  kOwn      // found through symbol_of() only; what the plugin names and never calls may be missing
};
// Opens `file` in the folder of this library.
Plugin open_plugin(const std::string& file, Symbols symbols = Symbols::kShared);

// The address of a symbol; null without the plugin or the symbol.
void* symbol_of(const Plugin& plugin, const char* name);

}  // namespace uio
