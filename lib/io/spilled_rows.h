// Rows of keys and values that are more than memory should hold, in a file without a name: nothing is left of it when the process ends, however it ends.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/descriptor.h"
#include "io/record.h"
#include "io/stored_rows.h"

namespace uio {

// Rows come and lie in stretches of equally many rows: of each memory layer the keys of all its matrices [matrices, rows, head size], then the values. So
// what a search reads of one matrix lies in long pieces. Rows of a layer and matrix are numbered through.
class SpilledRows {
 public:
  struct Shape {
    std::int64_t layers, matrices, head_size;  // a matrix for each KV head of each row of the batch
    DType dtype;
  };

  // As many rows to a stretch as fit `stretch_bytes`, a power of two, at least one. Throws Error{kIo} where no file can be made in the folder `directory`.
  SpilledRows(const std::string& directory, const Shape& shape, std::int64_t stretch_bytes);

  std::int64_t stretch() const { return stretch_; }  // rows
  std::int64_t count() const { return count_; }      // rows that are whole: of all layers
  std::int64_t head_size() const { return shape_.head_size; }
  DType dtype() const { return shape_.dtype; }

  // Writes the next stretch of the next layer: keys, then values, each [matrices, stretch, head size]. Layers take turns. Throws Error{kIo}.
  void write(std::span<const std::byte> keys, std::span<const std::byte> values);
  // Copies rows [begin, begin + count) of one layer and matrix to `items`, which has just room for them. Any thread. Throws Error{kIo}.
  void copy(Side side, std::int64_t layer, std::int64_t matrix, std::int64_t begin, std::int64_t count, std::span<std::byte> items) const;

 private:
  std::uint64_t row_bytes() const { return static_cast<std::uint64_t>(shape_.head_size) * item_bytes(shape_.dtype); }

  std::string directory_;
  Descriptor file_;
  Shape shape_;
  std::int64_t stretch_, count_ = 0, layers_written_ = 0;  // of the stretch behind `count_`
};

}  // namespace uio
