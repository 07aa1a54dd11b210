#include "text/tokenizer_stages.h"

#include <algorithm>
#include <functional>

#include "base/quote.h"

namespace uio {
namespace {

constexpr std::size_t kMostStages = 16;

// Calls visit for the value of `key`, or for each that a Sequence in it holds under `members`, in order.
void for_each_step(const JsonSection& parent, const char* key, const char* members, const std::string& part,
                   const std::function<void(const JsonSection&, const std::string& type)>& visit, int depth = 0) {
  const JsonSection step = parent.section(key);
  const std::string type = step.text("type");
  if (type != "Sequence") {
    visit(step, type);
    return;
  }
  if (depth > 4) step.refuse(part + " with Sequences in Sequences is not supported");
  step.allow({"type", members});
  const Json& list = step.list(members);
  if (list.size() > kMostStages) step.refuse(part + " with more than 16 steps is not supported");
  for (const Json& member : list) {
    const Json wrapped = {{"step", member}};
    for_each_step(step.beside(wrapped), "step", members, part, visit, depth + 1);
  }
}

SplitBehavior read_behavior(const JsonSection& step, const std::string& pattern, bool is_inverted) {
  const std::string name = step.text("behavior");
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  // What is between the matches goes; these patterns leave nothing there.
  if (name == "Removed" && is_inverted && is_known_pattern(pattern)) return SplitBehavior::kIsolated;
  step.refuse("pre_tokenizer: the behavior " + quote(name) + " of Split is not supported");
}

SplitStage read_split(const JsonSection& step) {
  step.allow({"type", "pattern", "behavior", "invert"});
  const JsonSection pattern = step.section("pattern");
  pattern.allow({"Regex", "String"});
  SplitStage stage;
  const bool is_regex = pattern.has("Regex");
  if (is_regex == pattern.has("String")) step.damage("pre_tokenizer: a pattern is either a Regex or a String");
  stage.kind = is_regex ? SplitStage::Kind::kRegex : SplitStage::Kind::kString;
  stage.pattern = pattern.text(is_regex ? "Regex" : "String");
  if (stage.pattern.empty()) step.refuse("pre_tokenizer: an empty pattern is not supported");
  stage.is_inverted = step.flag("invert", false);
  stage.behavior = read_behavior(step, is_regex ? stage.pattern : "", stage.is_inverted);
  return stage;
}

}  // namespace

void read_normalizer(const JsonSection& file, TokenizerJson& out) {
  if (!file.has("normalizer")) return;
  for_each_step(file, "normalizer", "normalizers", "normalizer", [&](const JsonSection& step, const std::string& type) {
    if (type != "NFC") step.refuse("normalizer " + quote(type) + " is not supported");
    step.allow({"type"});
    out.has_nfc = true;
  });
}

void read_pretokenizer(const JsonSection& file, TokenizerJson& out) {
  bool is_bytelevel = false;
  if (!file.has("pre_tokenizer")) file.refuse("a tokenizer without a ByteLevel pre_tokenizer is not supported");
  for_each_step(file, "pre_tokenizer", "pretokenizers", "pre_tokenizer", [&](const JsonSection& step, const std::string& type) {
    if (is_bytelevel) step.refuse("pre_tokenizer: " + quote(type) + " behind ByteLevel is not supported");
    if (type == "Split") {
      out.stages.push_back(read_split(step));
    } else if (type == "Digits") {
      step.allow({"type", "individual_digits"});
      const bool is_single = step.flag("individual_digits", false);
      const SplitBehavior behavior = is_single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
      out.stages.push_back({SplitStage::Kind::kDigits, "", behavior, false});
    } else if (type == "ByteLevel") {
      step.allow({"type", "add_prefix_space", "trim_offsets", "use_regex"});
      if (step.flag("add_prefix_space", true)) step.refuse("pre_tokenizer: add_prefix_space of ByteLevel is not supported");
      step.flag("trim_offsets", true);  // offsets that the package reports; ours tile the text
      if (step.flag("use_regex", true)) out.stages.push_back({SplitStage::Kind::kRegex, kBytelevelPattern});
      is_bytelevel = true;
    } else {
      step.refuse("pre_tokenizer " + quote(type) + " is not supported");
    }
  });
  if (!is_bytelevel) file.refuse("a tokenizer without a ByteLevel pre_tokenizer is not supported");
  if (out.stages.size() > kMostStages) file.refuse("pre_tokenizer with more than 16 steps is not supported");
}

void read_decoder(const JsonSection& file) {
  if (!file.has("decoder")) file.refuse("a tokenizer without a ByteLevel decoder is not supported");
  std::size_t count = 0;
  for_each_step(file, "decoder", "decoders", "decoder", [&](const JsonSection& step, const std::string& type) {
    if (type != "ByteLevel") step.refuse("decoder " + quote(type) + " is not supported");
    step.allow({"type", "add_prefix_space", "trim_offsets", "use_regex"});  // none of them changes what is decoded
    ++count;
  });
  if (count != 1) file.refuse("a decoder other than one ByteLevel is not supported");
}

void read_post_processor(const JsonSection& file, TokenizerJson& out) {
  if (!file.has("post_processor")) return;
  for_each_step(file, "post_processor", "processors", "post_processor", [&](const JsonSection& step, const std::string& type) {
    if (type == "ByteLevel") {
      step.allow({"type", "add_prefix_space", "trim_offsets", "use_regex"});  // of offsets only
      return;
    }
    if (type != "TemplateProcessing") step.refuse("post_processor " + quote(type) + " is not supported");
    step.allow({"type", "single", "pair", "special_tokens"});  // pair: for two texts at once, which nothing here encodes
    const auto refuse = [&] {
      step.refuse("post_processor: a template other than the text, or one token and the text, is not supported");
    };
    const Json& single = step.list("single");
    if (single.empty() || single.size() > 2 || out.bos >= 0) refuse();
    const Json& last = single.back();
    if (!last.is_object() || !last.contains("Sequence") || last.size() != 1) refuse();
    if (single.size() == 1) return;
    const Json& first = single.front();
    if (!first.is_object() || !first.contains("SpecialToken") || first.size() != 1) refuse();
    const std::string name = step.beside(first).section("SpecialToken").text("id");
    const JsonSection token = step.section("special_tokens").section(name.c_str());
    const Json& ids = token.list("ids");
    if (ids.size() != 1) refuse();
    if (!ids[0].is_number_integer()) token.damage("post_processor: an id is not a whole number");
    const auto added =
        std::find_if(out.added.begin(), out.added.end(), [&](const AddedToken& one) { return ids[0] == one.id; });
    if (added == out.added.end()) token.damage("post_processor: " + quote(name) + " is not an added token");
    out.bos = added->id;
  });
}

}  // namespace uio
