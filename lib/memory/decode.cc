#include "memory/decode.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <set>

#include "base/error.h"
#include "io/json.h"
#include "io/stream.h"
#include "memory/generate.h"
#include "memory/sampler.h"

namespace uio {
namespace {

// One line of a source at a time, of at most 64 MiB.
class Lines {
 public:
  explicit Lines(Source& source) : source_(source) {}
  std::optional<std::string> next() {
    for (;;) {
      if (const std::size_t end = buffer_.find('\n', searched_); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        searched_ = 0;
        ++number_;
        return line;
      }
      searched_ = buffer_.size();
      if (buffer_.size() > (std::size_t{64} << 20))
        throw Error(ErrorKind::kData, "bad request", source_.name(), "line " + std::to_string(number_ + 1) + " is longer than 64 MiB");
      std::byte chunk[65536];
      const std::size_t count = source_.read(chunk);
      if (count == 0) {
        if (buffer_.empty()) return std::nullopt;
        ++number_;
        searched_ = 0;
        return std::exchange(buffer_, {});
      }
      buffer_.append(reinterpret_cast<const char*>(chunk), count);
    }
  }
  std::uint64_t number() const { return number_; }

 private:
  Source& source_;
  std::string buffer_;
  std::size_t searched_ = 0;
  std::uint64_t number_ = 0;
};

GenerateRequest defaults_of(const DecodeJob& job) {
  GenerateRequest request;
  request.prompt = job.prompt;
  request.max_tokens = job.max_tokens;
  request.sampling = job.sampling;
  request.seed = job.choice.seed;
  request.ignore_eos = job.ignore_eos;
  request.drop_oldest = job.drop_oldest;
  return request;
}

// A request's keys over the command line's options. Every key is known, every type right, or the request is refused.
GenerateRequest parse_request(const Json& json, const DecodeJob& job, const std::string& subject) {
  GenerateRequest request = defaults_of(job);
  const auto wrong = [&](const std::string& key, const char* expected) {
    throw Error(ErrorKind::kData, "bad request", subject, "key '" + key + "' is not " + expected);
  };
  const auto text = [&](const std::string& key, const Json& value) {
    if (!value.is_string()) wrong(key, "a string");
    return value.get<std::string>();
  };
  const auto number = [&](const std::string& key, const Json& value) {
    if (!value.is_number()) wrong(key, "a number");
    return value.get<double>();
  };
  const auto whole = [&](const std::string& key, const Json& value, std::int64_t most) {
    if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() > static_cast<double>(most)) wrong(key, "a whole number in range");
    return value.get<std::int64_t>();
  };
  for (const auto& [key, value] : json.items()) {
    if (key == "id") continue;
    if (key == "memory") {
      request.memory.clear();
      for (const Json& path : value.is_array() ? value : Json::array({value})) request.memory.push_back(text(key, path));
    } else if (key == "prompt") {
      request.prompt = text(key, value);
    } else if (key == "max_tokens") {
      request.max_tokens = static_cast<int>(whole(key, value, 1 << 30));
    } else if (key == "temperature") {
      request.sampling.temperature = number(key, value);
    } else if (key == "top_k") {
      request.sampling.top_k = static_cast<int>(whole(key, value, 1 << 30));
    } else if (key == "top_p") {
      request.sampling.top_p = number(key, value);
    } else if (key == "min_p") {
      request.sampling.min_p = number(key, value);
    } else if (key == "repeat_penalty") {
      request.sampling.repeat_penalty = number(key, value);
    } else if (key == "seed") {
      request.seed = static_cast<std::uint64_t>(whole(key, value, std::int64_t{1} << 62));
    } else if (key == "stop") {
      request.sampling.stop.clear();
      for (const Json& stop : value.is_array() ? value : Json::array({value})) {
        request.sampling.stop.push_back(text(key, stop));
        if (request.sampling.stop.back().empty()) wrong(key, "a string that is not empty");
      }
    } else if (key == "ignore_eos") {
      if (!value.is_boolean()) wrong(key, "true or false");
      request.ignore_eos = value.get<bool>();
    } else if (key == "overflow") {
      if (value != "oldest" && value != "refuse") wrong(key, "'oldest' or 'refuse'");
      request.drop_oldest = value == "oldest";
    } else {
      throw Error(ErrorKind::kData, "bad request", subject, "key '" + key + "' is not known");
    }
  }
  for (const std::string& path : request.memory)
    if (path == "-") throw Error(ErrorKind::kData, "bad request", subject, "a request's memory cannot be standard input");
  check_sampling(request.sampling);
  return request;
}

void serve(const DecodeJob& job, JobIo& io, const Ready& ready) {
  for (const std::string& input : io.inputs) {
    const auto source = open_source(input);
    Lines lines(*source);
    while (const auto line = lines.next()) {
      if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string subject = input + ":" + std::to_string(lines.number());
      Json answer = Json::object();
      try {
        const Json json = parse_json(*line, subject);
        if (!json.is_object()) throw Error(ErrorKind::kData, "bad request", subject, "not a JSON object");
        if (json.contains("id")) answer["id"] = json.at("id");
        const GenerateResult result = generate(ready, parse_request(json, job, subject), false, [](const std::string&) {}, *io.host);
        answer["text"] = result.text;
        answer["tokens"] = result.tokens;
        answer["finish"] = result.finish;
        io.host->succeed();
      } catch (const Error& error) {  // this request's failure, in its place; the others are answered
        answer["error"] = Json{{"status", error.status()}, {"message", error.what()}};
        io.host->fail(error);
      }
      io.output->write(to_json_line(answer) + "\n");
      io.output->flush();
    }
  }
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
  GenerateRequest request = defaults_of(job);
  request.memory = io.inputs;
  const GenerateResult result = generate(ready, request, !job.save.empty(), [&](const std::string& text) {
    io.output->write(text);
    io.output->flush();
  }, *io.host);
  io.output->write(std::string_view("\n"));
  if (!job.save.empty()) {
    const auto sink = open_sink(job.save);
    Provenance provenance = result.provenance;
    provenance.push_back(io.stage);
    StreamOptions options;
    options.level = job.level;
    RecordWriter writer(*sink, std::move(provenance), options);
    for (const Record& record : result.grown) writer.write(record);
    writer.finish();
    sink->commit();
  }
  io.host->succeed();
}

}  // namespace uio
