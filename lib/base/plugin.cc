#include "base/plugin.h"

#include <dlfcn.h>

namespace uio {
namespace {

// The folder of the library that this code is in.
std::string own_directory() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&open_plugin), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Plugin open_plugin(const std::string& file, Symbols symbols) {
  Plugin plugin;
  plugin.handle = dlopen((own_directory() + "/" + file).c_str(), symbols == Symbols::kShared ? RTLD_NOW | RTLD_GLOBAL : RTLD_LAZY | RTLD_LOCAL);
  if (plugin.handle != nullptr) return plugin;
  const char* text = dlerror();
  plugin.reason = text ? text : "it cannot be opened";
  return plugin;
}

void* symbol_of(const Plugin& plugin, const char* name) { return plugin.handle ? dlsym(plugin.handle, name) : nullptr; }

}  // namespace uio
