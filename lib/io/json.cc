#include "io/json.h"

#include <limits>
#include <vector>

#include "base/error.h"
#include "base/quote.h"
#include "io/file.h"

namespace uio {
namespace {

constexpr std::size_t kDeepest = 64;
constexpr std::size_t kLargestFile = 64 << 20;

// Builds the value while it refuses what nlohmann's own parser lets pass: repeated keys (the last wins there, silently) and
// nesting without limit.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(const std::string& subject, const std::map<std::string, JsonMember>& streamed, std::size_t max_values)
      : subject_(subject), streamed_(streamed), max_values_(max_values) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (open_.back().value->contains(name)) fail("key " + quote(name) + " is given twice");
    open_.back().key = name;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) override {
    // nlohmann's "[json.exception.…] parse error at line 1, column 2: reason" is jargon up to the reason.
    std::string reason = error.what();
    if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    if (const auto end = reason.find(": "); reason.starts_with("parse error") && end != std::string::npos)
      reason.erase(0, end + 2);
    fail("is not valid JSON at byte " + std::to_string(position) + ": " + reason);
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const { throw Error(ErrorKind::kData, "cannot read", subject_, reason); }

  // A container that is not closed yet; `member` takes its members where it is streamed.
  struct Frame {
    Json* value;
    const JsonMember* member;
    std::string key;   // of the member being read
    std::size_t held;  // values held when it was opened
  };

  Json* place(Json value) {
    if (++held_ > max_values_) fail("holds more than " + std::to_string(max_values_) + " values");
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[open_.back().key] = std::move(value));
  }

  bool add(Json value) {
    if (!open_.empty() && open_.back().member) {
      (*open_.back().member)(open_.back().key, std::move(value));
    } else {
      place(std::move(value));
    }
    return true;
  }

  // Pointers into parents stay good: a parent changes only after its child is closed.
  bool open(Json value) {
    if (open_.size() == kDeepest) fail("is nested deeper than " + std::to_string(kDeepest) + " levels");
    Json* placed = place(std::move(value));
    open_.push_back({placed, find_member(), {}, held_});
    return true;
  }

  bool close() {
    const Frame closed = std::move(open_.back());
    open_.pop_back();
    if (open_.empty() || !open_.back().member) return true;
    Frame& parent = open_.back();
    Json value = std::move(*closed.value);
    if (parent.value->is_array()) {
      parent.value->clear();
    } else {
      parent.value->erase(parent.key);
    }
    held_ = closed.held - 1;
    (*parent.member)(parent.key, std::move(value));
    return true;
  }

  // What takes the members of the container that is being opened, or none.
  const JsonMember* find_member() const {
    if (streamed_.empty() || open_.empty()) return nullptr;
    std::string path;
    for (const Frame& frame : open_) {
      if (frame.value->is_array() || frame.member) return nullptr;
      path += path.empty() ? frame.key : "/" + frame.key;
    }
    const auto found = streamed_.find(path);
    return found == streamed_.end() ? nullptr : &found->second;
  }

  const std::string& subject_;
  const std::map<std::string, JsonMember>& streamed_;
  const std::size_t max_values_;
  std::size_t held_ = 0;
  Json root_;
  std::vector<Frame> open_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& subject) {
  return parse_json(text, subject, {}, std::numeric_limits<std::size_t>::max());
}

Json parse_json(std::string_view text, const std::string& subject, const std::map<std::string, JsonMember>& streamed,
                std::size_t max_values) {
  StrictBuilder builder(subject, streamed, max_values);
  Json::sax_parse(text, &builder);
  return builder.take();
}

Json read_json(const std::string& path) {
  const auto source = open_source(path);
  return parse_json(read_all(*source, kLargestFile), path);
}

std::string to_json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace uio
