// The file of an index of keys: arrays for each memory layer and KV head, as uio-index(5) lays them out. Its only reader and writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "io/file.h"
#include "io/held_pages.h"

namespace uio {

struct KeyIndexHeader {
  std::string kind;   // flat, ivf, hnsw, sq8, ivfpq
  std::string blob;   // fingerprint of the stream that the keys are in
  std::uint64_t rows = 0;  // of each layer and head
  std::uint32_t layers = 0, heads = 0, head_size = 0;
  std::uint32_t lists = 0;  // of ivf and ivfpq
  std::uint32_t parts = 0;  // of ivfpq: numbers of a code
  std::uint32_t links = 0;  // of hnsw: of each key
  bool operator==(const KeyIndexHeader&) const = default;
};

enum class KeyArray : std::uint32_t { kCentroids = 1, kStarts, kIds, kCodes, kScales, kBooks, kLinks };
const char* name_of(KeyArray array);

class KeyIndexWriter {
 public:
  KeyIndexWriter(Sink& sink, KeyIndexHeader header);
  template <typename T>
  void add(std::uint32_t layer, std::uint32_t head, KeyArray array, std::span<const T> items) {
    add_bytes(layer, head, array, std::as_bytes(items));
  }
  // Without it the index is not whole. Does not commit the sink.
  void finish();

 private:
  void add_bytes(std::uint32_t layer, std::uint32_t head, KeyArray array, std::span<const std::byte> bytes);
  void write(std::span<const std::byte> bytes);
  void pad();

  Sink& sink_;
  KeyIndexHeader header_;
  std::vector<std::byte> table_;
  std::uint64_t at_ = 0;
};

class KeyIndexFile {
 public:
  // Maps it, and checks every byte before anything is believed. Throws Error{kData} naming the file for damage, Error{kMismatch} for a version or kind that
  // is not known, Error{kIo} where it cannot be read.
  explicit KeyIndexFile(const std::string& path);
  const KeyIndexHeader& header() const { return header_; }
  const std::string& path() const { return file_.path(); }
  // An array of exactly `count` items. Throws Error{kData} where there is none, or of another size.
  template <typename T>
  std::span<const T> array(std::uint32_t layer, std::uint32_t head, KeyArray array, std::uint64_t count) const {
    const std::span<const std::byte> bytes = find(layer, head, array, count, sizeof(T));
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  // The array kIds: which key is at each place. Throws Error{kData} where one is not a key, or is there twice.
  std::span<const std::uint32_t> ids(std::uint32_t layer, std::uint32_t head) const;
  // So many bytes are about to be read from one place: bounds what of the file is held in memory.
  void read(std::uint64_t bytes) const noexcept { held_.read(file_, bytes); }
  [[noreturn]] void fail(const std::string& reason) const;

 private:
  std::span<const std::byte> find(std::uint32_t layer, std::uint32_t head, KeyArray array, std::uint64_t count, std::size_t item) const;
  void read_table(std::span<const std::byte> table, std::uint64_t end);

  MappedFile file_;
  mutable HeldPages held_;
  KeyIndexHeader header_;
  std::map<std::tuple<std::uint32_t, std::uint32_t, KeyArray>, std::span<const std::byte>> arrays_;
};

}  // namespace uio
