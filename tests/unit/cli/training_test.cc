// What the command line of uio-train-step becomes, and which options do not go together.
#include "cli/training.h"

#include <catch2/catch.hpp>
#include <functional>
#include <set>
#include <tuple>

#include "base/error.h"
#include "cli/options.h"
#include "cli/parse.h"

using namespace uio;
using namespace uio::cli;

namespace {

Settings parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "anything");
  return parse_arguments(kTrain, static_cast<int>(arguments.size()), arguments.data());
}

// What `check` says of these arguments; "taken" when nothing.
std::string refusal(const std::vector<const char*>& arguments,
                    const std::function<void(const Settings&)>& check = check_training) {
  try {
    check(parse(arguments));
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kUsage);
    return error.what();
  }
  return "taken";
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("every option of training lands in its field") {
  const TrainJob job = parse({"--state",
                              "run",
                              "--steps",
                              "9",
                              "--save-every",
                              "3",
                              "--reset",
                              "data,random",
                              "--accumulate",
                              "8",
                              "--batch",
                              "2",
                              "--trainable",
                              "full",
                              "--objective",
                              "mix",
                              "--mix",
                              "lm=1,distill=0.5",
                              "--repeat-prompt",
                              "again",
                              "--loss",
                              "released",
                              "--estimator",
                              "window+tail",
                              "--window",
                              "5",
                              "--reservoir",
                              "6",
                              "--decay",
                              "0.5",
                              "--lr",
                              "3e-3",
                              "--betas",
                              "0.8,0.99",
                              "--epsilon",
                              "1e-6",
                              "--weight-decay",
                              "0",
                              "--warmup",
                              "0.1",
                              "--schedule",
                              "linear",
                              "--final-lr",
                              "0.1",
                              "--schedule-steps",
                              "100",
                              "--clip",
                              "0",
                              "--init",
                              "adapter,base",
                              "--rank",
                              "16",
                              "--alpha",
                              "32",
                              "--encoder-targets",
                              "q_proj,down_proj",
                              "--transfer-targets",
                              "v_proj",
                              "--mask",
                              "causal",
                              "--positions",
                              "causal",
                              "--shared-row",
                              "--document-segments",
                              "7",
                              "--corpus-weights",
                              "1,3",
                              "--no-shuffle",
                              "--recompute",
                              "always",
                              "--gradients",
                              "g",
                              "--export",
                              "out",
                              "--export-dtype",
                              "bf16",
                              "--validate",
                              "v",
                              "--validate=w",
                              "--validate-every",
                              "4"})
                           .train;
  CHECK(job.state == "run");
  CHECK(job.steps == 9);
  CHECK(job.save_every == 3);
  CHECK(job.reset == Words{"data", "random"});
  CHECK(job.accumulate == 8);
  CHECK(job.batch == 2);
  CHECK(job.trainable == "full");
  CHECK(job.objective == "mix");
  CHECK(job.mix == std::vector<std::pair<std::string, double>>{{"lm", 1}, {"distill", 0.5}});
  CHECK(job.repeat_prompt == "again");
  CHECK(job.loss == "released");
  CHECK(job.estimator == "window+tail");
  CHECK(job.window == 5);
  CHECK(job.reservoir == 6);
  CHECK(job.decay == 0.5);
  CHECK(job.optimisation.rate == 3e-3);
  CHECK(job.optimisation.beta1 == 0.8);
  CHECK(job.optimisation.beta2 == 0.99);
  CHECK(job.optimisation.epsilon == 1e-6);
  CHECK(job.optimisation.weight_decay == 0);
  CHECK(job.optimisation.warmup == 0.1);
  CHECK(job.optimisation.schedule == "linear");
  CHECK(job.optimisation.final_rate == 0.1);
  CHECK(job.optimisation.schedule_steps == 100);
  CHECK(job.optimisation.clip == 0);
  CHECK(job.init_adapter);
  CHECK(job.init_base);
  CHECK(job.shape.rank == 16);
  CHECK(job.shape.alpha == 32);
  CHECK(job.shape.encoder_targets == "q_proj,down_proj");
  CHECK(job.shape.transfer_targets == "v_proj");
  CHECK(job.shape.mask == "causal");
  CHECK(job.shape.positions == "causal");
  CHECK(job.shape.shared_row);
  CHECK(job.document_segments == 7);
  CHECK(job.corpus_weights == std::vector<double>{1, 3});
  CHECK_FALSE(job.shuffle);
  CHECK(job.recompute == "always");
  CHECK(job.gradients == "g");
  CHECK(job.export_directory == "out");
  CHECK(job.export_dtype == "bf16");
  CHECK(job.validate == Words{"v", "w"});
  CHECK(job.validate_every == 4);
}

