// The safetensors format: mapped reading with every check that its specification asks for, and writing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/damage.h"
#include "io/file.h"

namespace uio {

// A tensor inside a mapped file. The bytes live as long as the SafetensorsFile.
struct TensorView {
  std::string dtype;  // as in the file: "F32", "BF16", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

// Bytes of a tensor. Throws Damage{kData} for an unknown dtype, a size that overflows and one that is not whole bytes; its
// reason continues a sentence that begins with the tensor.
std::uint64_t tensor_bytes(const std::string& dtype, std::span<const std::int64_t> shape);

// What a file says, and where in its bytes the tensors are. Throws Error{kData} naming the file for: header length beyond the
// file or 100 MB, bad JSON, duplicate names, unknown dtype, negative or overflowing shapes, offsets out of range, holes,
// overlaps, trailing bytes, byte count != shape × dtype.
struct SafetensorsContent {
  std::map<std::string, TensorView> tensors;
  std::map<std::string, std::string> metadata;  // what `__metadata__` says
};
SafetensorsContent parse_safetensors(std::span<const std::byte> file, const std::string& name);

// A file, mapped and parsed.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path) : file_(path), content_(parse_safetensors(file_.bytes(), path)) {}
  const std::map<std::string, TensorView>& tensors() const { return content_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }
  // The whole file, its header too.
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  const std::string& path() const { return file_.path(); }

 private:
  MappedFile file_;
  SafetensorsContent content_;
};

// Writes tensors one after another without holding them: declare all first, then give the bytes in the same order.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name, dtype;
    std::vector<std::int64_t> shape;
    std::uint64_t bytes = 0;
  };
  // Writes the header; `metadata` becomes `__metadata__` when not empty.
  SafetensorsWriter(Sink& sink, std::vector<Entry> entries, const std::map<std::string, std::string>& metadata = {});
  void write(std::span<const std::byte> bytes);
  // Throws Error{kInternal} unless exactly the declared bytes were written.
  void finish();

 private:
  Sink& sink_;
  std::uint64_t expected_ = 0, written_ = 0;
};

}  // namespace uio
