// Where attention goes when the memory holds windows of several documents (arXiv 2307.03170, 3.3): the share of the document's own window, of all that
// falls on memory. A model that cannot tell the documents apart gives each the same.
#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/attention.h"
#include "kernels/attention_mass.h"
#include "memory/first_position.h"
#include "memory/local_parts.h"
#include "memory/method.h"
#include "model/rope.h"
#include "score/document.h"
#include "score/statistics.h"
#include "score/tasks.h"

namespace uio {
namespace {

const std::vector<std::uint32_t> kDocuments = {1, 2, 4, 8, 16, 32, 64};

// Two windows of a document, the first of them as memory.
struct Windows {
  std::string id;
  KeysValues previous;  // [1, N, G, L, d], attended to as they are
  at::Tensor current;   // ids [1, T]
};

class Focus {
 public:
  Focus(const ScoreJob& job, JobIo& io, const Ready& ready)
      : job_(job),
        io_(io),
        ready_(ready),
        method_(ready.need_method()),
        model_(*ready.model),
        memory_(method_.adapter().window.memory),
        rope_(model_.config(), method_.segment_length(), model_.placement().computed, model_.placement().device) {
    if (method_.adapter().config.method != "fot")
      throw Error(ErrorKind::kMismatch, "focus without memory layers", model_.directory(), "the memory method is " + method_.adapter().config.method + ", expected fot");
    if (job.choice.search != "dense")
      throw Error(ErrorKind::kUsage, "--task focus with --search " + job.choice.search, "", "it is a share of what all of the memory gets");
  }

  void run() {
    read();
    if (windows_.empty())
      throw Error(ErrorKind::kMismatch, "no document longer than a window", model_.directory(), "a window has " + std::to_string(method_.segment_length()) + " tokens", "-l makes it shorter");
    for (const std::uint32_t count : counts()) {
      Sample all;
      std::vector<Sample> layers(memory_.layers.size());
      std::uint64_t tokens = 0;
      for (std::size_t i = 0; i < windows_.size(); ++i) {
        const std::vector<double> shares = look(i, count);
        const double share = mean(shares);
        Json line = line_of(count, share, shares);
        line["id"] = windows_[i].id;
        line["tokens"] = windows_[i].current.size(1);
        write_line(io_, line);
        all.add(share);
        for (std::size_t l = 0; l < layers.size(); ++l) layers[l].add(shares[l]);
        tokens += static_cast<std::uint64_t>(windows_[i].current.size(1));
        io_.host->progress(i + 1, windows_.size(), "documents");
      }
      std::vector<double> shares;
      for (const Sample& layer : layers) shares.push_back(layer.mean());
      Json line = line_of(count, all.mean(), shares);
      line["summary"] = true;
      line["documents"] = windows_.size();
      line["tokens"] = tokens;
      line["share_interval"] = all.interval();
      line["gain_interval"] = all.interval(count);
      summaries_.push_back(line);
    }
    for (const Json& line : summaries_) write_line(io_, line);
  }

 private:
  static double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  }

  // Documents of more than a window; what stands beyond two is not read.
  void read() {
    const std::int64_t length = method_.segment_length();
    RecordSource source(io_.inputs, *ready_.tokenizer, static_cast<std::uint32_t>(length), document_options(job_), io_.host);
    DocumentGatherer documents(source, /*takes_closed=*/true);
    std::uint64_t short_ones = 0;
    while (const auto document = documents.next()) {
      const TokenList tokens(document->ids);
      if (tokens.size() <= length) {
        ++short_ones;
        continue;
      }
      const KeysValues kv = method_.transfer(method_.encode(tokens.ids(0, length)));
      windows_.push_back({document->id, as_attended(kv), tokens.ids(length, std::min(tokens.size(), 2 * length))});
      if (job_.samples > 0 && windows_.size() == job_.samples) break;
    }
    if (short_ones > 0 && !windows_.empty()) io_.host->warn(std::to_string(short_ones) + " documents have no more than a window of " + std::to_string(length) + " tokens: left out");
  }

