#include "memory/setup.h"

#include <ATen/Parallel.h>

#include <filesystem>

#include "base/error.h"
#include "io/memory_window.h"
#include "io/path.h"
#include "memory/slot_session.h"
#include "model/placement.h"

namespace uio {

const MemoryMethod& Ready::need_method() const {
  if (!method)
    throw Error(ErrorKind::kUsage, "no adapter", model->directory(), "it has no folder 'adapter', and no --adapter was given",
                "--adapter fresh makes an untrained one, to try things out");
  return *method;
}

std::unique_ptr<DecoderSession> Ready::make_session(std::int64_t expected, bool drop_oldest) const {
  if (method) return method->make_session(expected, drop_oldest);
  return std::make_unique<SlotSession>(*model, nullptr, expected, drop_oldest);
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& directory) {
  std::error_code failed;
  if (!std::filesystem::is_directory(directory, failed))
    throw Error(ErrorKind::kIo, "cannot read model", directory, path_exists(directory) ? "it is not a directory" : "no such directory");
  return load_tokenizer(directory);
}

void check_fit(const Tokenizer& tokenizer, const Model& model) {
  if (tokenizer.vocabulary_size() <= model.config().vocabulary) return;
  throw Error(ErrorKind::kMismatch, "tokenizer does not fit the model", model.directory(),
              "it has " + std::to_string(tokenizer.vocabulary_size()) + " tokens, the model " + std::to_string(model.config().vocabulary));
}

Ready make_ready(const ModelChoice& choice, AdapterNeed need, Host& host, Model::Weights weights) {
  Ready ready;
  ready.tokenizer = open_tokenizer(choice.model);
  const Placement placement = choose_placement(choice, host);
  ready.model = std::make_unique<Model>(choice.model, placement, choice.cache_dir, at::get_num_threads(), weights);
  check_fit(*ready.tokenizer, *ready.model);
  const bool is_named = !choice.adapter.empty() || choice.segment_length || choice.memory_length;
  const auto is_there = [&] { return choose_method(choice) == "fot" || !choice.adapter.empty() || path_exists(choice.model + "/adapter"); };
  if (need == AdapterNeed::kYes || (need == AdapterNeed::kIfThere && is_there()))
    ready.method = make_method(*ready.model, choose_adapter(choice, *ready.model));
  else if (need == AdapterNeed::kNo && is_named)
    host.note("the adapter is not used");
  return ready;
}

}  // namespace uio
