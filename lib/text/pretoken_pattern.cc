#include "text/pretoken_pattern.h"

#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/quote.h"
#include "text/unicode_ages.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr std::size_t kLongestPattern = 4096;
constexpr int kDeepest = 16;

std::string hex_escape(char32_t c) {
  char text[16];
  std::snprintf(text, sizeof text, "\\x{%x}", static_cast<unsigned>(c));
  return text;
}

bool is_alphanumeric(char32_t c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& subject) : pattern_(pattern), subject_(subject) {}

  std::string run() {
    if (pattern_.size() > kLongestPattern) refuse("a pattern of more than 4096 bytes");
    if (!read_alternation(0, false)) refuse("a pattern that matches nothing at all");
    if (at_ != pattern_.size()) damage("an unmatched )");
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject_,
                what + " in the pre-tokenizer's pattern " + quote(pattern_) + " is not supported");
  }
  [[noreturn]] void damage(const std::string& what) const {
    throw Error(ErrorKind::kData, "wrong tokenizer", subject_,
                "the pre-tokenizer's pattern " + quote(pattern_) + " has " + what);
  }

  bool is_next(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!is_next(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t take_character(const char* where) {
    if (at_ == pattern_.size()) damage(std::string("no end of ") + where);
    const Character next = character_at(pattern_, at_);
    at_ += next.bytes;
    return next.code;
  }

  // True if whatever it matches has at least one character.
  bool read_alternation(int depth, bool ignores_case) {
    if (depth > kDeepest) refuse("groups in each other");
    bool takes = read_sequence(depth, ignores_case);
    while (take("|")) {
      out_ += '|';
      takes &= read_sequence(depth, ignores_case);
    }
    return takes;
  }

  bool read_sequence(int depth, bool ignores_case) {
    bool takes = false;
    char32_t last = 0;  // literal before, where case is ignored
    while (at_ < pattern_.size() && !is_next("|") && !is_next(")")) {
      if (take("(?=") || take("(?!")) {
        out_ += pattern_.substr(at_ - 3, 3);
        read_alternation(depth + 1, ignores_case);
        close_group();
        if (at_ < pattern_.size() && std::strchr("?*+{", pattern_[at_])) refuse("a repeated lookahead");
        last = 0;
        continue;
      }
      bool item_takes = true;
      if (is_next("(")) {
        item_takes = read_group(depth, ignores_case);
        last = 0;
      } else {
        last = read_single(ignores_case, last);
      }
      takes |= read_quantifier(item_takes) && item_takes;
    }
    return takes;
  }

  void close_group() {
    if (!take(")")) damage("no ) for a (");
    out_ += ')';
  }

  bool read_group(int depth, bool ignores_case) {
    take("(");
    if (take("?i:")) {
      ignores_case = true;
      out_ += "(?i:";
    } else if (take("?:") || !is_next("?")) {
      out_ += "(?:";
    } else {
      refuse("the group (" + std::string(pattern_.substr(at_, 3)));
    }
    const bool takes = read_alternation(depth + 1, ignores_case);
    close_group();
    return takes;
  }

  // One character or class. Returns the literal, 0 for a class.
  char32_t read_single(bool ignores_case, char32_t last) {
    if (is_next("[")) {
      if (ignores_case) refuse("a class without regard to case");
      read_class();
      return 0;
    }
    char32_t c = take_character("the pattern");
    if (c == '\\') {
      const std::string items = read_escape(c);
      if (!items.empty()) {
        if (ignores_case) refuse("a class without regard to case");
        out_ += is_negated_ ? "[^" + items + "]" : "[" + items + "]";
        return 0;
      }
    } else if (c < 0x80 && std::strchr("^$.?*+{}]", static_cast<char>(c))) {
      refuse(quote(std::string(1, static_cast<char>(c))) + " as it stands");
    }
    if (ignores_case) {
      // Oniguruma also takes one character for several (ß for ss): none of ASCII but these.
      if (c >= 0x80) refuse("a character beyond ASCII without regard to case");
      const auto lower = [](char32_t x) { return x >= 'A' && x <= 'Z' ? x + 32 : x; };
      const std::string pair = {static_cast<char>(lower(last)), static_cast<char>(lower(c))};
      for (const char* folded : {"ff", "fi", "fl", "ss", "st"}) {
        if (pair == folded) refuse(pair + " without regard to case");
      }
    }
    out_ += hex_escape(c);
    return c;
  }

  // After a backslash: the items of a class (is_negated_ says whether it is meant), or nothing and the literal in `c`.
  std::string read_escape(char32_t& c) {
    c = take_character("an escape");
    is_negated_ = c == 'S' || c == 'D' || c == 'P';
    switch (c) {
      case 'r':
        c = '\r';
        return {};
      case 'n':
        c = '\n';
        return {};
      case 't':
        c = '\t';
        return {};
      case 'f':
        c = '\f';
        return {};
      case 's':
      case 'S':
        return space_items();
      case 'd':
      case 'D':
        return category_items("Nd");
      case 'p':
      case 'P': {
        if (!take("{")) refuse("\\p without {");
        const std::size_t end = pattern_.find('}', at_);
        if (end == std::string_view::npos) damage("no } for a \\p{");
        const std::string_view name = pattern_.substr(at_, end - at_);
        const std::string items = category_items(name);
        if (items.empty()) refuse("\\p{" + std::string(name.substr(0, 40)) + "}");
        at_ = end + 1;
        return items;
      }
      default:
        if (is_alphanumeric(c) || c >= 0x80) refuse("an escape of its kind (\\" + std::string(1, static_cast<char>(c)) + ")");
        return {};
    }
  }

  void read_class() {
    take("[");
    out_ += take("^") ? "[^" : "[";
    bool is_empty = true;
    while (!is_next("]")) {
      is_empty = false;
      if (is_next("[") || is_next("&&")) refuse("a class within a class");
      char32_t c = take_character("a class");
      if (c == '\\') {
        const std::string items = read_escape(c);
        if (!items.empty()) {
          if (is_negated_) refuse("a negation within a class");
          if (is_next("-") && !is_next("-]")) refuse("a range that begins with a class");
          out_ += items;
          continue;
        }
      }
      out_ += hex_escape(c);
      if (!is_next("-") || is_next("-]")) continue;
      take("-");
      char32_t last = take_character("a class");
      if (last == '[' || (last == '\\' && !read_escape(last).empty())) refuse("a range that ends with a class");
      if (last < c) damage("a range that runs backwards");
      out_ += "-" + hex_escape(last);
    }
    if (is_empty) refuse("a class that begins with ]");
    take("]");
    out_ += ']';
  }

  std::size_t read_count() {
    std::size_t count = 0;
    const std::size_t begin = at_;
    while (at_ < pattern_.size() && pattern_[at_] >= '0' && pattern_[at_] <= '9') count = 10 * count + (pattern_[at_++] - '0');
    if (at_ == begin || at_ - begin > 3) refuse("a { that is not a repetition up to 999");
    return count;
  }

  // False if the item may be left out.
  bool read_quantifier(bool item_takes) {
    bool takes = true;
    if (take("{")) {
      const std::size_t least = read_count();
      takes = least > 0;
      out_ += "{" + std::to_string(least);
      if (take(",")) {
        out_ += ',';
        if (!is_next("}")) {
          const std::size_t most = read_count();
          if (most < least || most == 0) refuse("a repetition that runs backwards");
          out_ += std::to_string(most);
        }
      } else if (least == 0) {
        refuse("a repetition of none");
      }
      if (!take("}")) damage("no } for a {");
      out_ += '}';
      if (is_next("?") || is_next("+")) refuse("a lazy or possessive {}");  // Ruby means something else by it
    } else if (is_next("?") || is_next("*") || is_next("+")) {
      takes = is_next("+");
      out_ += pattern_[at_++];
      if (is_next("?") || is_next("+")) out_ += pattern_[at_++];
    } else {
      return true;
    }
    if (!item_takes) refuse("a repetition of what may be empty");
    if (at_ < pattern_.size() && std::strchr("?*+{", pattern_[at_])) refuse("a repetition of a repetition");
    return takes;
  }

  std::string_view pattern_;
  const std::string& subject_;
  std::size_t at_ = 0;
  bool is_negated_ = false;  // of the class that read_escape found
  std::string out_;
};

}  // namespace

std::string translate_pattern(std::string_view pattern, const std::string& subject) {
  return Translator(pattern, subject).run();
}

std::string category_items(std::string_view name) {
  static constexpr std::string_view kKnown[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N",  "Nd", "Nl", "No", "P", "Pc",
                                                "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs"};
  bool is_known = false;
  for (const std::string_view known : kKnown) is_known |= known == name;
  if (!is_known) return {};
  std::string items = "\\p{" + std::string(name) + "}";
  for (const CategorizedRange& range : kNewCharacters) {
    if (!std::string_view(range.category).starts_with(name)) continue;
    items += hex_escape(range.first);
    if (range.last > range.first) items += "-" + hex_escape(range.last);
  }
  return items;
}

// Unicode's White_Space; PCRE2's own \s also takes U+180E.
std::string space_items() {
  return "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
}

}  // namespace uio
