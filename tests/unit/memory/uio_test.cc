// The UIO encoder and transfer head: what a slot may depend on, and the same thing computed densely.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "memory/method.h"
#include "model/rope.h"
#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::ids_tensor;
using test::largest_difference;
using test::random_ids;
using test::TinyMethod;

// All L + M rows of every layer, one mask, one softmax: nothing skipped, nothing in parts. [N, M, D]
at::Tensor dense_encode(const Model& model, const Adapter& adapter, const std::vector<std::int32_t>& ids) {
  const ModelConfig& c = model.config();
  const std::int64_t length = static_cast<std::int64_t>(ids.size()), slots = adapter.config.memory_length;
  const RopeTable rope(c, length + slots + 1, at::kDouble, at::kCPU);
  std::vector<std::int64_t> positions;
  at::Tensor mask = at::zeros({length + slots, length + slots}, at::kBool);
  for (std::int64_t i = 0; i < length; ++i) {
    positions.push_back(i);
    mask[i].narrow(0, 0, i + 1).fill_(true);
  }
  for (std::int64_t i = 0; i < slots; ++i) {
    positions.push_back(adapter.slot_position(i, length));
    mask[length + i].narrow(0, 0, adapter.slot_cover(i, length)).fill_(true);
    if (adapter.config.mask == SlotRule::kCausal) mask[length + i].narrow(0, length, i + 1).fill_(true);
    mask[length + i][length + i] = true;
  }
  at::Tensor x = at::cat({model.embed(ids_tensor(ids))[0], adapter.memory_tokens.expand({slots, c.hidden_size})}).unsqueeze(0);
  std::vector<at::Tensor> memory;
  for (std::int64_t l = 0; l < c.layers; ++l) {
    memory.push_back(model.attention_input(l, x)[0].narrow(0, length, slots));
    const Attend attend = [&](std::int64_t, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      const at::Tensor at = at::tensor(positions);
      const std::int64_t repeat = c.heads / c.kv_heads;
      const at::Tensor queries = rope.rotate(q.transpose(1, 2), at),
                       keys = rope.rotate(k.transpose(1, 2), at).repeat_interleave(repeat, 1);
      at::Tensor scores = queries.matmul(keys.transpose(2, 3)) / std::sqrt(static_cast<double>(c.head_size));
      scores = scores.masked_fill(mask.logical_not(), -INFINITY);
      return at::softmax(scores, -1).matmul(v.transpose(1, 2).repeat_interleave(repeat, 1)).transpose(1, 2).flatten(2);
    };
    x = model.layer(l, x, attend, &adapter.encoder[static_cast<std::size_t>(l)]);
  }
  return at::stack(memory);
}

const Json kAll = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

TEST_CASE("memories equal the dense computation") {
  const std::vector<std::pair<Json, Json>> cases = {
      {Json::object(), Json::object()},
      {Json::object(), Json{{"memory_mask", "causal"}, {"memory_positions", "causal"}}},
      {Json::object(), Json{{"memory_mask", "causal"}}},
      {Json::object(), Json{{"memory_positions", "causal"}}},
      {Json::object(), Json{{"segment_length", 13}, {"memory_length", 5}}},
      {Json::object(), Json{{"segment_length", 3}, {"memory_length", 7}}},  // more slots than tokens
      {Json::object(), Json{{"segment_length", 1}, {"memory_length", 1}}},
      {Json::object(), Json{{"lora_rank", 0}}},
      {Json::object(), Json{{"encoder_targets", kAll}}},
      {Json::object(), Json{{"encoder_targets", Json::array()}, {"transfer_targets", Json::array({"v_proj"})}}},
      {Json{{"num_hidden_layers", 1}}, Json::object()},
      {Json{{"num_hidden_layers", 2}}, Json{{"encoder_targets", kAll}}},
      {Json{{"num_hidden_layers", 5}}, Json::object()},
      {Json{{"num_key_value_heads", 1}, {"attention_bias", true}}, Json::object()},
      {Json{{"model_type", "qwen3"}}, Json::object()},
      {Json{{"model_type", "mistral"}, {"sliding_window", 3}}, Json::object()},  // the mask is the method's own
  };
  for (const auto& [model, adapter] : cases) {
    INFO(model.dump() << " " << adapter.dump());
    const TinyMethod t(model, adapter);
    const std::vector<std::int32_t> ids = random_ids(t.method->segment_length(), 3);
    const at::Tensor hidden = t.method->encode(ids_tensor(ids))[0];
    CHECK(largest_difference(hidden, dense_encode(t.model, t.method->adapter(), ids)) < 1e-10);
    {
      const test::ForceReference plain;
      CHECK(largest_difference(t.method->encode(ids_tensor(ids))[0], hidden) < 1e-10);
    }
    const TinyMethod narrow(model, adapter, at::kFloat);
    CHECK(largest_difference(narrow.method->encode(ids_tensor(ids))[0], hidden) < 1e-3);
    const test::ForceReference plain;
    CHECK(largest_difference(narrow.method->encode(ids_tensor(ids))[0], hidden) < 1e-3);
  }
}

