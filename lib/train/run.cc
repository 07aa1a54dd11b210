#include "train/run.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/process_memory.h"
#include "base/version.h"
#include "io/path.h"
#include "model/tensor.h"
#include "train/agreement.h"
#include "train/batches.h"
#include "train/metrics.h"
#include "train/mixtures.h"
#include "train/publish.h"

namespace uio {
namespace {

constexpr double kActivations = 2e9;               // bytes of activations beyond which they are computed again
constexpr std::uint64_t kPaperDocuments = 10'000;  // arXiv 2406.18173, released configuration

std::unique_ptr<TrainStateFile> open_state(const std::string& path) {
  if (path.empty() || !path_exists(path)) return nullptr;
  return std::make_unique<TrainStateFile>(path);
}

std::vector<Corpus> read_corpora(const TrainJob& job, const std::vector<std::string>& inputs, const Workshop& shop, Host& host) {
  const auto length = shop.method    ? static_cast<std::uint32_t>(shop.method->segment_length())
                      : shop.windows ? shop.windows->config.segment_length
                                     : job.choice.segment_length;
  const bool cuts_anew = shop.windows.has_value();  // windows are all of one length, however a stream's tail was cut
  const std::uint32_t pieces = job.document_segments > 0 ? job.document_segments : shop.method || shop.windows ? 0 : 1;
  DocumentOptions options;
  options.unit = job.jsonl ? DocumentUnit::kJsonLine : job.lines ? DocumentUnit::kLine : DocumentUnit::kFile;
  std::vector<Corpus> corpora;
  if (job.corpus_weights.empty()) {
    corpora.emplace_back(inputs, *shop.tokenizer, length, pieces, options, host, cuts_anew);
    return corpora;
  }
  if (job.corpus_weights.size() != inputs.size())
    throw Error(ErrorKind::kUsage, "one weight is needed for each input", "--corpus-weights",
                std::to_string(job.corpus_weights.size()) + " given for " + std::to_string(inputs.size()));
  for (const std::string& input : inputs) corpora.emplace_back(std::vector<std::string>{input}, *shop.tokenizer, length, pieces, options, host, cuts_anew);
  return corpora;
}

std::vector<std::size_t> sizes_of(const std::vector<Corpus>& corpora) {
  std::vector<std::size_t> sizes;
  for (const Corpus& corpus : corpora) sizes.push_back(corpus.pieces().size());
  return sizes;
}

// Bytes of activations that a pass of so many tokens keeps: about eighteen rows of the model's width and six of its feed-forward's, a layer.
double activations_of(const Model& model, std::int64_t tokens) {
  const ModelConfig& c = model.config();
  const double row = 18 * static_cast<double>(c.hidden_size) + 6 * static_cast<double>(c.intermediate_size);
  return row * static_cast<double>(c.layers * tokens) * static_cast<double>(c10::elementSize(model.placement().computed));
}

double forward_only(Recurrence& document) {
  const at::NoGradGuard no_gradients;
  Tensors memories, carried;
  double total = 0;
  std::int64_t j = 0;
  for (const std::int64_t n : document.visible()) {
    while (static_cast<std::int64_t>(memories.size()) < n) {
      const auto s = static_cast<std::int64_t>(memories.size());
      memories.push_back(document.encode(s, memories));
      const Tensors seen = document.transfer(s, memories.back());
      if (carried.empty()) carried = seen;
      else
        for (std::size_t i = 0; i < seen.size(); ++i) carried[i] = at::cat({carried[i], seen[i]}, kMemoryAxis);
    }
    total += document.loss(j++, carried).item<double>();
  }
  return total;
}

}  // namespace

Run::Run(const TrainJob& job, JobIo& io, Processes& processes)
    : job_(job),
      io_(io),
      processes_(processes),
      state_(open_state(job.state)),
      shop_(open_workshop(job, state_.get(), *io.host)),
      objectives_(objectives_of(job.objective, job.mix)),
      estimator_(estimator_named(job.estimator)),
      corpora_(read_corpora(job, io.inputs, shop_, *io.host)),
      optimiser_(*shop_.parameters),
      trainee_{*shop_.model, shop_.method.get(), false} {
  if (shop_.method && shop_.method->is_recurrent() && !estimator_.takes_recurrent)
    throw Error(ErrorKind::kUsage, "this estimator needs an encoder that sees no earlier memories", job.estimator, "method " + shop_.adapter->method + " is recurrent",
                "exact and bptt take any encoder");
  if (job.loss == "released" && !shop_.method)
    throw Error(ErrorKind::kUsage, "the released loss needs memories", "--loss", "--trainable is base, expected adapter or full");
  if (objectives_.distill > 0 && shop_.trainable != Trainable::kAdapter)
    throw Error(ErrorKind::kUsage, "distill needs a frozen base to learn from", "--trainable", "it is " + job.trainable + ", expected adapter");
  if (objectives_.text > 0 && shop_.trainable != Trainable::kFull)
    throw Error(ErrorKind::kUsage, "text is for training the base beside an adapter", "--trainable", "it is " + job.trainable + ", expected full");
  if (objectives_.autoencode > 0) {
    if (!shop_.method) throw Error(ErrorKind::kUsage, "autoencode needs memories", "--trainable", "it is base, expected adapter or full");
    for (const Token& token : shop_.tokenizer->encode(job.repeat_prompt, /*is_start=*/false)) repeat_prompt_.push_back(token.id);
    if (repeat_prompt_.empty()) throw Error(ErrorKind::kUsage, "the text before a repetition has no token", "--repeat-prompt", "expected at least one");
  }
  if (!job.validate.empty()) {
    TrainJob other = job;
    other.corpus_weights.clear();
    validation_.emplace(std::move(read_corpora(other, job.validate, shop_, *io.host).front()));
  }
  order_.emplace(sizes_of(corpora_), job.corpus_weights, job.choice.seed, job.shuffle);
  progress_.counts.assign(corpora_.size(), 0);

  if (state_) progress_ = progress_of(*state_);
  last_step_ = job.steps > 0 ? job.steps : progress_.step + 1;
  const std::uint64_t documents = std::max<std::uint64_t>(1, job.accumulate);
  const auto length_from = [&](std::uint64_t begin) {
    if (job.optimisation.schedule_steps > 0) return job.optimisation.schedule_steps;
    return job.steps > 0 ? std::max<std::uint64_t>(1, job.steps - std::min(job.steps, begin)) : (kPaperDocuments + documents - 1) / documents;
  };
  schedule_length_ = length_from(progress_.schedule_begin);  // a schedule that goes on keeps its beginning
  if (state_) {
    const std::vector<std::string> anew = parts_to_reset(state_->description().at("settings"), settings(), job.reset, job.state);
    load_weights(*state_, *shop_.parameters, optimiser_, job.state);
    for (const std::string& part : anew) {
      io.host->note("begun anew: " + part);
      if (part == "optimiser") optimiser_.reset();
      if (part == "schedule") {
        progress_.schedule_begin = progress_.step;
        schedule_length_ = length_from(progress_.step);
      }
      if (part == "data") progress_.counts.assign(corpora_.size(), 0);
    }
    if (progress_.counts.size() != corpora_.size()) throw Error(ErrorKind::kData, "bad state", job.state, "it counts other corpora than its settings name");
    order_->resume(progress_.counts);
    state_.reset();
  }
  saved_step_ = progress_.step;
}

PlanSettings Run::plan_settings(std::size_t documents) const {
  PlanSettings plan;
  plan.objectives = objectives_;
  plan.is_released = job_.loss == "released";
  plan.trains_base = shop_.trainable != Trainable::kAdapter;
  plan.has_memories = shop_.method || shop_.windows;
  plan.segment_length = shop_.method ? shop_.method->segment_length() : shop_.windows ? shop_.windows->config.segment_length : 0;
  plan.capacity = shop_.model->config().capacity();
  plan.repeat_prompt = repeat_prompt_;
  plan.share = 1.0 / static_cast<double>(documents);
  plan.dtype = shop_.model->placement().residual();
  return plan;
}

RunSettings Run::settings() const { return settings_of(job_, shop_, objectives_, estimator_, corpora_, schedule_length_); }

ModelDocument Run::open(const Batch& batch, std::size_t documents, LossTally& tally) const {
  Plan plan = make_plan(batch.documents, plan_settings(documents));
  std::int64_t widest = 0;
  for (const Pass& pass : plan.passes) widest = std::max(widest, pass.ids.numel());
  return ModelDocument(trainee(widest), std::move(plan), tally);
}

// What is trained, in passes of at most so many tokens.
Trainee Run::trainee(std::int64_t tokens) const {
  Trainee trainee = trainee_;
  trainee.recompute = job_.recompute == "always" || (job_.recompute == "auto" && activations_of(*shop_.model, tokens) > kActivations);
  return trainee;
}

Run::Gradient Run::gradient(const std::vector<DataOrder::Pick>& picks) {
  Gradient result;
  shop_.parameters->clear_gradients();
  const EstimatorSettings sizes{job_.window, job_.reservoir, job_.decay};
  const std::size_t count = shop_.parameters->all().size();
  const bool measures = measures_spread();
  std::vector<at::Tensor> before(count);
  // Documents of sampled estimators draw for themselves, one at a time.
  const std::int64_t side_by_side = job_.batch > 0 ? job_.batch : estimator_.is_sampled ? 1 : 0;
  for (const Batch& batch : batches_of(picks, corpora_, plan_settings(1), side_by_side)) {
    ModelDocument document = open(batch, job_.accumulate, result.tally);
    SeededDraws draws(job_.choice.seed, batch.numbers.front());
    result.loss += estimator_.estimate(document, sizes, draws);
    result.tokens += document.plan().tokens;
    result.scored += document.plan().scored;
    for (std::size_t i = 0; measures && i < count; ++i) {
      const at::Tensor now = shop_.parameters->gradient(i);
      const double norm = (before[i].defined() ? now - before[i] : now).norm().item<double>();
      result.squares += norm * norm;
      before[i] = now.clone();
    }
  }
  return result;
}

// The i-th of a step's documents, or of those to validate on, is dealt to process i modulo their number. What is drawn for a
// document depends on its place in the run alone, so that any number of processes draws the same.
bool Run::is_mine(std::uint64_t document) const {
  return static_cast<int>(document % static_cast<std::uint64_t>(processes_.count())) == processes_.rank();
}

bool Run::measures_spread() const { return estimator_.is_sampled && job_.accumulate > 1 && job_.batch <= 1; }

// What the processes measured, each on its documents, as measured on all.
void Run::add_up(Gradient& made) {
  if (processes_.count() == 1) return;
  std::vector<double> numbers = numbers_of(made.tally);
  numbers.insert(numbers.end(), {made.loss, static_cast<double>(made.tokens), static_cast<double>(made.scored), made.squares});
  processes_.add(numbers);
  made.tally = tally_of(numbers);
  const double* rest = numbers.data() + numbers.size() - 4;
  made.loss = rest[0];
  made.tokens = static_cast<std::int64_t>(rest[1]);
  made.scored = static_cast<std::int64_t>(rest[2]);
  made.squares = rest[3];
}

Error Run::diverged(std::uint64_t step, const std::string& what) const {
  return Error(ErrorKind::kNo, "training diverged", "step " + std::to_string(step), what + " is not finite",
               job_.state.empty() ? "" : "the state of step " + std::to_string(saved_step_) + " is kept in '" + job_.state + "'");
}

void Run::check_finite(const std::vector<at::Tensor>& gradients, double loss, double norm) const {
  if (std::isfinite(loss) && std::isfinite(norm)) return;
  std::string where = "the loss";
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].isfinite().all().item<bool>()) continue;
    where = "the gradient of '" + shop_.parameters->all()[i].name + "'";
    break;
  }
  throw diverged(progress_.step + 1, where);
}

