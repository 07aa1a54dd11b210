// Walks the double array of Darts-clone 0.32 as its commonPrefixSearch does, over every key instead of one text.
#include "text/charsmap.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

namespace uio {
namespace {

constexpr std::size_t kMaxKeyBytes = 256;
constexpr std::size_t kMaxMatches = 32;       // room for results in the library's NormalizePrefix
constexpr std::size_t kMaxSteps = 2'000'000;  // nodes visited; NFKC with case folding has under 300 thousand

class Walker {
 public:
  Walker(std::string_view charsmap, const std::string& subject, const CharsmapVisitor& visit)
      : subject_(subject), visit_(visit) {
    std::uint32_t size = 0;
    if (charsmap.size() < sizeof size) fail("it is cut");
    std::memcpy(&size, charsmap.data(), sizeof size);
    charsmap.remove_prefix(sizeof size);
    if (size == 0 || size % 4 != 0 || size >= charsmap.size()) fail("its index is cut");
    units_.resize(size / 4);
    std::memcpy(units_.data(), charsmap.data(), size);
    replacements_ = charsmap.substr(size);
    if (replacements_.back() != '\0') fail("its replacements have no end");
  }

  void run() { walk(0, 0); }

 private:
  [[noreturn]] void fail(const char* reason) const {
    throw Error(ErrorKind::kData, "damaged normalisation rules", subject_, reason);
  }

  // Where the children of the node lie: child c at index base ^ c.
  std::size_t base_of(std::size_t node) const {
    const std::uint32_t unit = units_[node];
    const std::size_t base = node ^ ((unit >> 10) << ((unit & (1u << 9)) >> 6));
    if ((base | 0xFF) >= units_.size()) fail("its index points outside itself");
    return base;
  }

  void walk(std::size_t node, std::size_t matches) {
    if (++steps_ > kMaxSteps || key_.size() > kMaxKeyBytes) fail("its index has no end");
    const std::size_t base = base_of(node);
    for (std::size_t label = 0; label < 256; ++label) {
      const std::size_t child = base ^ label;
      if ((units_[child] & 0x800000FFu) != label) continue;
      key_ += static_cast<char>(label);
      const bool is_key = units_[child] >> 8 & 1;
      if (is_key) report(units_[base_of(child)] & 0x7FFFFFFFu, matches + 1);
      walk(child, matches + is_key);
      key_.pop_back();
    }
  }

  void report(std::size_t at, std::size_t matches) const {
    if (matches > kMaxMatches) fail("too many of its keys begin each other");
    if (at >= replacements_.size()) fail("a replacement lies outside");
    const std::string_view replacement = replacements_.data() + at;
    if (find_invalid_utf8(key_) != std::string_view::npos || find_invalid_utf8(replacement) != std::string_view::npos) {
      fail("a rule is not UTF-8");
    }
    visit_(key_, replacement);
  }

  const std::string& subject_;
  const CharsmapVisitor& visit_;
  std::vector<std::uint32_t> units_;
  std::string_view replacements_;
  std::string key_;
  std::size_t steps_ = 0;
};

}  // namespace

void visit_charsmap(std::string_view charsmap, const std::string& subject, const CharsmapVisitor& visit) {
  Walker(charsmap, subject, visit).run();
}

}  // namespace uio
