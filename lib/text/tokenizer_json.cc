// The vocabulary and the merges, nearly all of a file, are taken as they are read; the rest is small and read as a whole.
#include "text/tokenizer_json.h"

#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/quote.h"
#include "text/byte_alphabet.h"
#include "text/json_section.h"
#include "text/nfc.h"
#include "text/tokenizer_stages.h"

namespace uio {
namespace {

constexpr std::size_t kMostEntries = 1u << 20, kMostMerges = 1u << 21, kMostAdded = 1u << 14;
constexpr std::size_t kLongestEntry = 1024, kLongestAdded = 256;
constexpr std::size_t kMostValues = 16 * kMostAdded;  // outside the vocabulary and the merges

// Many strings in one.
class Arena {
 public:
  void add(std::string_view text) {
    bytes_ += text;
    ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  }
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

class Reader {
 public:
  explicit Reader(const std::string& subject) : subject_(subject) {}

  TokenizerJson run(std::string_view bytes) {
    const Json root = parse_json(bytes, subject_,
                                 {{"model/vocab", [this](const std::string& key, Json value) { take_entry(key, value); }},
                                  {"model/merges", [this](const std::string&, Json value) { take_merge(value); }}},
                                 kMostValues);
    const JsonSection file(root, "", subject_);
    file.allow({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
                "model"});
    if (file.text("version") != "1.0") file.refuse("version " + quote(file.text("version")) + " is not supported");
    for (const char* key : {"truncation", "padding"}) {
      if (file.has(key)) file.refuse(std::string(key) + " is not supported");
    }
    check_model(file.section("model"));
    read_normalizer(file, out_);
    read_pretokenizer(file, out_);
    read_decoder(file);
    read_added(file);
    gather_vocabulary();
    gather_merges();
    read_post_processor(file, out_);
    return std::move(out_);
  }

 private:
  [[noreturn]] void damage(const std::string& reason) const {
    throw Error(ErrorKind::kData, "wrong tokenizer", subject_, reason);
  }
  [[noreturn]] void refuse(const std::string& reason) const {
    throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject_, reason);
  }

  void take_entry(const std::string& key, const Json& value) {
    if (!value.is_number_unsigned()) damage("the id of the vocabulary's entry " + quote(key) + " is not a whole number");
    const std::uint64_t id = value.get<std::uint64_t>();
    if (id >= kMostEntries)
      damage("the id " + std::to_string(id) + " of " + quote(key) + " is beyond " + std::to_string(kMostEntries));
    if (key.empty() || key.size() > kLongestEntry) damage("an entry of the vocabulary has no or more than 1024 bytes");
    entries_.add(key);
    ids_.push_back(static_cast<std::int32_t>(id));
  }

  void take_merge(const Json& value) {
    if (merges_.size() >= 2 * kMostMerges) damage("it has more than " + std::to_string(kMostMerges) + " merges");
    if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
      merges_.add(value[0].get_ref<const std::string&>());
      merges_.add(value[1].get_ref<const std::string&>());
      return;
    }
    const std::string merge = value.is_string() ? value.get<std::string>() : std::string();
    const std::size_t space = merge.find(' ');
    if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos) {
      damage("merge " + std::to_string(merges_.size() / 2) + " is not two parts");
    }
    merges_.add(std::string_view(merge).substr(0, space));
    merges_.add(std::string_view(merge).substr(space + 1));
  }