void Run::step() {
  Host& host = *io_.host;
  const double begin = host.seconds();
  std::vector<DataOrder::Pick> all, mine;
  for (std::uint32_t i = 0; i < job_.accumulate; ++i) {
    all.push_back(order_->next());
    if (is_mine(i)) mine.push_back(all.back());
  }
  Gradient made;
  std::vector<at::Tensor> gradients;
  if (shop_.windows) made = cross_gradient(all, mine);  // in which the processes exchange what each window keeps
  processes_.together([&] {
    if (!shop_.windows) made = gradient(mine);
    for (std::size_t i = 0; i < shop_.parameters->all().size(); ++i) gradients.push_back(shop_.parameters->gradient(i));
  });
  const double computed = host.seconds();
  processes_.sum(gradients);
  add_up(made);
  const double summed = host.seconds();
  processes_.together([&] {
    apply(made, gradients, begin, computed, summed);
    save(progress_.step == last_step_);
  });
}

// Every process holds the same gradients, and takes the same step.
void Run::apply(const Gradient& made, const std::vector<at::Tensor>& gradients, double begin, double computed, double summed) {
  Host& host = *io_.host;
  const double norm = norm_of(gradients);
  check_finite(gradients, made.loss, norm);
  const bool is_last = progress_.step + 1 == last_step_;
  const std::vector<Mixture> dealt = mixtures();
  if (is_last && !job_.gradients.empty() && processes_.rank() == 0) write_gradients(job_.gradients, *shop_.parameters, gradients);
  const double rate = rate_at(job_.optimisation, progress_.step - progress_.schedule_begin, schedule_length_);
  const double clip = job_.optimisation.clip, scale = clip > 0 && norm > clip ? clip / norm : 1;
  optimiser_.step(*shop_.parameters, gradients, job_.optimisation, rate, scale);
  ++progress_.step;
  progress_.documents += job_.accumulate;
  progress_.tokens += static_cast<std::uint64_t>(made.tokens);
  progress_.counts = order_->counts();
  const double optimised = host.seconds();

  Json line = {{"step", progress_.step}, {"documents", progress_.documents}, {"tokens", progress_.tokens}, {"scored", made.scored}, {"loss", made.loss},
               {"gradient_norm", norm}, {"lr", rate},
               {"tokens_per_second", static_cast<double>(made.tokens) / (optimised - begin)},
               {"seconds", {{"gradient", computed - begin}, {"sum", summed - computed}, {"optimiser", optimised - summed}}},
               {"peak_bytes", peak_bytes()}};
  add_losses(line, made.tally);
  if (shop_.windows) {
    line["crossbatch"] = text_of(dealt);
    line["d"] = mean_of(dealt);
  }
  if (measures_spread()) {
    const auto n = static_cast<double>(job_.accumulate);
    line["gradient_variance"] = n / (n - 1) * (made.squares - norm * norm / n);
  }
  print(line);
  host.progress(progress_.step, last_step_, "steps");
}