  // How many documents are in memory: as asked, else as many powers of 2 as there are documents.
  std::vector<std::uint32_t> counts() const {
    std::vector<std::uint32_t> counts = job_.documents_in_memory;
    for (const std::uint32_t count : counts)
      if (count > windows_.size())
        throw Error(ErrorKind::kUsage, "fewer documents than are to be in memory", std::to_string(count), "there are " + std::to_string(windows_.size()) + " of more than a window");
    if (counts.empty())
      for (const std::uint32_t count : kDocuments)
        if (count <= windows_.size()) counts.push_back(count);
    return counts;
  }

  // In memory every key stands at the first position, or at none.
  KeysValues as_attended(const KeysValues& kv) const {
    const auto [device, computed] = std::pair(model_.placement().device, model_.placement().computed);
    at::Tensor keys = kv.keys.to(device, computed);
    if (memory_.has_positions) keys = rotate_to_first(rope_, keys);
    return {keys, kv.values.to(device, computed)};
  }

  // The share of document i's own window with those of the `count` - 1 documents after it beside, for each memory layer: mean over tokens and heads.
  std::vector<double> look(std::size_t i, std::uint32_t count) const {
    std::vector<double> shares;
    const ModelConfig& c = model_.config();
    const double scale = c.score_scale();
    const Attend attend = [&](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      const auto found = std::find(memory_.layers.begin(), memory_.layers.end(), layer);
      const bool has_memory = found != memory_.layers.end();
      const auto placed = [&](const at::Tensor& heads) {
        const at::Tensor rows = heads.transpose(1, 2);
        return has_memory && !memory_.has_positions ? rows.contiguous() : rope_.rotate(rows, 0);
      };
      const at::Tensor queries = placed(q), keys = placed(k), values = v.transpose(1, 2).contiguous();
      std::vector<kernels::AttentionPart> parts = local_parts(queries, keys, values, 0, c.sliding[static_cast<std::size_t>(layer)]);
      std::vector<at::Tensor> masses;
      for (std::uint32_t j = 0; has_memory && j < count; ++j) {
        const KeysValues& other = windows_[(i + j) % windows_.size()].previous;
        const std::int64_t number = found - memory_.layers.begin();
        parts.push_back({queries, other.keys.select(1, number), other.values.select(1, number), kernels::Visible::kAll, {}});
        masses.push_back(kernels::log_sum_exp(queries, parts.back().keys, scale));
      }
      if (has_memory) shares.push_back(at::softmax(at::stack(masses, -1).to(at::kDouble), -1).select(-1, 0).mean().item<double>());
      if (layer == memory_.layers.back()) return at::zeros_like(q).flatten(2);  // nobody reads what becomes of it
      return kernels::attention(parts, scale).transpose(1, 2).flatten(2);
    };
    at::Tensor x = model_.embed(windows_[i].current);
    for (std::int64_t l = 0; l <= memory_.layers.back(); ++l) x = model_.layer(l, x, attend);
    return shares;
  }

  Json line_of(std::uint32_t count, double share, const std::vector<double>& shares) const {
    Json layers = Json::array();
    for (std::size_t l = 0; l < shares.size(); ++l) layers.push_back(Json{{"layer", memory_.layers[l]}, {"share", shares[l]}});
    return Json{{"task", "focus"}, {"documents_in_memory", count}, {"share", share}, {"gain", count * share}, {"layers", layers}};
  }

  const ScoreJob& job_;
  JobIo& io_;
  const Ready& ready_;
  const MemoryMethod& method_;
  const Model& model_;
  const MemoryLayers& memory_;
  RopeTable rope_;
  std::vector<Windows> windows_;
  std::vector<Json> summaries_;
};

}  // namespace

void run_focus(const ScoreJob& job, JobIo& io, const Ready& ready) { Focus(job, io, ready).run(); }

}  // namespace uio