TEST_CASE("defaults that are shown are those of the job, to the last digit") {
  const Settings without = parse({});
  for (const Option* option : options_of(kTrain)) {
    if (!option->shown_default[0] || option->programs != kTrain) continue;
    const std::string argument = std::string("--") + option->name + "=" + option->shown_default;
    const Settings with = parse({argument.c_str()});
    INFO("--" << option->name);
    const TrainJob &a = without.train, &b = with.train;
    CHECK(a.save_every == b.save_every);
    CHECK(std::tie(a.trainable, a.objective, a.loss, a.estimator, a.window, a.reservoir, a.decay, a.accumulate, a.recompute,
                   a.export_dtype) == std::tie(b.trainable, b.objective, b.loss, b.estimator, b.window, b.reservoir, b.decay,
                                               b.accumulate, b.recompute, b.export_dtype));
    const Optimisation &x = a.optimisation, &y = b.optimisation;
    CHECK(std::tie(x.optimiser, x.rate, x.beta1, x.beta2, x.epsilon, x.weight_decay, x.warmup, x.schedule, x.final_rate, x.clip) ==
          std::tie(y.optimiser, y.rate, y.beta1, y.beta2, y.epsilon, y.weight_decay, y.warmup, y.schedule, y.final_rate, y.clip));
    const AdapterShape &s = a.shape, &t = b.shape;
    CHECK(std::tie(s.rank, s.alpha, s.encoder_targets, s.transfer_targets, s.mask, s.positions) ==
          std::tie(t.rank, t.alpha, t.encoder_targets, t.transfer_targets, t.mask, t.positions));
  }
}

TEST_CASE("values of training beyond their range") {
  for (const char* argument : {"--steps=0",
                               "--save-every=0",
                               "--accumulate=0",
                               "--batch=0",
                               "--window=0",
                               "--reservoir=0",
                               "--decay=1.1",
                               "--lr=-1",
                               "--betas=0.9",
                               "--betas=0.9,1",
                               "--betas=0.9,0.9,0.9",
                               "--epsilon=0",
                               "--weight-decay=-1",
                               "--warmup=2",
                               "--final-lr=2",
                               "--schedule-steps=0",
                               "--clip=-1",
                               "--rank=0",
                               "--rank=65537",
                               "--alpha=0",
                               "--document-segments=0",
                               "--validate-every=0",
                               "--corpus-weights=0",
                               "--mix=lm",
                               "--init=all",
                               "--reset=",
                               "--reset=data,data",
                               "--transfer-targets=q_proj",
                               "--encoder-targets=",
                               "--estimator=best",
                               "--state=",
                               "--gradients=",
                               "--export=",
                               "--validate=",
                               "--trainable=memory"}) {
    CAPTURE(argument);
    CHECK(refusal({argument}).starts_with("bad value of --"));
  }
}

