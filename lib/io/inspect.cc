#include "io/inspect.h"

#include <string_view>

#include "io/cut.h"
#include "io/export.h"
#include "io/index.h"
#include "io/listing.h"
#include "io/path.h"
#include "io/selection.h"
#include "io/stream.h"
#include "io/train_state.h"

namespace uio {
namespace {

enum class InputKind { kStream, kSafetensors, kAdapter };

// Told by content where it can be: a stream by its magic; safetensors by its name or the JSON behind the length.
InputKind kind_of(const std::string& path, PeekSource& source) {
  const auto first = source.peek(16);
  if (looks_like_stream(first)) return InputKind::kStream;
  const bool is_json = first.size() > 8 && first[8] == std::byte{'{'};
  return path != "-" && (path.ends_with(".safetensors") || is_json) ? InputKind::kSafetensors : InputKind::kStream;
}

bool is_adapter(const std::string& path) { return path_exists(path + "/adapter_config.json"); }

class Inspector {
 public:
  Inspector(const InspectJob& job, JobIo& io) : job_(job), io_(io), selection_(job.documents, job.segments) {
    const int modes = job.verify + job.index + job.cut + !job.export_path.empty();
    if (modes > 1) throw Error(ErrorKind::kUsage, "choose one of --verify, --index, --export and --cut", "", "");
    if (modes > 0 && job.tokens) throw Error(ErrorKind::kUsage, "--tokens belongs to the listing alone", "", "");
    if ((job.verify || job.index) && !selection_.is_all()) {
      throw Error(ErrorKind::kUsage, "--verify and --index take whole streams, not --document or --segments", "", "");
    }
    if (inputs().size() > 1 && job.index) {
      throw Error(ErrorKind::kUsage, "an index is of one stream, not of " + std::to_string(inputs().size()), "", "");
    }
  }

  void run() {
    if (job_.index) {
      write_index(*open_source(inputs()[0]), *io_.output);
      io_.host->succeed();
    } else if (job_.cut) {
      cut();
    } else if (!job_.export_path.empty()) {
      export_all();
    } else {
      show_all();
    }
  }

 private:
  const std::vector<std::string>& inputs() const {
    static const std::vector<std::string> standard_input = {"-"};
    return io_.inputs.empty() ? standard_input : io_.inputs;
  }

  void require_match(std::uint64_t matches) const {
    if (matches == 0 && !selection_.is_all()) {
      throw Error(ErrorKind::kNo, "nothing selected", "", "no record of the inputs has this document and segment");
    }
  }

  void cut() {
    StreamCutter cutter(*io_.output, selection_, io_.stage);
    for (const std::string& path : inputs()) cutter.add(*open_source(path));
    require_match(cutter.finish());
    io_.host->succeed();
  }

  void export_all() {
    const auto sink = open_sink(job_.export_path);
    require_match(export_tensors(inputs(), selection_, *sink));
    sink->commit();
    io_.host->succeed();
  }

  void show_all() {
    for (const std::string& path : inputs()) {
      try {
        show(path);
        io_.host->succeed();
      } catch (const Error& error) {
        // An output that cannot be written fails every input alike.
        if (std::string_view(error.what()).starts_with("cannot write")) throw;
        if (job_.verify) put({{"file", path}, {"ok", false}, {"error", error.what()}});
        io_.host->fail(error);
      }
    }
    require_match(matches_);
  }

  void show(const std::string& path) {
    if (is_adapter(path)) {
      show_file(path, describe_adapter(path));
      return;
    }
    PeekSource source(open_source(path));
    if (kind_of(path, source) == InputKind::kSafetensors) {
      const SafetensorsFile file(path);
      if (is_train_state(file.metadata())) {
        show_state(path);
      } else {
        show_file(path, describe_safetensors(file));
      }
    } else if (job_.verify) {
      verify_stream(source);
    } else {
      list_stream(source);
    }
  }

  void show_file(const std::string& path, const Json& description) {
    ++matches_;
    put(job_.verify ? sound(path, description["tensors"].size()) : description);
  }

  // A line of its own for each tensor: there are thousands of them.
  void show_state(const std::string& path) {
    const TrainStateFile file(path);
    ++matches_;
    put(job_.verify ? sound(path, file.tensors().size()) : describe_train_state(file, path));
    if (job_.verify) return;
    for (const auto& [name, tensor] : file.tensors()) put(describe_state_tensor(name, tensor));
  }

  static Json sound(const std::string& path, std::size_t tensors) {
    return {{"file", path}, {"ok", true}, {"tensors", tensors}};
  }

  void verify_stream(Source& source) {
    RecordReader reader(source);
    std::uint64_t segments = 0, memories = 0;
    while (const auto record = reader.next()) ++(std::holds_alternative<Memory>(*record) ? memories : segments);
    put({{"file", source.name()},
         {"ok", true},
         {"records", segments + memories},
         {"segments", segments},
         {"memories", memories}});
  }

  void list_stream(Source& source) {
    RecordReader reader(source);
    std::uint64_t records = 0;
    while (const auto event = reader.next_event()) {
      if (*event == StreamEvent::kStart) {
        put({{"kind", "start"}, {"file", source.name()}, {"provenance", describe_provenance(reader.provenance())}});
        records = 0;
      } else if (*event == StreamEvent::kEnd) {
        put({{"kind", "end"}, {"records", records}});
      } else {
        ++records;
        list_record(reader);
      }
    }
  }

  void list_record(RecordReader& reader) {
    const Record header = reader.header();
    if (!selection_.contains(span_of(header))) return;
    ++matches_;
    const auto* memory = std::get_if<Memory>(&header);
    const bool with_tokens = job_.tokens && (!memory || memory->has_tokens);
    Json line =
        describe_record(with_tokens ? reader.decode() : header, reader.token_count(), reader.scored_count(), with_tokens);
    line["offset"] = reader.frame_offset();
    line["bytes"] = reader.frame_bytes();
    put(line);
  }

  void put(const Json& line) {
    io_.output->write(to_json_line(line) + "\n");
    io_.output->flush();
  }

  const InspectJob& job_;
  JobIo& io_;
  Selection selection_;
  std::uint64_t matches_ = 0;
};

}  // namespace

void inspect(const InspectJob& job, JobIo& io) { Inspector(job, io).run(); }

}  // namespace uio
