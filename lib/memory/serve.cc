#include "memory/serve.h"

#include <ATen/ATen.h>

#include <deque>
#include <utility>

#include "base/error.h"
#include "io/file.h"
#include "io/json.h"
#include "memory/sampler.h"
#include "model/tensor_error.h"

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

// A request's keys over the command line's options. Every key is known, every type right, or the request is refused.
GenerateRequest parse_request(const Json& json, const DecodeJob& job, const std::string& subject) {
  GenerateRequest request = request_of(job);
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
    } else if (key == "chat") {
      request.prompting.chat = text(key, value);
    } else if (key == "system") {
      request.prompting.system = text(key, value);
    } else if (key == "parse_special") {
      if (!value.is_boolean()) wrong(key, "true or false");
      request.prompting.parse_special = value.get<bool>();
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
    } else if (key == "retrieve") {
      request.retrieve = static_cast<std::uint32_t>(whole(key, value, kMostRetrieved));
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

// The requests of all inputs, one after the other.
class Requests {
 public:
  explicit Requests(const std::vector<std::string>& inputs) : inputs_(inputs) {}

  // The next line that is not blank, and its name for messages; false after the last.
  bool next(std::string& line, std::string& subject) {
    for (;;) {
      if (!lines_) {
        if (next_input_ == inputs_.size()) return false;
        source_ = open_source(inputs_[next_input_++]);
        lines_.emplace(*source_);
      }
      auto found = lines_->next();
      if (!found) {
        lines_.reset();
      } else if (found->find_first_not_of(" \t\r") != std::string::npos) {
        subject = source_->name() + ":" + std::to_string(lines_->number());
        line = std::move(*found);
        return true;
      }
    }
  }

 private:
  const std::vector<std::string>& inputs_;
  std::size_t next_input_ = 0;
  std::unique_ptr<Source> source_;
  std::optional<Lines> lines_;
};

class Server {
 public:
  Server(const DecodeJob& job, JobIo& io, const Ready& ready) : job_(job), io_(io), ready_(ready), blobs_(ready), requests_(io.inputs) {}

  void run() {
    while (fill()) {
      std::vector<Generation*> working;
      std::vector<Entry*> entries;
      for (Entry& entry : entries_)
        if (entry.is_working()) {
          working.push_back(entry.generation.get());
          entries.push_back(&entry);
        }
      if (!working.empty()) Generation::advance(working, [&](std::size_t i) { fail(*entries[i]); });
      while (!entries_.empty() && !entries_.front().is_working()) answer();
    }
  }

 private:
  // A request from its line to its answer.
  struct Entry {
    Json answer = Json::object();
    std::unique_ptr<Generation> generation;  // null: it failed
    bool is_working() const { return generation && !generation->is_done(); }
  };

  // Begins further requests while there is room; false when there is nothing left to do.
  bool fill() {
    std::string line, subject;
    while (static_cast<int>(entries_.size()) < job_.batch && requests_.next(line, subject)) begin(line, subject);
    return !entries_.empty();
  }

  void begin(const std::string& line, const std::string& subject) {
    Entry& entry = entries_.emplace_back();
    try {
      const Json json = parse_json(line, subject);
      if (!json.is_object()) throw Error(ErrorKind::kData, "bad request", subject, "not a JSON object");
      if (json.contains("id")) entry.answer["id"] = json.at("id");
      GenerateRequest request = parse_request(json, job_, subject);
      std::vector<std::shared_ptr<const Blob>> blobs;
      for (const std::string& path : request.memory) blobs.push_back(blobs_.get(path));
      entry.generation = std::make_unique<Generation>(ready_, std::move(request), std::move(blobs), false, [](const std::string&) {});
    } catch (const Error&) {
      fail(entry);
    } catch (const c10::Error&) {
      fail(entry);
    }
  }

  // Within a handler: this request's failure, told in its place; the others are answered.
  void fail(Entry& entry) {
    const Error error = error_of(std::current_exception(), job_.choice.device);
    entry.answer["error"] = Json{{"status", error.status()}, {"message", error.what()}};
    entry.generation.reset();
    io_.host->fail(error);
  }

  void answer() {
    Entry& entry = entries_.front();
    if (entry.generation) {
      entry.answer["text"] = entry.generation->text();
      entry.answer["tokens"] = entry.generation->tokens();
      entry.answer["finish"] = entry.generation->finish();
      io_.host->succeed();
    }
    io_.output->write(to_json_line(entry.answer) + "\n");
    io_.output->flush();
    entries_.pop_front();
    io_.host->progress(++answered_, 0, "requests");
  }

  const DecodeJob& job_;
  JobIo& io_;
  const Ready& ready_;
  BlobCache blobs_;
  Requests requests_;
  std::deque<Entry> entries_;  // in the order of the requests
  std::uint64_t answered_ = 0;
};

}  // namespace

GenerateRequest request_of(const DecodeJob& job) {
  GenerateRequest request;
  request.prompt = job.prompt;
  request.prompting = job.prompting;
  request.max_tokens = job.max_tokens;
  request.sampling = job.sampling;
  request.seed = job.choice.seed;
  request.ignore_eos = job.ignore_eos;
  request.drop_oldest = job.drop_oldest;
  request.retrieve = job.retrieve;
  return request;
}

void serve(const DecodeJob& job, JobIo& io, const Ready& ready) { Server(job, io, ready).run(); }

}  // namespace uio
