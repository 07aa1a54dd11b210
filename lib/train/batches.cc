#include "train/batches.h"

#include <algorithm>

namespace uio {
namespace {

constexpr std::int64_t kTokensAtOnce = 4096;  // rows of a product from which on it runs at full speed
constexpr std::int64_t kPadding = 256;        // tokens that a text may be filled up by to be computed beside a longer one: more cost as much as a batch of its own

struct Item {
  Document document;
  std::pair<std::int64_t, std::int64_t> shape;
  std::uint64_t number;
};

}  // namespace

std::int64_t texts_at_once(std::int64_t tokens) { return std::max<std::int64_t>(1, kTokensAtOnce / std::max<std::int64_t>(1, tokens)); }

std::vector<Batch> batches_of(const std::vector<DataOrder::Pick>& picks, const std::vector<Corpus>& corpora, const PlanSettings& settings, std::int64_t asked) {
  std::vector<Item> items;
  for (const DataOrder::Pick& pick : picks) {
    const Corpus& corpus = corpora[pick.corpus];
    Document document = document_of(corpus, corpus.pieces()[pick.piece]);
    const auto shape = shape_of(document, settings);
    items.push_back({std::move(document), shape, pick.number});
  }
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.shape != b.shape ? a.shape > b.shape : a.document.ids.size() > b.document.ids.size();
  });
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool is_new = batches.empty() || items[i - 1].shape != items[i].shape;
    // A pass is as long as a segment; one over the text itself, as the longest document of its batch.
    const Document& first = is_new ? items[i].document : batches.back().documents.front();
    const bool is_whole = !settings.has_memories || settings.objectives.text > 0;
    const std::int64_t width = is_whole ? static_cast<std::int64_t>(first.ids.size()) : settings.segment_length;
    const std::int64_t most = asked > 0 ? asked : texts_at_once(width);
    const bool is_short = asked == 0 && is_whole && width - static_cast<std::int64_t>(items[i].document.ids.size()) > kPadding;
    if (is_new || is_short || static_cast<std::int64_t>(batches.back().documents.size()) >= most) batches.emplace_back();
    batches.back().documents.push_back(std::move(items[i].document));
    batches.back().numbers.push_back(items[i].number);
  }
  return batches;
}

}  // namespace uio