TEST_CASE("options of training that mean nothing without another") {
  CHECK(refusal({"--save-every=3"}) == "--save-every without --state FILE: nothing is saved");
  CHECK(refusal({"--save-every=3", "--state=s"}) == "taken");
  CHECK(refusal({"--reset=data"}).starts_with("--reset without --state FILE"));
  CHECK(refusal({"--mix=lm=1"}).starts_with("--mix without --objective mix"));
  CHECK(refusal({"--objective=mix"}).starts_with("--objective mix without --mix"));
  CHECK(refusal({"--objective=mix", "--mix=lm=1"}) == "taken");
  CHECK(refusal({"--repeat-prompt="}).starts_with("--repeat-prompt without --objective autoencode"));
  CHECK(refusal({"--repeat-prompt=", "--objective=autoencode"}) == "taken");
  CHECK(refusal({"--repeat-prompt=", "--objective=mix", "--mix=lm=1"}).starts_with("--repeat-prompt without"));
  CHECK(refusal({"--repeat-prompt=", "--objective=mix", "--mix=autoencode=1"}) == "taken");
  CHECK(refusal({"--export-dtype=f32"}).starts_with("--export-dtype without --export DIR"));
  CHECK(refusal({"--validate-every=1"}).starts_with("--validate-every without --validate FILE"));
  CHECK(refusal({"--final-lr=0.1", "--schedule=constant"}).starts_with("--final-lr without"));
  CHECK(refusal({"--final-lr=0.1"}) == "taken");
}

TEST_CASE("options of training that contradict each other") {
  CHECK(refusal({"--lines", "--jsonl"}) == "--lines and --jsonl exclude each other");
  CHECK(refusal({"--corpus-weights=1,2", "a"}) ==
        "--corpus-weights does not fit the operands: expected one weight for each of 1, found 2");
  CHECK(refusal({"--corpus-weights=1,2", "a", "b"}) == "taken");
  CHECK(refusal({"--corpus-weights=1"}) == "taken");
  CHECK(refusal({"--validate=-"}).starts_with("standard input is asked for twice"));
  CHECK(refusal({"--validate=-", "a"}) == "taken");
  CHECK(refusal({"-", "-"}).starts_with("standard input is asked for twice"));
  CHECK(refusal({"--state=s", "--gradients=s"}) == "one file for two outputs: 's'");
  CHECK(refusal({"--state=s", "-os"}) == "one file for two outputs: 's'");
  CHECK(refusal({"--gradients=s", "-os"}) == "one file for two outputs: 's'");
  CHECK(refusal({}) == "taken");
}

TEST_CASE("the shape of an adapter is given to a fresh one only") {
  for (const char* argument : {"--rank=1", "--alpha=1", "--encoder-targets=q_proj", "--transfer-targets=k_proj",
                               "--mask=causal", "--positions=causal", "--shared-row"}) {
    CAPTURE(argument);
    CHECK(refusal({argument}, [](const Settings& settings) { check_shape(settings, "fresh"); }) == "taken");
    CHECK(refusal({argument}, [](const Settings& settings) {
            check_shape(settings, "adapter");
          }).ends_with("without a fresh adapter: an adapter has its own"));
  }
  CHECK(refusal({"--lr=1"}, [](const Settings& settings) { check_shape(settings, ""); }) == "taken");
}

TEST_CASE("what changes the trained numbers is in the provenance, what does not is not") {
  std::set<std::string> names;
  for (const auto& [name, value] : parse({"--steps=3", "--no-shuffle", "--seed=4"}).stage_options) names.insert(name);
  for (const char* name :
       {"steps", "no_shuffle", "seed", "objective", "estimator", "accumulate", "lr", "betas", "clip", "dtype"}) {
    CAPTURE(name);
    CHECK(names.contains(name));
  }
  for (const auto& [name, value] : parse({"--state=s", "--save-every=2", "--batch=3", "-j2", "--recompute=always", "--export=e",
                                          "--export-dtype=bf16", "--gradients=g", "--validate=v", "--validate-every=3"})
                                       .stage_options) {
    CAPTURE(name);
    CHECK_FALSE(std::set<std::string>{"state", "save_every", "batch", "threads", "recompute", "export", "export_dtype",
                                      "gradients", "validate", "validate_every"}
                    .contains(name));
  }
}