  void check_model(const JsonSection& model) {
    if (model.has("type") && model.text("type") != "BPE")
      model.refuse("model type " + quote(model.text("type")) + " is not supported");
    model.allow({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
                 "ignore_merges", "vocab", "merges"});
    if (!model.get("vocab").is_object()) model.damage("model.vocab is not a JSON object");
    model.list("merges");
    const Json& dropout = model.get("dropout");
    if (!dropout.is_null() && dropout != 0) model.refuse("model.dropout is not supported");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!model.text(key).empty()) model.refuse(model.name_of(key) + " is not supported");
    }
    if (model.flag("byte_fallback", false)) model.refuse("model.byte_fallback is not supported");
    // Every byte of UTF-8 is a token (gather_bytes), so nothing is ever unknown.
    model.text("unk_token");
    model.flag("fuse_unk", false);
    out_.ignores_merges = model.flag("ignore_merges", false);
  }

  void read_added(const JsonSection& file) {
    if (!file.has("added_tokens")) return;
    const Json& list = file.list("added_tokens");
    if (list.size() > kMostAdded) damage("it has more than " + std::to_string(kMostAdded) + " added tokens");
    std::unordered_set<std::string> seen;
    for (const Json& value : list) {
      const JsonSection token(value, "added_tokens", subject_);
      token.allow({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
      AddedToken added;
      added.content = token.text("content");
      const std::int64_t id = token.number("id");
      added.is_special = token.flag("special", false);
      added.is_normalized = token.flag("normalized", !added.is_special);
      if (added.content.empty() || added.content.size() > kLongestAdded) damage("an added token has no or more than 256 bytes");
      if (id < 0 || id >= static_cast<std::int64_t>(kMostEntries))
        damage("the id of " + quote(added.content) + " is out of bounds");
      if (!seen.insert(added.content).second) damage("the added token " + quote(added.content) + " is there twice");
      added.id = static_cast<std::int32_t>(id);
      for (const char* key : {"single_word", "lstrip", "rstrip"}) {
        if (!token.flag(key, false)) continue;
        added.strips = true;
        if (!added.is_special) {
          refuse("added token " + quote(added.content) + ": " + key + " is not supported");
        }
      }
      OriginalOffsets unused;
      if (added.is_normalized && out_.has_nfc && to_nfc(added.content, unused) != added.content) {
        refuse("added token " + quote(added.content) + ": it is not in NFC, which is not supported");
      }
      out_.added.push_back(std::move(added));
    }
  }

  // Gives every id its bytes; there is one for each below the size.
  void gather_vocabulary() {
    std::unordered_map<std::string_view, AddedToken*> added;
    for (AddedToken& token : out_.added) added.emplace(token.content, &token);
    if (entries_.size() + added.size() > kMostEntries) damage("it has more than " + std::to_string(kMostEntries) + " entries");
    std::vector<bool> is_there;
    std::size_t count = 0;
    const auto place = [&](std::int32_t id, std::string bytes, std::string_view name) {
      if (static_cast<std::size_t>(id) >= out_.bytes.size()) {
        out_.bytes.resize(id + 1);
        is_there.resize(id + 1);
      }
      if (is_there[id]) damage("the id " + std::to_string(id) + " is given twice, also to " + quote(name));
      is_there[id] = true;
      ++count;
      out_.bytes[id] = std::move(bytes);
    };
    entry_ids_.reserve(entries_.size());
    out_.bytes.reserve(entries_.size() + added.size());
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::string_view entry = entries_[i];
      if (!entry_ids_.emplace(entry, ids_[i]).second) damage("the vocabulary's entry " + quote(entry) + " is given twice");
      const auto same = added.find(entry);
      std::optional<std::string> bytes = bytes_of_entry(entry);
      if (same != added.end()) {
        if (same->second->id != ids_[i]) damage("the added token " + quote(entry) + " has another id in the vocabulary");
        if (bytes && *bytes != entry)
          refuse("the added token " + quote(entry) + ", which is other bytes too, is not supported");
        bytes = std::string(entry);
        same->second->is_entry = true;
      } else if (!bytes) {
        refuse("the vocabulary's entry " + quote(entry) + " is not of the byte-level alphabet");
      }
      place(ids_[i], std::move(*bytes), entry);
    }
    for (const AddedToken& token : out_.added) {
      if (!token.is_entry) place(token.id, token.content, token.content);
    }
    if (count != out_.bytes.size()) {
      std::size_t hole = 0;
      while (is_there[hole]) ++hole;
      damage("no token has the id " + std::to_string(hole) + ", the greatest is " + std::to_string(out_.bytes.size() - 1));
    }
    gather_bytes();
  }

  void gather_bytes() {
    out_.byte_ids.fill(-1);
    for (const auto& [entry, id] : entry_ids_) {
      if (entry.size() > 2) continue;  // a byte's character has at most two
      const std::optional<std::string> bytes = bytes_of_entry(entry);
      if (bytes && bytes->size() == 1) out_.byte_ids[static_cast<unsigned char>((*bytes)[0])] = id;
    }
    for (int byte = 0; byte < 0xF5; ++byte) {  // UTF-8 has no other bytes, nor C0 and C1
      if (out_.byte_ids[byte] < 0 && byte != 0xC0 && byte != 0xC1)
        refuse("a vocabulary without a token for byte " + std::to_string(byte) + " is not supported");
    }
  }

  void gather_merges() {
    std::vector<bool> is_special(out_.bytes.size());
    for (const AddedToken& token : out_.added) is_special[token.id] = is_special[token.id] || token.is_special;
    for (const std::int32_t id : out_.byte_ids) {
      if (id >= 0 && is_special[id])
        refuse("the special token " + quote(out_.bytes[id]) + ", which is a byte too, is not supported");
    }
    std::unordered_set<std::uint64_t> seen;
    const std::size_t count = merges_.size() / 2;
    seen.reserve(count);
    out_.merges.reserve(count);
    std::string joined;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view left = merges_[2 * i], right = merges_[2 * i + 1];
      joined.assign(left).append(right);
      const BytePairMerge merge = {find_part(left, i), find_part(right, i), find_part(joined, i)};
      if (!seen.insert(static_cast<std::uint64_t>(merge.left) << 32 | static_cast<std::uint32_t>(merge.right)).second) {
        damage("merge " + std::to_string(i) + " (" + quote(left) + " and " + quote(right) + ") is given twice");
      }
      if (is_special[merge.result]) refuse("the special token " + quote(joined) + ", which merges make too, is not supported");
      out_.merges.push_back(merge);
    }
  }

  std::int32_t find_part(std::string_view part, std::size_t merge) const {
    const auto found = entry_ids_.find(part);
    if (found == entry_ids_.end()) damage("merge " + std::to_string(merge) + ": " + quote(part) + " is not in the vocabulary");
    return found->second;
  }

  const std::string& subject_;
  Arena entries_, merges_;                                        // as written; merges: left and right in turn
  std::vector<std::int32_t> ids_;                                 // of the entries
  std::unordered_map<std::string_view, std::int32_t> entry_ids_;  // into entries_
  TokenizerJson out_;
};

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view bytes, const std::string& subject) { return Reader(subject).run(bytes); }

}  // namespace uio
