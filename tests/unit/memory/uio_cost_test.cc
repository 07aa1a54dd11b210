#include "memory/uio_cost.h"

#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::TinyMethod;

// D 24, F 32, q 40, kv 20, three layers, L 12, M 3, rank 2 on q and v, and on k and v of the transfer head. By hand: of the first layer all
// 15 rows are needed, of the second those of the 3 slots, with the keys and values of all; of the third only its input.
TEST_CASE("the arithmetic of a segment, by hand") {
  const TinyMethod t;
  const double q = 24 * 40, kv = 24 * 20, o = 40 * 24, feed = 3 * 24 * 32, lora_q = 2 * (24 + 40), lora_kv = 2 * (24 + 20);
  // Slots see 4, 8 and 12 tokens and themselves; token i sees i.
  const double slot_pairs = 4 + 8 + 12 + 3, token_pairs = 78;
  const double first = 15 * (q + lora_q + 2 * kv + lora_kv + o + feed) + 2 * 40 * (slot_pairs + token_pairs);
  const double second = 3 * (q + lora_q + o + feed) + 15 * (2 * kv + lora_kv) + 2 * 40 * slot_pairs;
  const double head = 3 * 3 * (2 * kv + 2 * lora_kv);
  CHECK(t.method->cost()->segment_flops(12, Form::kKv) == 2 * (first + second + head));
  CHECK(t.method->cost()->segment_flops(12, Form::kHidden) == 2 * (first + second));

  // Closed by its content after 7 tokens: the slots see 2, 5 and 7.
  const double shorter = 10 * (q + lora_q + 2 * kv + lora_kv + o + feed) + 2 * 40 * (2 + 5 + 7 + 3 + 28) + 3 * (q + lora_q + o + feed) +
                         10 * (2 * kv + lora_kv) + 2 * 40 * (2 + 5 + 7 + 3);
  CHECK(t.method->cost()->segment_flops(7, Form::kHidden) == 2 * shorter);

  // The causal mask: each slot sees all 12 tokens, and the slots up to itself.
  const TinyMethod causal(Json::object(), Json{{"memory_mask", "causal"}});
  CHECK(causal.method->cost()->segment_flops(12, Form::kKv) == 2 * (first + second + head + 2 * 2 * 40 * (36 + 6 - slot_pairs)));

  // LoRA on more projections.
  const TinyMethod more(Json::object(), Json{{"encoder_targets", {"q_proj", "v_proj", "o_proj", "down_proj"}}});
  CHECK(more.method->cost()->segment_flops(12, Form::kKv) == 2 * (first + second + head + 18 * (2 * (40 + 24) + 2 * (32 + 24))));
}

// How large the heap becomes is measured on whole programs, tests/cli/dry_run_test.sh.
TEST_CASE("a rehearsal makes tensors of every shape and needs no weights") {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const TinyMethod t(Json::object(), Json::object(), dtype);
    for (const Form form : {Form::kKv, Form::kHidden}) t.method->cost()->rehearse(3, 7, form);
  }
}

TEST_CASE("which weights compressing reads") {
  const TinyMethod t;
  std::vector<std::string> unread, unread_hidden;
  Model model = t.tiny.load();
  model.for_each_weight([&](const std::string& name, at::Tensor&) {
    if (!t.method->cost()->reads_weight(name, Form::kKv)) unread.push_back(name);
    if (!t.method->cost()->reads_weight(name, Form::kHidden)) unread_hidden.push_back(name);
  });
  const std::string last = "model.layers.2.";
  CHECK((unread == std::vector<std::string>{"lm_head.weight", "model.norm.weight", last + "post_attention_layernorm.weight",
                                            last + "self_attn.q_proj.weight", last + "self_attn.o_proj.weight", last + "mlp.gate_proj.weight",
                                            last + "mlp.up_proj.weight", last + "mlp.down_proj.weight"}));
  CHECK(unread_hidden.size() == unread.size() + 2);

  // What is not read may be anything.
  const auto ids = test::ids_tensor(test::random_ids(12, 3));
  const at::Tensor expected = t.method->encode(ids);
  Model other = t.tiny.load(at::kDouble);
  other.for_each_weight([&](const std::string& name, at::Tensor& weight) {
    if (!t.method->cost()->reads_weight(name, Form::kHidden)) weight = at::full_like(weight, 1e30);
  });
  const auto method = make_method(other, load_adapter(t.tiny.scratch.path("adapter"), other));
  CHECK(method->encode(ids).equal(expected));
}

TEST_CASE("a model without numbers has its shapes, its checks and its costs") {
  const TinyMethod t(Json::object(), Json::object(), at::kFloat);
  const auto load = [&](const std::string& cache) {
    return Model(t.tiny.directory(), t.model.placement(), cache, 1, Model::Weights::kShapes);
  };
  const Model shapes = load("");
  CHECK(shapes.fingerprint().empty());
  const auto method = make_method(shapes, load_adapter(t.tiny.scratch.path("adapter"), shapes));
  CHECK(method->cost()->segment_flops(12, Form::kKv) == t.method->cost()->segment_flops(12, Form::kKv));
  CHECK(method->adapter().fingerprint == t.method->adapter().fingerprint);
  make_method(shapes, fresh_adapter(shapes, 12, 3))->cost()->rehearse(1, 12, Form::kKv);

  Json elsewhere = t.config;
  elsewhere["base_fingerprint"] = std::string(64, 'a');
  test::write_adapter(t.tiny.scratch, elsewhere, t.weights);
  load_adapter(t.tiny.scratch.path("adapter"), shapes);  // unknown: any
  test::check_error([&] { load_adapter(t.tiny.scratch.path("adapter"), t.model); }, ErrorKind::kMismatch, {"another model"});

  test::TinyModel damaged;
  damaged.weights.erase("model.layers.1.mlp.up_proj.weight");
  damaged.write();
  test::check_error([&] { Model(damaged.directory(), {}, "", 1, Model::Weights::kShapes); }, ErrorKind::kData, {"'model.layers.1.mlp.up_proj.weight' is missing"});
}

}  // namespace
}  // namespace uio
