#include "text/added_tokens.h"

#include "text/nfc.h"
#include "text/utf8.h"

namespace uio {

bool AddedTokens::add(std::string_view content, std::int32_t id) {
  if (nodes_.empty()) nodes_.push_back(kNothing);
  std::uint32_t node = 0;
  for (const char c : content) {
    const auto [child, is_new] =
        children_.try_emplace(static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(c), nodes_.size());
    if (is_new) nodes_.push_back(kNothing);
    node = child->second;
  }
  if (node == 0 || nodes_[node] != kNothing) return false;
  nodes_[node] = id;
  begins_[static_cast<unsigned char>(content.front())] = true;

  Character last = character_at(content, 0);
  for (std::size_t at = last.bytes; at < content.size();) {
    const Character next = character_at(content, at);
    // The second may be written in parts, of which the first comes to stand behind a cut.
    for (const char32_t b : {next.code, first_of_decomposition(next.code)}) {
      pairs_.insert(static_cast<std::uint64_t>(last.code) << 32 | b);
    }
    last = next;
    at += next.bytes;
  }
  return true;
}

void AddedTokens::part(std::string_view text, const Visit& visit) const {
  std::size_t done = 0;
  for (std::size_t at = 0; !nodes_.empty() && at < text.size();) {
    if (!begins_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    std::uint32_t node = 0;
    std::size_t end = at;
    std::int32_t id = kText;
    for (std::size_t i = at; i < text.size(); ++i) {
      const auto child = children_.find(static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(text[i]));
      if (child == children_.end()) break;
      node = child->second;
      if (nodes_[node] == kNothing) continue;
      end = i + 1;
      id = nodes_[node];
    }
    if (id != kText) {
      if (done < at) visit(done, at, kText);
      visit(at, end, id);
      done = end;
    }
    at = end > at ? end : at + 1;
  }
  if (done < text.size()) visit(done, text.size(), kText);
}

std::int32_t AddedTokens::id_of(std::string_view content) const {
  std::int32_t found = kText;
  part(content, [&](std::size_t begin, std::size_t end, std::int32_t id) {
    if (begin == 0 && end == content.size()) found = id;
  });
  return found;
}

}  // namespace uio