void Run::save(bool is_last) {
  if (job_.state.empty() || processes_.rank() != 0) return;
  if (!is_last && (progress_.step % std::max<std::uint64_t>(1, job_.save_every)) != 0) return;
  // A gradient whose square is no number leaves a weight where it is, for ever: its running mean is looked at too.
  for (std::size_t i = 0; i < shop_.parameters->all().size(); ++i) {
    const Parameter& one = shop_.parameters->all()[i];
    if (!one.value.detach().isfinite().all().item<bool>()) throw diverged(progress_.step, "'" + one.name + "'");
    if (!optimiser_.second()[i].isfinite().all().item<bool>()) throw diverged(progress_.step, "the mean square of the gradient of '" + one.name + "'");
  }
  save_state(job_.state, progress_, settings(), *shop_.parameters, optimiser_);
  saved_step_ = progress_.step;
}

void Run::validate() {
  if (!validation_) return;
  Gradient made;
  const std::size_t documents = validation_->pieces().size();
  processes_.together([&] {
    for (std::size_t i = 0; i < documents; ++i) {
      if (!is_mine(i)) continue;
      Batch batch;
      batch.documents.push_back(document_of(*validation_, validation_->pieces()[i]));
      if (shop_.windows) {
        made.loss += read_alone(batch, made.tally) / static_cast<double>(documents);
        continue;
      }
      const at::NoGradGuard no_gradients;
      ModelDocument document = open(batch, documents, made.tally);
      made.loss += forward_only(document);
    }
  });
  add_up(made);
  const LossTally& tally = made.tally;
  Json line = {{"validation", true}, {"step", progress_.step}, {"documents", documents}, {"scored", tally.next.n}, {"loss", made.loss}};
  add_losses(line, tally);
  processes_.together([&] { print(line); });
}