TEST_CASE("a segment closed by its content has the memory that an adapter of its length would make, to the bit") {
  for (const Json& rules : {Json::object(), Json{{"memory_mask", "causal"}, {"memory_positions", "causal"}}, Json{{"memory_positions", "causal"}},
                            Json{{"memory_length", 7}}}) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const TinyMethod t(Json::object(), rules, dtype);
      for (const std::int64_t length : {1, 2, 3, 5, 11, 12}) {
        INFO(rules.dump() << ", " << length << " tokens");
        Json shorter = rules;
        shorter["segment_length"] = length;
        const TinyMethod own(Json::object(), shorter, dtype);
        const std::vector<std::int32_t> ids = random_ids(length, 3);
        const at::Tensor hidden = t.method->encode(ids_tensor(ids));
        CHECK(at::equal(hidden, own.method->encode(ids_tensor(ids))));
        if (dtype == at::kDouble) CHECK(largest_difference(hidden[0], dense_encode(t.model, t.method->adapter(), ids)) < 1e-11);
      }
    }
  }
  const TinyMethod t;
  test::check_error([&] { t.method->encode(ids_tensor(random_ids(13, 3))); }, ErrorKind::kInternal, {"13", "12"});
}

TEST_CASE("a slot sees the tokens that it covers, and those only") {
  for (const Json& adapter :
       {Json::object(), Json{{"segment_length", 13}, {"memory_length", 5}}, Json{{"memory_positions", "causal"}}}) {
    const TinyMethod t(Json::object(), adapter);
    const Adapter& a = t.method->adapter();
    const std::int64_t length = t.method->segment_length(), slots = t.method->memory_length();
    const std::vector<std::int32_t> ids = random_ids(length, 4);
    const at::Tensor before = t.method->encode(ids_tensor(ids))[0];
    for (std::int64_t j = 0; j < length; ++j) {
      std::vector<std::int32_t> changed = ids;
      changed[static_cast<std::size_t>(j)] = (changed[static_cast<std::size_t>(j)] + 7) % 50;
      const at::Tensor after = t.method->encode(ids_tensor(changed))[0];
      for (std::int64_t i = 0; i < slots; ++i) {
        INFO("token " << j << ", slot " << i);
        CHECK(at::equal(after.select(1, i), before.select(1, i)) == (j >= a.slot_cover(i)));
      }
      CHECK(at::equal(after[0], before[0]));  // layer 0 holds the normed slot embeddings, whatever the text
    }
  }
}

TEST_CASE("staged slots do not see each other, causal ones those before them") {
  for (const bool is_causal : {false, true}) {
    TinyMethod t(Json::object(), is_causal ? Json{{"memory_mask", "causal"}} : Json::object());
    const std::vector<std::int32_t> ids = random_ids(12, 5);
    const at::Tensor before = t.method->encode(ids_tensor(ids))[0];
    for (std::int64_t changed = 0; changed < 3; ++changed) {
      const test::Tensors kept = t.weights;
      at::Tensor rows = kept.at("memory_tokens").clone();
      rows[changed] = rows[changed].flip(0);
      t.weights["memory_tokens"] = rows;
      t.make();
      const at::Tensor after = t.method->encode(ids_tensor(ids))[0];
      for (std::int64_t i = 0; i < 3; ++i) {
        INFO((is_causal ? "causal, " : "staged, ") << changed << " changed, slot " << i);
        CHECK(at::equal(after.select(1, i), before.select(1, i)) == (is_causal ? i < changed : i != changed));
      }
      t.weights = kept;
      t.make();
    }
  }
}

TEST_CASE("layer 0 is the normed embedding of the slot") {
  const TinyMethod t(Json::object(), Json::object(), at::kDouble, true);
  const at::Tensor hidden = t.method->encode(ids_tensor(random_ids(12, 6)))[0];
  const at::Tensor row = t.weights.at("memory_tokens").to(at::kDouble),
                   norm = t.tiny.weights.at("model.layers.0.input_layernorm.weight");
  const at::Tensor expected = row / (row.square().mean(-1, true) + 1e-5).sqrt() * norm;
  for (std::int64_t i = 0; i < 3; ++i) CHECK(largest_difference(hidden[0][i], expected[0]) < 1e-12);
}

