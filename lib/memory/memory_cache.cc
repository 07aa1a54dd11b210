#include "memory/memory_cache.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/csrc/api/include/torch/version.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>

#include "base/build_id.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/version.h"
#include "io/memory_codec.h"
#include "kernels/policy.h"

namespace uio {
namespace {

// Name and features of the processor: by these LibTorch's products choose their instructions. (EBX of leaf 1 has the number of the core.)
std::string processor() {
#if defined(__x86_64__)
  std::vector<unsigned> words;
  const auto ask = [&](unsigned leaf, bool wants_ebx) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __get_cpuid_count(leaf, 0, &a, &b, &c, &d);
    words.insert(words.end(), {a, wants_ebx ? b : 0, c, d});
  };
  ask(1, false);
  ask(7, true);
  for (const unsigned leaf : {0x80000002u, 0x80000003u, 0x80000004u}) ask(leaf, true);
  return to_hex(std::as_bytes(std::span(words)));
#else
  return "";
#endif
}

}  // namespace

std::string describe_arithmetic(const Model& model) {
  const Placement& placement = model.placement();
  std::string text = std::string("uio ") + kVersion + " " + build_id_of(reinterpret_cast<const void*>(&describe_arithmetic)) + "\nLibTorch " TORCH_VERSION "\n";
  text += c10::DeviceTypeName(placement.device.type()) + " " + c10::toString(placement.computed) + "\n";
  text += kernels::is_reference_forced() ? "reference" : kernels::instruction_set();
  text += " on " + std::to_string(at::get_num_threads()) + " threads";
  return text + "\n" + at::get_cpu_capability() + " " + processor();
}

std::string memory_key(Memory header, const std::string& arithmetic, PlaceInBatch place) {
  header.span = {};
  const std::vector<std::byte> fields = encode_memory_map(header);
  Hasher hasher;
  hasher.add_field("uio memory cache 1");
  hasher.add_field(std::string_view(reinterpret_cast<const char*>(fields.data()), fields.size()));
  hasher.add_field(arithmetic);
  hasher.add_field(std::to_string(place.number) + " of " + std::to_string(place.count));
  return hasher.hex();
}

bool holds_memory(const std::string& directory, const Memory& header, const std::string& key) {
  return DiskCache::holds(directory, key, key_bytes(header) + value_bytes(header));
}

bool MemoryCache::fill(Memory& memory, const std::string& key) {
  const std::uint64_t keys = key_bytes(memory), values = value_bytes(memory);
  const auto bytes = disk_.find(key, keys + values);
  if (!bytes) return false;
  const auto middle = bytes->begin() + static_cast<std::ptrdiff_t>(keys);
  memory.keys.assign(bytes->begin(), middle);
  memory.values.assign(middle, bytes->end());
  return true;
}

void MemoryCache::store(const Memory& memory, const std::string& key) {
  const std::span<const std::byte> parts[] = {memory.keys, memory.values};
  disk_.store(key, parts);
}

}  // namespace uio
