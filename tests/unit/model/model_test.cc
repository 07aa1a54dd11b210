// The forward pass against a decoder written out in double, and what a directory must hold.
#include "model/model.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "base/host.h"
#include "kernels/attention.h"
#include "memory/context.h"
#include "model/placement.h"
#include "unit/model/plain_decoder.h"
#include "unit/model/tiny.h"
#include "unit/text/recording_host.h"

namespace uio {
namespace {

using test::check_error;
using test::ids_tensor;
using test::largest_difference;
using test::PlainDecoder;
using test::random_ids;
using test::TinyModel;

at::Tensor logits_of(const Model& model, const std::vector<std::int32_t>& ids) {
  DecoderContext context(model, static_cast<std::int64_t>(ids.size()));
  return model.logits(model.final_norm(context.add_tokens(ids_tensor(ids)).squeeze(0)));
}

const std::vector<Json> kFamilies = {
    Json::object(),
    {{"num_key_value_heads", 4}},
    {{"num_key_value_heads", 1}},
    {{"head_dim", nullptr}},
    {{"attention_bias", true}, {"mlp_bias", true}},
    {{"tie_word_embeddings", true}},
    {{"num_hidden_layers", 1}},
    {{"vocab_size", 51}, {"intermediate_size", 33}},
    {{"model_type", "mistral"}, {"sliding_window", 5}},
    {{"model_type", "qwen2"}},
    {{"model_type", "qwen2"}, {"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}},
    {{"model_type", "qwen3"}},
    {{"model_type", "qwen3"}, {"attention_bias", true}, {"tie_word_embeddings", true}},
};

TEST_CASE("logits of every family equal the decoder written out") {
  for (std::size_t i = 0; i < kFamilies.size(); ++i) {
    INFO(kFamilies[i].dump());
    const TinyModel tiny(kFamilies[i], 10 + i);
    const std::vector<std::int32_t> ids = random_ids(14, i);
    const at::Tensor expected = PlainDecoder(tiny).logits(ids, [](std::int64_t t) { return PlainDecoder::causal(t); });
    CHECK(largest_difference(logits_of(tiny.load(at::kDouble), ids), expected) < 1e-10);
    CHECK(largest_difference(logits_of(tiny.load(at::kFloat), ids), expected) < 2e-4);
    const test::ForceReference plain;
    CHECK(largest_difference(logits_of(tiny.load(at::kDouble), ids), expected) < 1e-10);
    CHECK(largest_difference(logits_of(tiny.load(at::kFloat), ids), expected) < 2e-4);
  }
}

TEST_CASE("weights stored in fewer bits are computed in f32 as they are stored") {
  for (const at::ScalarType stored : {at::kBFloat16, at::kHalf}) {
    for (const bool is_tied : {false, true}) {
      INFO(c10::toString(stored) << (is_tied ? ", tied" : ""));
      const TinyModel tiny(Json{{"tie_word_embeddings", is_tied}, {"attention_bias", true}}, 3, stored);
      const std::vector<std::int32_t> ids = random_ids(12, 4);
      const at::Tensor expected = PlainDecoder(tiny).logits(ids, [](std::int64_t t) { return PlainDecoder::causal(t); });
      CHECK(largest_difference(logits_of(tiny.load(stored, at::kFloat), ids), expected) < 2e-4);
      CHECK(largest_difference(logits_of(tiny.load(at::kFloat), ids), expected) < 2e-4);
      CHECK(largest_difference(logits_of(tiny.load(at::kDouble), ids), expected) < 1e-10);
      // Products in bfloat16 round activations, too: near, not equal.
      const double rounded = largest_difference(logits_of(tiny.load(at::kBFloat16, at::kBFloat16), ids), expected);
      CHECK(rounded < 1.0);
      CHECK(rounded > 1e-4);
    }
  }
}

TEST_CASE("weights of the wanted dtype are used where they lie") {
  const TinyModel tiny;
  const Model model = tiny.load(at::kFloat);
  // Two loads map the file twice; a row of one is no copy of its own: it stays within the map's bounds, so no address repeats.
  CHECK(model.embedding_row(3).const_data_ptr<float>() == model.embedding_row(0).const_data_ptr<float>() + 3 * 24);
  CHECK(largest_difference(model.embedding_row(3), tiny.weights.at("model.embed_tokens.weight")[3]) == 0);
}

TEST_CASE("a tied model may keep a copy of its embedding, an untied one needs its head") {
  TinyModel tied(Json{{"tie_word_embeddings", true}});
  const at::Tensor expected = logits_of(tied.load(), random_ids(6, 1));
  tied.weights["lm_head.weight"] = at::randn({50, 24});  // ignored as by transformers: the embedding is what counts
  tied.write();
  CHECK(at::equal(logits_of(tied.load(), random_ids(6, 1)), expected));
  TinyModel untied;
  untied.weights.erase("lm_head.weight");
  untied.write();
  check_error([&] { untied.load(); }, ErrorKind::kData, {"'lm_head.weight'", "missing"});
}

TEST_CASE("tensors that are missing, too many, of other shapes or dtypes") {
  const auto with = [](const std::function<void(test::Tensors&)>& change) {
    TinyModel tiny;
    change(tiny.weights);
    tiny.write();
    tiny.load();
  };
  const TinyModel sound;
  for (const auto& entry : sound.weights) {
    const std::string& name = entry.first;
    check_error([&] { with([&](test::Tensors& weights) { weights.erase(name); }); }, ErrorKind::kData,
                {"'" + name + "'", "missing"});
    check_error(
        [&] {
          with(
              [&](test::Tensors& weights) { weights[name] = weights[name].flatten().narrow(0, 1, weights[name].numel() - 1); });
        },
        ErrorKind::kMismatch, {"'" + name + "'", shape_text(entry.second.sizes().vec())});
    check_error([&] { with([&](test::Tensors& weights) { weights[name] = weights[name].to(at::kInt); }); },
                ErrorKind::kMismatch, {"'" + name + "'", "I32"});
  }
  for (const char* name : {"model.layers.3.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias",
                           "model.layers.0.self_attn.q_norm.weight", "score.weight"})
    check_error([&] { with([&](test::Tensors& weights) { weights[name] = at::zeros({1}); }); }, ErrorKind::kMismatch,
                {"'" + std::string(name) + "'", "not understood"});
  CHECK_NOTHROW(with([](test::Tensors& weights) { weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = at::ones({5}); }));
  // Norms and matrices may be stored in different numbers.
  CHECK_NOTHROW(
      with([](test::Tensors& weights) { weights["model.norm.weight"] = weights["model.norm.weight"].to(at::kBFloat16); }));
}

TEST_CASE("ids outside the vocabulary are refused") {
  const TinyModel tiny;
  const Model model = tiny.load();
  check_error([&] { model.embed(ids_tensor({1, 50})); }, ErrorKind::kMismatch, {"50"});
  check_error([&] { model.embed(ids_tensor({-1, 3})); }, ErrorKind::kMismatch, {"-1"});
  CHECK_NOTHROW(model.embed(ids_tensor({0, 49})));
  CHECK(model.embed(at::empty({1, 0}, at::kLong)).sizes() == at::IntArrayRef({1, 0, 24}));
}

TEST_CASE("log-probabilities are the log-softmax of the logits, however many rows") {
  const TinyModel tiny;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Model model = tiny.load(dtype, dtype == at::kBFloat16 ? at::kFloat : dtype);
    for (const std::int64_t rows : {1, 4, 5, 127, 128, 129, 300}) {
      const at::Tensor x = model.final_norm(at::randn({rows, 24}).to(model.placement().residual()));
      const at::Tensor targets = at::randint(0, 50, {rows}, at::kLong);
      const at::Tensor expected =
          at::log_softmax(model.logits(x).to(at::kDouble), -1).gather(1, targets.unsqueeze(1)).squeeze(1);
      const double bound = dtype == at::kDouble ? 1e-12 : 1e-5;
      CHECK(largest_difference(model.log_probabilities(x, targets), expected) < bound);
      const test::ForceReference plain;
      CHECK(largest_difference(model.log_probabilities(x, targets), expected) < bound);
    }
    CHECK(model
              .log_probabilities(at::empty({0, 24}, at::TensorOptions().dtype(model.placement().computed)),
                                 at::empty({0}, at::kLong))
              .numel() == 0);
  }
}

TEST_CASE("a LoRA pair adds scale times B A x") {
  const TinyModel tiny;
  const Model model = tiny.load(at::kDouble);
  const at::Tensor rows = at::randn({2, 5, 24}, at::kDouble);
  Lora lora{at::randn({3, 24}, at::kDouble), at::randn({40, 3}, at::kDouble), 2.5};
  const at::Tensor base = model.project(1, Projection::kQuery, rows);
  const at::Tensor expected = base + 2.5 * rows.matmul(lora.a.t()).matmul(lora.b.t());
  CHECK(largest_difference(model.project(1, Projection::kQuery, rows, &lora), expected) < 1e-12);
  lora.b.zero_();
  CHECK(at::equal(model.project(1, Projection::kQuery, rows, &lora), base));  // to the bit
  const Lora none;
  CHECK(at::equal(model.project(1, Projection::kQuery, rows, &none), base));
}

TEST_CASE("FLOPs are twice the weights") {
  const TinyModel tiny;
  const Model model = tiny.load();
  double weights = 0;
  for (const auto& [name, tensor] : tiny.weights)
    if (name.ends_with("proj.weight")) weights += static_cast<double>(tensor.numel());
  CHECK(model.layer_flops() == 2 * weights);
  CHECK(model.logits_flops() == 2.0 * 50 * 24);
}

TEST_CASE("placement") {
  const TinyModel wide, narrow(Json::object(), 1, at::kBFloat16);
  text_test::RecordingHost host;
  ModelChoice choice;
  choice.device = "cpu";
  choice.threads = 1;
  const auto placed = [&](const TinyModel& model, const char* dtype) {
    choice.model = model.directory();
    choice.dtype = dtype;
    return choose_placement(choice, host);
  };
  CHECK(placed(wide, "auto").stored == at::kFloat);
  CHECK(placed(narrow, "auto").stored == at::kBFloat16);
  CHECK(placed(narrow, "f32").computed == at::kFloat);
  CHECK(placed(wide, "f64").computed == at::kDouble);
  CHECK(placed(wide, "f64").residual() == at::kDouble);
  CHECK(placed(wide, "f16").stored == at::kHalf);
  CHECK(placed(wide, "f16").computed == at::kFloat);
  const Placement bf16 = placed(wide, "bf16");
  CHECK(bf16.stored == at::kBFloat16);
  CHECK(bf16.computed == (kernels::cpu_has_bf16_products() ? at::kBFloat16 : at::kFloat));
  CHECK(bf16.residual() == at::kFloat);
  check_error([&] { placed(wide, "f8"); }, ErrorKind::kUsage, {"'f8'"});
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", ""}) {
    choice.device = device;
    check_error([&] { placed(wide, "f32"); }, ErrorKind::kUsage, {"bad device"});
  }
  choice.device = "auto";
  CHECK_NOTHROW(placed(wide, "f32"));
}

}  // namespace
}  // namespace uio
