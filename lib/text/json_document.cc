#include "text/json_document.h"

#include <utility>

#include "base/error.h"
#include "io/json.h"

namespace uio {
namespace {

class LineParser {
 public:
  LineParser(std::string_view line, const std::string& place) : place_(place), object_(parse_json(line, place)) {
    if (!object_.is_object()) fail("the line is not a JSON object");
  }

  JsonDocument parse() {
    check_form();
    document_.id = read_id();
    if (object_.contains("parts")) {
      read_parts();
    } else if (object_.contains("prompt")) {
      add_part(take_text(object_, "prompt", "its"), 0);
      add_part(take_text(object_, "response", "its"), 1);
      document_.weighting->scores_end = true;
    } else {
      document_.text = take_text(object_, "text", "its");
    }
    return std::move(document_);
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const { throw Error(ErrorKind::kData, "not a document", place_, reason); }

  // A line that could be read in two ways is refused: which one is meant decides what a model learns.
  void check_form() const {
    const auto exclude = [&](const char* one, const char* other) {
      if (object_.contains(one) && object_.contains(other))
        fail(std::string("it has both \"") + one + "\" and \"" + other + "\"");
    };
    const auto demand = [&](const char* one, const char* other) {
      if (object_.contains(one) && !object_.contains(other))
        fail(std::string("it has a \"") + one + "\" but no \"" + other + "\"");
    };
    for (const char* key : {"prompt", "response", "parts"}) exclude("text", key);
    for (const char* key : {"prompt", "response"}) exclude("parts", key);
    demand("prompt", "response");
    demand("response", "prompt");
    if (!object_.contains("text") && !object_.contains("parts") && !object_.contains("prompt"))
      fail("it has no \"text\", no \"prompt\" and \"response\", and no \"parts\"");
  }

  std::string read_id() const {
    const auto id = object_.find("id");
    if (id == object_.end() || id->is_null()) return place_;
    if (id->is_number_integer()) return id->dump();
    if (!id->is_string()) fail("its \"id\" is neither a string nor an integer");
    return id->get<std::string>();
  }

  // `whose` is for messages.
  std::string take_text(Json& object, const char* key, const std::string& whose) const {
    const auto text = object.find(key);
    if (text == object.end()) fail(whose + " \"" + key + "\" is missing");
    if (!text->is_string()) fail(whose + " \"" + key + "\" is not a string");
    return std::move(text->get_ref<std::string&>());
  }

  std::uint8_t read_weight(const Json& part, const std::string& whose) const {
    const auto weight = part.find("weight");
    if (weight == part.end()) return 1;
    if (!weight->is_number_unsigned() || weight->get<std::uint64_t>() > 255) {
      fail(whose + " \"weight\" is " + to_json_line(*weight).substr(0, 40) + ", expected an integer from 0 to 255");
    }
    return weight->get<std::uint8_t>();
  }

  void read_parts() {
    Json& parts = object_["parts"];
    if (!parts.is_array()) fail("its \"parts\" is not a list");
    document_.weighting.emplace();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string whose = "part " + std::to_string(i + 1) + " of its \"parts\":";
      if (!parts[i].is_object()) fail(whose + " it is not an object");
      const std::uint8_t weight = read_weight(parts[i], whose);
      add_part(take_text(parts[i], "text", whose), weight);
    }
  }

  void add_part(const std::string& text, std::uint8_t weight) {
    if (!document_.weighting) document_.weighting.emplace();
    document_.text += text;
    auto& parts = document_.weighting->parts;
    if (text.empty()) return;
    if (!parts.empty() && parts.back().weight == weight) parts.pop_back();
    parts.push_back({document_.text.size(), weight});
  }

  const std::string& place_;
  Json object_;
  JsonDocument document_;
};

}  // namespace

JsonDocument parse_json_document(std::string_view line, const std::string& place) { return LineParser(line, place).parse(); }

}  // namespace uio
