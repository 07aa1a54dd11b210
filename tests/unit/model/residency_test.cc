#include "model/residency.h"

#include "unit/model/tiny.h"

namespace uio {
namespace {

WeightUse all_layers(std::vector<bool> ids) {
  WeightUse use;
  use.reads = [](const std::string& name) { return name.starts_with("model.layers."); };
  use.ids = std::move(ids);
  return use;
}

TEST_CASE("resident weights: those that are read, those that are converted, all where they are hashed") {
  // An embedding of 1000 rows of 4 KiB, beside layers of 1024 × 8.
  const test::TinyModel tiny({{"vocab_size", 1000}, {"hidden_size", 1024}, {"intermediate_size", 8}, {"num_attention_heads", 1},
                              {"num_key_value_heads", 1}, {"head_dim", 8}, {"num_hidden_layers", 2}});
  const ModelConfig config = parse_model_config(tiny.config, "tiny");
  const std::uint64_t embedding = 1000 * 4096, layer = (4 * 8 + 3 * 8 + 2) * 1024 * 4, norm = 1024 * 4;
  const auto resident = [&](const Placement& placement, const WeightUse& use) { return resident_weights(tiny.directory(), config, placement, use); };
  const Placement f32;
  CHECK(resident(f32, all_layers(std::vector<bool>(1000))) == 2 * layer);

  // Rows come by stretches of 64 KiB, 16 rows.
  std::vector<bool> ids(1000);
  for (std::size_t id = 0; id < 1000; id += 250) ids[id] = true;
  const std::uint64_t some = resident(f32, all_layers(ids)) - 2 * layer;
  CHECK(some >= 4 * 65536);
  CHECK(some <= 8 * 65536);
  const std::uint64_t every = resident(f32, all_layers(std::vector<bool>(1000, true))) - 2 * layer;
  CHECK(every >= embedding);
  CHECK(every <= embedding + 2 * 65536);

  WeightUse hashed = all_layers(std::vector<bool>(1000));
  hashed.is_hashed = true;
  CHECK(resident(f32, hashed) == 2 * embedding + norm + 2 * layer);

  // As bf16 every weight is there twice, norms as they are.
  Placement bf16;
  bf16.stored = at::kBFloat16;
  const std::uint64_t norms = 4 * norm;
  CHECK(resident(bf16, all_layers(std::vector<bool>(1000))) == (2 * embedding + 2 * layer - norms) * 3 / 2 + norms);
}

}  // namespace
}  // namespace uio
