#include "io/json.h"

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
  explicit StrictBuilder(const std::string& subject) : subject_(subject) {}
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
    if (open_.back()->contains(name)) fail("key " + quote(name) + " is given twice");
    key_ = name;
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

  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  // Pointers into parents stay good: a parent changes only after its child is closed.
  bool open(Json value) {
    if (open_.size() == kDeepest) fail("is nested deeper than " + std::to_string(kDeepest) + " levels");
    open_.push_back(place(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& subject_;
  Json root_;
  std::vector<Json*> open_;
  std::string key_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& subject) {
  StrictBuilder builder(subject);
  Json::sax_parse(text, &builder);
  return builder.take();
}

Json read_json(const std::string& path) {
  const auto source = open_source(path);
  return parse_json(read_all(*source, kLargestFile), path);
}

std::string to_json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace uio
