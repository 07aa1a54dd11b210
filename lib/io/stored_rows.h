// The keys and values of memories, read from the file that they lie in, row by row: what is searched there need not be in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/held_pages.h"
#include "io/memory_codec.h"
#include "io/record.h"

namespace uio {

enum class Side : std::uint8_t { kKeys, kValues };

// Of one stream of memories that were written at level 0, all of one shape but for their numbers of rows. The rows of a layer and head are numbered
// through, from the first memory to the last.
class StoredRows {
 public:
  explicit StoredRows(MappedFile file) : file_(std::move(file)) {}

  // The stream, from its first byte. The bytes are the file's.
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  const std::string& path() const { return file_.path(); }
  // Lets go of the pages that were read.
  void release() const noexcept { file_.release(); }
  // Takes in the memory whose payload is that part of bytes(), checked. False where it does not lie in rows as level 0 writes them, or has not the
  // shape of those before it.
  bool add(const Memory& header, std::span<const std::byte> payload);

  std::int64_t count() const { return starts_.empty() ? 0 : starts_.back(); }  // rows
  std::int64_t memories() const { return static_cast<std::int64_t>(places_.size()); }
  // Of the first memory; only where there is one.
  std::int64_t layers() const { return shape_.layers; }
  std::int64_t heads() const { return shape_.kv_heads; }
  std::int64_t head_size() const { return shape_.head_size; }
  DType dtype() const { return shape_.dtype; }

  // Copies rows [begin, begin + count) of one layer and head to `items`, which has just room for them. Any thread.
  void copy(Side side, std::int64_t layer, std::int64_t head, std::int64_t begin, std::int64_t count, std::span<std::byte> items) const;
  // The same for the rows named by `rows`, less `first` each. They are fetched together: a row that lies apart from all others costs a wait for memory.
  void copy_named(Side side, std::int64_t layer, std::int64_t head, std::span<const std::int64_t> rows, std::int64_t first, std::span<std::byte> items) const;

 private:
  struct Layers {
    std::uint32_t rows;  // of each head
    std::vector<StoredLayer> layers;
  };

  // Where a row lies: the content that begins at `frame`, from its byte `from` on.
  struct Address {
    std::uint64_t frame, from;
  };
  std::size_t memory_of(std::int64_t row) const;
  Address address_of(std::size_t memory, Side side, std::int64_t layer, std::int64_t head, std::int64_t row) const;
  // The bytes of a content lie in pieces: where that one lies.
  const std::byte* content(Address at) const;
  void copy_content(Address at, std::span<std::byte> to) const;

  MappedFile file_;
  mutable HeldPages held_;
  Memory shape_;
  std::vector<std::uint64_t> places_;  // of each memory's payload
  std::vector<std::uint32_t> kinds_;   // of each memory: which of kinds_of_rows_ its payload is
  std::vector<Layers> kinds_of_rows_;  // a stream has few numbers of rows
  std::vector<std::int64_t> starts_;   // rows up to the end of each memory
};

}  // namespace uio