void Run::print(const Json& line) {
  if (processes_.rank() != 0) return;
  io_.output->write(to_json_line(line) + "\n");
  io_.output->drain();
}

// All that must be the same in every process of the run.
Json Run::identity() const {
  WideChecksum weights;
  for (const Parameter& one : shop_.parameters->all()) weights.add_field(bytes_of(one.value.detach().to(at::kCPU).contiguous()));
  Json all = {{"version", kVersion}, {"step", progress_.step}, {"last step", last_step_}, {"place in the data", progress_.counts},
              {"device", c10::DeviceTypeName(shop_.model->placement().device.type())}};
  const RunSettings asked = settings();  // named: what items() walks through must outlive the loop
  for (const auto& [part, options] : asked.items())
    for (const auto& [name, value] : options.items()) all[name] = value;
  all["validation"] = validation_ ? Json(validation_->fingerprint()) : Json();
  all["validate_every"] = job_.validate_every;
  all["weights"] = weights.hex();
  return all;
}

// Runs of one process agree with themselves; of several, the weights are summed up to be compared.
void Run::check_processes() {
  if (processes_.count() == 1) return;
  Json mine;
  processes_.together([&] { mine = identity(); });
  check_agreement(processes_, mine);
  if (processes_.rank() == 0 && job_.accumulate < static_cast<std::uint32_t>(processes_.count()))
    io_.host->warn(std::to_string(processes_.count()) + " processes share " + std::to_string(job_.accumulate) + " documents a step: some have nothing to do");
}

void Run::go() {
  check_processes();
  while (progress_.step < last_step_) {
    step();
    const bool is_last = progress_.step == last_step_;
    if (is_last || (job_.validate_every > 0 && progress_.step % job_.validate_every == 0)) validate();
  }
  if (job_.export_directory.empty()) return;
  processes_.together([&] {
    if (processes_.rank() != 0) return;
    export_trained(job_.export_directory, job_.export_dtype, shop_.trainable, *shop_.parameters, *shop_.model, shop_.adapter ? &*shop_.adapter : nullptr,
                   shop_.windows ? &shop_.windows->window : nullptr);
  });
}

}  // namespace uio