TEST_CASE("a shared row equals the same row for each slot") {
  const TinyMethod shared(Json::object(), Json::object(), at::kDouble, true);
  TinyMethod own;
  own.weights = shared.weights;
  own.weights["memory_tokens"] = shared.weights.at("memory_tokens").expand({3, 24}).contiguous();
  own.make();
  const at::Tensor ids = ids_tensor(random_ids(12, 7));
  CHECK(at::equal(shared.method->encode(ids), own.method->encode(ids)));
  CHECK(shared.method->adapter().fingerprint != own.method->adapter().fingerprint);
}

TEST_CASE("segments side by side are segments alone") {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const TinyMethod t(Json::object(), Json::object(), dtype);
    const std::vector<std::int32_t> ids = random_ids(12 * 7, 8);
    const at::Tensor all = t.method->encode(ids_tensor(ids).view({7, 12}));
    const KeysValues kv = t.method->transfer(all);
    for (std::int64_t row = 0; row < 7; ++row) {
      const std::vector<std::int32_t> segment = test::part(ids, 12 * row, 12);
      const double bound = dtype == at::kDouble ? 1e-12 : 1e-4;
      CHECK(largest_difference(t.method->encode(ids_tensor(segment))[0], all[row]) < bound);
      const KeysValues alone = t.memory(segment);
      CHECK(largest_difference(alone.keys[0], kv.keys[row]) < bound);
      CHECK(largest_difference(alone.values[0], kv.values[row]) < bound);
    }
  }
}

TEST_CASE("without LoRA effect keys and values are the base's own projections, to the bit") {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    TinyMethod t(Json::object(), Json::object(), dtype);
    for (auto& [name, tensor] : t.weights)
      if (name.find("lora_B") != std::string::npos) tensor = at::zeros_like(tensor);
    t.make();
    const TinyMethod none(Json::object(), Json{{"lora_rank", 0}}, dtype);
    const at::Tensor ids = ids_tensor(random_ids(12, 9)), hidden = t.method->encode(ids);
    CHECK(at::equal(hidden, none.method->encode(ids)));
    const KeysValues kv = t.method->transfer(hidden);
    for (std::int64_t l = 0; l < 3; ++l) {
      const at::Tensor rows = hidden.select(1, l).contiguous();
      CHECK(at::equal(kv.keys.select(1, l), t.model.heads(l, Projection::kKey, rows).transpose(1, 2)));
      CHECK(at::equal(kv.values.select(1, l), t.model.heads(l, Projection::kValue, rows).transpose(1, 2)));
    }
  }
}

TEST_CASE("the transfer head is its projection with LoRA") {
  const TinyMethod t;
  const at::Tensor hidden = at::randn({2, 3, 3, 24}, at::kDouble);
  const KeysValues kv = t.method->transfer(hidden);
  CHECK(kv.keys.sizes() == at::IntArrayRef({2, 3, 2, 3, 10}));
  for (std::int64_t l = 0; l < 3; ++l) {
    const std::string layer = "layers." + std::to_string(l) + ".self_attn.";
    for (const auto& [name, found] : {std::pair<std::string, at::Tensor>{"k_proj", kv.keys}, {"v_proj", kv.values}}) {
      const auto weight = [&](const std::string& key) {
        return (t.weights.count(key) ? t.weights.at(key) : t.tiny.weights.at(key)).to(at::kDouble);
      };
      const at::Tensor rows = hidden.select(1, l);
      const at::Tensor low = rows.matmul(weight("transfer." + layer + name + ".lora_A.weight").t());
      const at::Tensor expected = rows.matmul(weight("model." + layer + name + ".weight").t()) +
                                  2.5 * low.matmul(weight("transfer." + layer + name + ".lora_B.weight").t());
      CHECK(largest_difference(found.select(1, l), expected.view({2, 3, 2, 10}).transpose(1, 2)) < 1e-12);
    }
  }
}

TEST_CASE("memories have the dtype that is stored") {
  const test::TinyModel tiny;
  const Model model = tiny.load(at::kBFloat16, at::kFloat);
  const auto method = make_method(model, fresh_adapter(model, 12, 3));
  const at::Tensor hidden = method->encode(ids_tensor(random_ids(12, 1)));
  CHECK(hidden.scalar_type() == at::kBFloat16);
  CHECK(method->transfer(hidden).keys.scalar_type() == at::kBFloat16);
  CHECK(method->transfer(hidden).values.scalar_type() == at::kBFloat16);
}

TEST_CASE("methods that this build does not have") {
  const test::TinyModel tiny;
  const Model model = tiny.load();
  Adapter adapter = fresh_adapter(model, 12, 3);
  adapter.config.method = "gist";
  test::check_error([&] { make_method(model, adapter); }, ErrorKind::kMismatch, {"'gist'", "uio"});
  CHECK(memory_methods()[0].name == "uio");
}

}  // namespace
}  // namespace uio
