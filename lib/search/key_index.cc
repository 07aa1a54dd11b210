#include "search/key_index.h"

#include "base/error.h"
#include "io/key_index_file.h"
#include "io/path.h"
#include "search/link_index.h"
#include "search/list_index.h"

namespace uio {
namespace {

// The keys alone, all of which are looked at.
class FlatIndex : public KeyIndex {
 public:
  explicit FlatIndex(std::int64_t rows) : rows_(rows) {}
  kernels::Found find(std::int64_t, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t begin, std::int64_t count) const override {
    return kernels::find_nearest(queries, groups, rows, begin, begin + rows_, count);
  }

 private:
  std::int64_t rows_;
};

}  // namespace

std::string key_index_path(const std::string& blob) { return blob + ".index"; }

std::unique_ptr<KeyIndex> open_key_index(const std::string& path, const std::string& blob, const StoredRows& rows, std::int64_t probe) {
  if (!path_exists(path))
    throw Error(ErrorKind::kUsage, "no index", path, "there is no such file", "uio-compress --index ivf " + rows.path() + " makes one");
  auto file = std::make_shared<const KeyIndexFile>(path);
  const KeyIndexHeader& header = file->header();
  if (header.blob != blob) throw Error(ErrorKind::kMismatch, "index belongs to another blob", path, "made for " + header.blob + ", this one is " + blob);
  const auto check = [&](const char* what, std::int64_t has, std::int64_t wants) {
    if (has != wants) file->fail("has " + std::to_string(has) + " " + what + ", its blob has " + std::to_string(wants));
  };
  check("rows", static_cast<std::int64_t>(header.rows), rows.count());
  check("layers", header.layers, rows.layers());
  check("KV heads", header.heads, rows.heads());
  check("numbers a key", header.head_size, rows.head_size());
  if (header.kind == "flat") return std::make_unique<FlatIndex>(rows.count());
  if (header.kind == "hnsw") return std::make_unique<LinkIndex>(std::move(file), probe);
  return std::make_unique<ListIndex>(std::move(file), probe);
}

}  // namespace uio
