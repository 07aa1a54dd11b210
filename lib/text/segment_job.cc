#include "text/segment_job.h"

#include <filesystem>
#include <utility>

#include "base/error.h"
#include "io/json.h"
#include "io/memory_window.h"
#include "io/path.h"
#include "io/stream.h"
#include "text/segmenter.h"
#include "text/tokenizer.h"

namespace uio {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kDefaultSegmentLength = 1024;

// Sum of the inputs' sizes, 0 where one is not a regular file.
std::uint64_t total_bytes(const std::vector<std::string>& inputs) {
  std::uint64_t total = 0;
  for (const std::string& input : inputs) {
    std::error_code failed;
    if (input == "-" || !fs::is_regular_file(input, failed)) return 0;
    total += fs::file_size(input, failed);
    if (failed) return 0;
  }
  return total;
}

// Passes a source's bytes on and tells the host how many there were.
class CountedSource : public Source {
 public:
  CountedSource(std::unique_ptr<Source> inner, Host& host, std::uint64_t& done, std::uint64_t total)
      : inner_(std::move(inner)), host_(host), done_(done), total_(total) {}

  std::size_t read(std::span<std::byte> buffer) override {
    const std::size_t count = inner_->read(buffer);
    done_ += count;
    host_.progress(done_, total_, "bytes");
    return count;
  }
  const std::string& name() const override { return inner_->name(); }

 private:
  std::unique_ptr<Source> inner_;
  Host& host_;
  std::uint64_t& done_;
  std::uint64_t total_;
};

Cutting cutting_of(const SegmentJob& job) {
  if (!job.has_windows) return {job.segment_length != 0 ? job.segment_length : default_segment_length(job.model, job.adapter), job.boundaries};
  const MemoryWindow window = read_memory_window(job.model, job.segment_length);
  return {window.length, job.boundaries, window.tail};
}

}  // namespace

std::uint32_t default_segment_length(const std::string& model, const std::string& adapter) {
  const fs::path directory = adapter.empty() ? fs::path(model) / "adapter" : fs::path(adapter);
  const std::string path = (directory / "adapter_config.json").string();
  if (adapter.empty() && !path_exists(path)) return kDefaultSegmentLength;
  const Json config = read_json(path);
  if (!config.is_object() || !config.contains("segment_length")) {
    throw Error(ErrorKind::kData, "wrong adapter configuration", path, "it has no segment_length");
  }
  const Json& length = config.at("segment_length");
  if (!length.is_number_unsigned() || length.get<std::uint64_t>() == 0 || length.get<std::uint64_t>() > UINT32_MAX) {
    throw Error(ErrorKind::kData, "wrong adapter configuration", path, "segment_length is " + length.dump());
  }
  return length.get<std::uint32_t>();
}

void segment(const SegmentJob& job, JobIo& io) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(job.model);
  const Cutting cutting = cutting_of(job);
  const std::vector<std::string> inputs = io.inputs.empty() ? std::vector<std::string>{"-"} : io.inputs;

  RecordWriter writer(*io.output, {io.stage}, {job.level});
  Segmenter segmenter(*tokenizer, cutting, job.replace_invalid);
  const std::uint64_t total = total_bytes(inputs);
  std::uint64_t done = 0;
  bool has_success = false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::unique_ptr<Source> source;
    try {
      source = open_source(inputs[i]);
    } catch (const Error& error) {
      if (!has_success && i + 1 == inputs.size()) throw;
      io.host->fail(error);
      continue;
    }
    CountedSource counted(std::move(source), *io.host, done, total);
    const auto reader = read_documents(counted, {job.unit, job.replace_invalid});
    segmenter.run(*reader, [&](Segment segment) { writer.write(segment); });
    has_success = true;
    io.host->succeed();
  }
  writer.finish();
}

}  // namespace uio
