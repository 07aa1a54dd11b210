#include "memory/decode.h"

#include <c10/core/InferenceMode.h>

#include "io/stream.h"
#include "memory/generate.h"
#include "memory/sampler.h"
#include "memory/serve.h"

namespace uio {
namespace {

void save(const DecodeJob& job, const JobIo& io, Generation& generation) {
  const auto sink = open_sink(job.save);
  Provenance provenance = generation.provenance();
  provenance.push_back(io.stage);
  StreamOptions options;
  options.level = job.level;
  RecordWriter writer(*sink, std::move(provenance), options);
  for (const Record& record : generation.take_grown()) writer.write(record);
  writer.finish();
  sink->commit();
}

}  // namespace

void decode(const DecodeJob& job, JobIo& io) {
  const c10::InferenceMode no_gradients;
  check_sampling(job.sampling);
  const Ready ready = make_ready(job.choice, AdapterNeed::kIfThere, *io.host);
  if (job.serve) {
    serve(job, io, ready);
    return;
  }
  const bool keeps = !job.save.empty();
  std::vector<std::shared_ptr<const Blob>> blobs;
  for (const std::string& path : io.inputs) blobs.push_back(read_blob(path, ready, keeps));
  Generation generation(ready, request_of(job), std::move(blobs), keeps, [&](const std::string& text) {
    io.output->write(text);
    io.output->flush();
  });
  Generation* const alone[] = {&generation};
  while (!generation.is_done()) {
    Generation::advance(alone, [](std::size_t) { throw; });
    io.host->progress(generation.tokens().size(), static_cast<std::uint64_t>(job.max_tokens), "tokens");
  }
  io.output->write(std::string_view("\n"));
  if (keeps) save(job, io, generation);
  io.host->succeed();
}

}  // namespace uio
