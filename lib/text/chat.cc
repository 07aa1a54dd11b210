// The rows say what the chat templates of the families' published models come to for one turn, with and without a system's message.
#include "text/chat.h"

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string_view>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/utf8.h"

namespace uio {
namespace {

struct Part {
  enum Kind { kMarker, kText, kSaid } kind;
  const char* text = "";  // of a marker, its name; what is said comes from the prompt
};
constexpr Part kSaid{Part::kSaid};
constexpr Part marker(const char* name) { return {Part::kMarker, name}; }
constexpr Part text(const char* text) { return {Part::kText, text}; }

struct Family {
  const char* name;
  const char* bos;  // marker that begins a document; nullptr: none
  const char* end;  // marker that ends an answer
  bool trims;       // what is said loses the spaces around it
  std::vector<Part> system;  // a message of its own; empty: the system speaks within the user's,
  const char* before_system = "";  // between these two
  const char* after_system = "";
  std::vector<Part> user, answer;
};

// Of two rows of one name the first whose markers are there is taken.
std::span<const Family> families() {
  static const Family kRows[] = {
      {"llama2", "<s>", "</s>", true, {}, "<<SYS>>\n", "\n<</SYS>>\n\n", {text("[INST] "), kSaid, text(" [/INST]")}, {}},
      {"llama3", "<|begin_of_text|>", "<|eot_id|>", true,
       {marker("<|start_header_id|>"), text("system"), marker("<|end_header_id|>"), text("\n\n"), kSaid, marker("<|eot_id|>")}, "", "",
       {marker("<|start_header_id|>"), text("user"), marker("<|end_header_id|>"), text("\n\n"), kSaid, marker("<|eot_id|>")},
       {marker("<|start_header_id|>"), text("assistant"), marker("<|end_header_id|>"), text("\n\n")}},
      {"mistral", "<s>", "</s>", false, {}, "", "\n\n", {marker("[INST]"), kSaid, marker("[/INST]")}, {}},  // from tokenizer version 3 on
      {"mistral", "<s>", "</s>", false, {}, "", "\n\n", {text("[INST] "), kSaid, text(" [/INST]")}, {}},
      {"chatml", nullptr, "<|im_end|>", false,
       {marker("<|im_start|>"), text("system\n"), kSaid, marker("<|im_end|>"), text("\n")}, "", "",
       {marker("<|im_start|>"), text("user\n"), kSaid, marker("<|im_end|>"), text("\n")},
       {marker("<|im_start|>"), text("assistant\n")}},
  };
  return kRows;
}

// The first marker of a family that the tokenizer lacks, or nullptr.
const char* missing_marker(const Tokenizer& tokenizer, const Family& family) {
  const auto is_missing = [&](const char* name) { return name && tokenizer.special_tokens().id_of(name) == AddedTokens::kText; };
  for (const char* name : {family.bos, family.end})
    if (is_missing(name)) return name;
  for (const auto* parts : {&family.system, &family.user, &family.answer})
    for (const Part& part : *parts)
      if (part.kind == Part::kMarker && is_missing(part.text)) return part.text;
  return nullptr;
}

const Family& choose_family(const Tokenizer& tokenizer, const std::string& name) {
  const char* missing = nullptr;
  for (const Family& family : families()) {
    if (family.name != name) continue;
    missing = missing_marker(tokenizer, family);
    if (!missing) return family;
  }
  if (!missing) throw Error(ErrorKind::kUsage, "unknown chat family", name, std::string("expected one of ") + chat_families());
  throw Error(ErrorKind::kMismatch, "no chat of family " + name + " with this tokenizer", missing, "it is not a special token of the tokenizer");
}

// What Unicode calls white space and Python strips.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string trim(std::string_view text) {
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (!is_space(c.code)) {
      begin = std::min(begin, at);
      end = at + c.bytes;
    }
    at += c.bytes;
  }
  return std::string(text.substr(std::min(begin, end), end - std::min(begin, end)));
}

// Ids of markers and of the text between them, which is encoded as a whole.
class Writer {
 public:
  Writer(const Tokenizer& tokenizer, bool parses) : tokenizer_(tokenizer), parses_(parses) {}

  // `starts`: whether what follows begins a text.
  void add_token(std::int32_t id, bool starts) {
    flush();
    ids_.push_back(id);
    is_start_ = starts;
  }
  void add_text(std::string_view text) { waiting_ += text; }
  void add_said(std::string_view text) {
    if (!parses_) return add_text(text);
    tokenizer_.special_tokens().part(text, [&](std::size_t begin, std::size_t end, std::int32_t id) {
      if (id == AddedTokens::kText) add_text(text.substr(begin, end - begin));
      else add_token(id, false);
    });
  }
  void set_start(bool is_start) { is_start_ = is_start; }
  std::vector<std::int32_t> take() {
    flush();
    return std::move(ids_);
  }

 private:
  void flush() {
    if (waiting_.empty()) return;
    for (const Token& token : tokenizer_.encode(waiting_, is_start_)) ids_.push_back(token.id);
    waiting_.clear();
    is_start_ = false;
  }

  const Tokenizer& tokenizer_;
  bool parses_, is_start_ = true;
  std::string waiting_;
  std::vector<std::int32_t> ids_;
};

}  // namespace

const char* chat_families() { return "llama2|llama3|mistral|chatml"; }

std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& prompt, const Prompting& rules, bool is_start) {
  Writer writer(tokenizer, rules.parse_special);
  if (rules.chat.empty()) {
    writer.set_start(is_start);
    const std::int32_t bos = is_start ? tokenizer.bos() : -1;
    if (bos >= 0) writer.add_token(bos, true);
    writer.add_said(prompt);
    std::vector<std::int32_t> ids = writer.take();
    if (rules.parse_special && bos >= 0 && ids.size() > 1 && ids[1] == bos) ids.erase(ids.begin());  // the prompt has its own
    return ids;
  }
  const Family& family = choose_family(tokenizer, rules.chat);
  const auto id_of = [&](const char* name) { return tokenizer.special_tokens().id_of(name); };
  const auto add = [&](const std::vector<Part>& parts, const std::string& said) {
    for (const Part& part : parts) {
      if (part.kind == Part::kMarker) writer.add_token(id_of(part.text), true);
      else if (part.kind == Part::kText) writer.add_text(part.text);
      else writer.add_said(family.trims ? trim(said) : said);
    }
  };
  if (is_start && family.bos) writer.add_token(id_of(family.bos), true);
  std::string said = prompt;
  if (rules.system && family.system.empty()) said = family.before_system + *rules.system + family.after_system + said;
  else if (rules.system) add(family.system, *rules.system);
  add(family.user, said);
  add(family.answer, "");
  return writer.take();
}

std::int32_t end_of_turn(const Tokenizer& tokenizer, const Prompting& rules) {
  if (rules.chat.empty()) return -1;
  return tokenizer.special_tokens().id_of(choose_family(tokenizer, rules.chat).end);
}

}  // namespace uio
