#include "memory/index_job.h"

#include <ATen/Parallel.h>

#include <variant>

#include "base/error.h"
#include "memory/method.h"
#include "search/make_key_index.h"
#include "search/stored_memory.h"

namespace uio {
namespace {

void index_blob(const std::string& path, const IndexJob& job, Host& host) {
  bool has_positions = false;
  if (file_identity(path).empty()) open_source(path);  // says what is wrong with it
  const auto stored = read_stored_memory(path, [&](RecordReader& reader) {
    const Record record = reader.header();
    if (const auto* memory = std::get_if<Memory>(&record)) has_positions = has_positions || find_method(memory->method).has_positions;
  });
  const std::string what = "blob cannot be indexed";
  if (has_positions) throw Error(ErrorKind::kUsage, what, path, "its memories have positions, and all of them are read");
  if (!stored) throw Error(ErrorKind::kUsage, what, path, "its memories do not lie as rows", "uio-compress --level 0 -o FILE writes them so");
  if (stored->rows.count() == 0) throw Error(ErrorKind::kUsage, what, path, "it has no memories");
  const auto sink = open_sink(key_index_path(path));
  make_key_index(job, *stored, *sink, host);
  sink->commit();
}

}  // namespace

void make_key_indexes(const IndexJob& job, JobIo& io) {
  if (job.choice.threads > 0) at::set_num_threads(job.choice.threads);
  for (const std::string& path : io.inputs) {
    index_blob(path, job, *io.host);
    io.host->succeed();
  }
}

}  // namespace uio
