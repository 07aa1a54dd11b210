// Finds and opens libuio_core.so.
#include "cli/core.h"

#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "base/error.h"

// Where the install puts libraries, relative to the prefix.
#ifndef UIO_LIBDIR
#define UIO_LIBDIR "lib"
#endif

namespace uio::cli {
namespace {

constexpr char kLibrary[] = "libuio_core.so.0";

const CoreApi& open_core() {
  // Tensors above the mmap threshold are otherwise mapped and unmapped one by one, page faults included: 3 to 4 times the time.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);

  // Products whose last bits depend neither on the threads nor on how many rows are multiplied at once, so that the same
  // segment gives the same bytes in any batch. MKL reads this when it first multiplies.
  setenv("MKL_CBWR", __builtin_cpu_supports("avx512f") ? "AVX512,STRICT" : "AVX2,STRICT", /*overwrite=*/0);

  const std::string here = program_directory();
  void* library = nullptr;
  std::string reason;
  for (const std::string& path :
       {here + "/../lib/" + kLibrary, here + "/../" UIO_LIBDIR "/" + kLibrary, std::string(kLibrary)}) {
    if (path.find('/') != std::string::npos && access(path.c_str(), F_OK) != 0) continue;
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    if (const char* text = dlerror()) reason = text;
  }
  const std::string what = "cannot load the tensor library";
  const std::string hint = "is uio built or installed whole, with its LibTorch?";
  if (library == nullptr) throw Error(ErrorKind::kInternal, what, kLibrary, reason, hint);
  const auto get_api = reinterpret_cast<decltype(&uio_core_api)>(dlsym(library, "uio_core_api"));
  const CoreApi* api = get_api ? get_api() : nullptr;
  if (api == nullptr || api->version != kCoreApiVersion) {
    const std::string found = api ? "found version " + std::to_string(api->version) : "found no interface";
    throw Error(ErrorKind::kInternal, what, kLibrary, "expected version " + std::to_string(kCoreApiVersion) + ", " + found,
                hint);
  }
  return *api;
}

}  // namespace

std::string program_directory() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0 || length == static_cast<ssize_t>(sizeof path)) return ".";
  const std::string whole(path, static_cast<std::size_t>(length));
  return whole.substr(0, whole.rfind('/'));
}

const CoreApi& load_core() {
  static const CoreApi& api = open_core();
  return api;
}

}  // namespace uio::cli
