// The fuzz target: streams, their index, and safetensors files. Built with clang's libFuzzer (UIO_LIBFUZZER) it brings a
// mutator that repairs checksums; without, stream_fuzz_driver.cc calls it.
#include "fuzz/stream_fuzz.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "base/error.h"
#include "fuzz/mutations.h"
#include "io/index.h"
#include "io/safetensors.h"
#include "io/stream.h"

namespace uio::fuzz {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Damage and mismatch are the only ways to refuse bytes.
template <typename Action>
bool is_accepted(const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kData || error.kind() == ErrorKind::kMismatch) return false;
    throw;
  }
}

// Writes what can be read, decoded and anew.
std::string rewrite(std::string_view bytes) {
  const auto source = memory_source(as_bytes(bytes), "fuzz");
  RecordReader reader(*source);
  MemorySink sink;
  RecordWriter writer(sink, {});
  while (const auto record = reader.next()) writer.write(*record);
  writer.finish();
  return sink.bytes();
}

// The same with headers alone, payloads copied as they are.
std::string copy(std::string_view bytes) {
  const auto source = memory_source(as_bytes(bytes), "fuzz");
  RecordReader reader(*source);
  MemorySink sink;
  RecordWriter writer(sink, {});
  while (reader.next_header()) writer.write_raw(reader.raw());
  writer.finish();
  return sink.bytes();
}

void require(bool claim, const char* what) {
  if (!claim) throw std::logic_error(what);
}

void check_index(std::string_view bytes) {
  const auto source = memory_source(as_bytes(bytes), "fuzz");
  MemorySink index;
  write_index(*source, index);
  std::string_view lines = index.bytes();
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    read_indexed_record(as_bytes(bytes), parse_index_line(lines.substr(0, end), "index"), "fuzz");
    lines.remove_prefix(end + 1);
  }
}

}  // namespace

bool check_stream(std::string_view bytes) {
  std::string again;
  const bool accepted = is_accepted([&] { again = rewrite(bytes); });
  std::string copied;
  const bool copies = is_accepted([&] { copied = copy(bytes); });
  require(!accepted || copies, "headers are refused where records are accepted");
  if (!accepted) return false;
  require(rewrite(again) == again, "a record changes when it is written and read");
  require(rewrite(copied) == again, "a record changes when it is copied");
  check_index(bytes);
  return true;
}

bool check_safetensors(std::string_view bytes) {
  return is_accepted([&] {
    std::size_t total = 0;
    unsigned sum = 0;
    for (const auto& [name, tensor] : parse_safetensors(as_bytes(bytes), "fuzz").tensors) {
      total += tensor.bytes.size();
      for (const std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
    }
    require(total < bytes.size() && sum <= 255 * total, "tensors have more bytes than their file");
  });
}

}  // namespace uio::fuzz

#ifdef UIO_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  uio::fuzz::check_stream(bytes);
  uio::fuzz::check_safetensors(bytes);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  uio::fuzz::Random random(seed);
  const std::vector<std::string> corpus = {std::string(reinterpret_cast<const char*>(data), size)};
  const std::string mutated = uio::fuzz::mutate_stream(corpus, random).bytes;
  const std::size_t kept = std::min(most, mutated.size());
  std::copy_n(mutated.begin(), kept, data);
  return kept;
}
#endif
