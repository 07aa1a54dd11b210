// Weights on disk: one file or several, and everything that can be wrong with them.
#include "model/checkpoint.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "model/tensor.h"
#include "unit/model/tiny.h"

namespace uio {
namespace {

using test::check_error;
using test::Scratch;
using test::TinyModel;
using test::write_tensors;

// Writes the tensors of `model` as `count` files with an index.
void shard(const TinyModel& model, int count) {
  std::vector<test::Tensors> parts(static_cast<std::size_t>(count));
  Json map = Json::object();
  int next = 0;
  for (const auto& [name, tensor] : model.weights) {
    const int part = next++ % count;
    parts[static_cast<std::size_t>(part)][name] = tensor;
    map[name] = "model-" + std::to_string(part) + ".safetensors";
  }
  for (int part = 0; part < count; ++part)
    write_tensors(model.scratch.path("model-" + std::to_string(part) + ".safetensors"), parts[static_cast<std::size_t>(part)]);
  std::filesystem::remove(model.scratch.path("model.safetensors"));
  model.scratch.write("model.safetensors.index.json", Json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump());
}

TEST_CASE("several files hold what one holds") {
  const TinyModel model;
  std::map<std::string, std::string> whole;
  {
    const Checkpoint checkpoint(model.directory());
    CHECK(checkpoint.files().size() == 1);
    for (const auto& [name, view] : checkpoint.tensors())
      whole[name] = std::string(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
  }
  CHECK(whole.size() == model.weights.size());
  for (const int count : {1, 2, 5}) {
    shard(model, count);
    const Checkpoint checkpoint(model.directory());
    CHECK(checkpoint.files().size() == static_cast<std::size_t>(count));
    CHECK(checkpoint.tensors().size() == whole.size());
    for (const auto& [name, view] : checkpoint.tensors())
      CHECK(std::string(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()) == whole.at(name));
  }
}

TEST_CASE("a tensor by name and shape") {
  const TinyModel model;
  const Checkpoint checkpoint(model.directory());
  CHECK(checkpoint.contains("model.norm.weight"));
  CHECK_FALSE(checkpoint.contains("model.norm.bias"));
  CHECK(checkpoint.tensor("model.norm.weight", {24}).bytes.size() == 96);
  check_error([&] { checkpoint.tensor("model.norm.bias", {24}); }, ErrorKind::kData, {"'model.norm.bias'", "missing"});
  check_error(
      [&] {
        checkpoint.tensor("lm_head.weight", {24, 50});
      },
      ErrorKind::kMismatch, {"'lm_head.weight'", "[50, 24]", "[24, 50]"});
  check_error([&] { checkpoint.tensor("model.norm.weight", {24, 1}); }, ErrorKind::kMismatch, {"[24]", "[24, 1]"});
}

TEST_CASE("shapes as text") {
  CHECK(shape_text({}) == "[]");
  CHECK(shape_text({3}) == "[3]");
  CHECK(shape_text({2, 0, 5}) == "[2, 0, 5]");
}

TEST_CASE("directories without weights") {
  const Scratch scratch;
  check_error([&] { Checkpoint(scratch.path(".")); }, ErrorKind::kIo, {"no model.safetensors"});
  check_error([&] { Checkpoint(scratch.path("missing")); }, ErrorKind::kIo, {"no model.safetensors"});
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    const Scratch pickled;
    pickled.write(name, "x");
    check_error([&] { Checkpoint(pickled.path(".")); }, ErrorKind::kMismatch, {"pickled"});
  }
}

TEST_CASE("indices that cannot be followed") {
  const TinyModel model;
  shard(model, 2);
  const auto with_index = [&](const std::string& text) {
    model.scratch.write("model.safetensors.index.json", text);
    Checkpoint(model.directory());
  };
  check_error([&] { with_index(""); }, ErrorKind::kData, {"index.json"});
  check_error([&] { with_index("[]"); }, ErrorKind::kData, {"'weight_map'"});
  check_error([&] { with_index("{}"); }, ErrorKind::kData, {"'weight_map'"});
  check_error([&] { with_index(R"({"weight_map": []})"); }, ErrorKind::kData, {"'weight_map'"});
  check_error([&] { with_index(R"({"weight_map": {}})"); }, ErrorKind::kData, {"empty"});
  check_error([&] { with_index(R"({"weight_map": {"a": 1}})"); }, ErrorKind::kData, {"'a'"});
  for (const char* name : {"", "..", "../model-0.safetensors", "/etc/passwd", "deeper/model-0.safetensors", "a\\\\b"})
    check_error([&] { with_index(R"({"weight_map": {"a": ")" + std::string(name) + "\"}}"); }, ErrorKind::kData,
                {"leads out of the directory"});
  check_error([&] { with_index(R"({"weight_map": {"a": "model-9.safetensors"}})"); }, ErrorKind::kIo, {"model-9.safetensors"});
  check_error([&] { with_index(R"({"weight_map": {"a": "model-0.safetensors"}})"); }, ErrorKind::kData, {"'a'", "not in it"});
  // A tensor in two files, whether the index says so or not.
  write_tensors(model.scratch.path("model-1.safetensors"), model.weights);
  check_error(
      [&] {
        with_index(R"({"weight_map": {"model.norm.weight": "model-1.safetensors", "lm_head.weight": "model-0.safetensors"}})");
      },
      ErrorKind::kData, {"in another file as well"});
}

TEST_CASE("mapped bytes as tensors") {
  const Scratch scratch;
  const at::Tensor numbers = at::tensor({1.5, -2.25, 0.0, 3e4}, at::kDouble);
  write_tensors(scratch.path("t"), {{"f32", numbers.to(at::kFloat)},
                                    {"f64", numbers},
                                    {"bf16", numbers.to(at::kBFloat16)},
                                    {"f16", numbers.to(at::kHalf)},
                                    {"i32", numbers.to(at::kInt)},
                                    {"scalar", at::scalar_tensor(7, at::kFloat)},
                                    {"none", at::empty({0, 3}, at::kFloat)}});
  const SafetensorsFile file(scratch.path("t"));
  for (const char* name : {"f32", "f64", "bf16", "f16"}) {
    const TensorView& view = file.tensors().at(name);
    CHECK(test::largest_difference(view_of(view, name), numbers.to(scalar_type_of(view.dtype, name))) == 0);
    CHECK(test::largest_difference(load(view, name, at::kDouble, at::kCPU), numbers.to(scalar_type_of(view.dtype, name))) == 0);
  }
  check_error([&] { view_of(file.tensors().at("i32"), "i32"); }, ErrorKind::kMismatch, {"'i32'", "I32"});
  CHECK(view_of(file.tensors().at("scalar"), "scalar").item<float>() == 7);
  CHECK(view_of(file.tensors().at("none"), "none").sizes() == at::IntArrayRef({0, 3}));
  // What is asked for as it lies is not copied.
  const TensorView& view = file.tensors().at("f32");
  if (reinterpret_cast<std::uintptr_t>(view.bytes.data()) % 4 == 0)
    CHECK(load(view, "f32", at::kFloat, at::kCPU).const_data_ptr() == static_cast<const void*>(view.bytes.data()));
}

TEST_CASE("elements at odd addresses") {
  // Five header bytes more: every tensor begins where no float may be read in place.
  const Scratch scratch;
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})" + std::string(3, ' ');
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  const float numbers[] = {1.25f, -7.0f};
  bytes += header + std::string(reinterpret_cast<const char*>(numbers), 8);
  REQUIRE((8 + header.size()) % 4 != 0);
  scratch.write("odd", bytes);
  const SafetensorsFile file(scratch.path("odd"));
  CHECK(test::largest_difference(view_of(file.tensors().at("a"), "a"), at::tensor({1.25f, -7.0f})) == 0);
}

}  // namespace
}  // namespace uio
