#include "kernels/few_row_layer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/token_attention.h"
#include "kernels/token_pass.h"
#include "kernels/weight_memory.h"
#include "unit/kernels/compare.h"

namespace uio::kernels {
namespace {

using test::ForceReference;
using test::normal;

struct Threads {
  explicit Threads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before); }
  int before;
};

// A weight as it is kept, and its products by the ops one by one.
struct Kept {
  Kept(std::int64_t out, std::int64_t in, at::ScalarType stored, std::uint64_t seed) {
    const at::Tensor values = normal({out, in}, seed, at::kFloat) * 0.2;
    if (stored == at::kChar) rounded = rounded_to_int8(values);
    else plain = values.to(stored);
  }
  RowWeight view() const { return plain.defined() ? row_weight(plain) : row_weight(rounded); }
  at::Tensor times(const at::Tensor& x) const { return plain.defined() ? kernels::linear(x, plain) : kernels::linear(x, rounded); }
  at::Tensor plain;
  Int8Weight rounded;
};

struct Case {
  at::ScalarType stored, computed;
  std::int64_t most_rows;
};
const Case kCases[] = {{at::kFloat, at::kFloat, 4},     {at::kBFloat16, at::kFloat, 4},     {at::kHalf, at::kFloat, 4},
                       {at::kBFloat16, at::kBFloat16, 4}, {at::kFloat, at::kBFloat16, 4}, {at::kChar, at::kFloat, 8}};

TEST_CASE("a layer of few rows has the bits of its ops one by one, on any number of threads") {
  constexpr double kEpsilon = 1e-5;
  for (const auto& [d, heads, f] : {std::array<std::int64_t, 3>{96, 96, 250}, {33, 48, 70}, {256, 192, 1030}}) {
    for (const Case& c : kCases) {
      for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{3}, c.most_rows}) {
        for (const int count : {1, 2, 5}) {
          INFO(d << "x" << heads << "x" << f << ", " << c.stored << " weights, " << c.computed << ", " << rows << " rows, " << count << " threads");
          const Threads threads(count);
          const at::Tensor x = normal({rows, d}, 1, at::kFloat), norm = normal({d}, 2, at::kFloat), attended = normal({rows, heads}, 3, at::kFloat).to(c.computed);
          const Kept output(d, heads, c.stored, 4), gate(f, d, c.stored, 5), up(f, d, c.stored, 6), down(d, f, c.stored, 7);
          const RowWeight weights[] = {gate.view(), up.view()};
          REQUIRE(fits_few_rows(x, c.computed, weights));

          const at::Tensor normed = rms_norm(x, norm, kEpsilon, c.computed);
          const std::vector<at::Tensor> each = norm_linear_each(x, norm, kEpsilon, c.computed, weights);
          CHECK(at::equal(each[0], gate.times(normed)));
          CHECK(at::equal(each[1], up.times(normed)));

          const auto [middle, input] = add_rms_norm(x, output.times(attended), norm, kEpsilon, c.computed);
          const at::Tensor wanted = middle + down.times(swiglu(gate.times(input), up.times(input)));
          CHECK(at::equal(finish_few_rows(x, attended, {output.view(), norm, kEpsilon, gate.view(), up.view(), down.view()}), wanted));
        }
      }
    }
  }
}

TEST_CASE("what a layer of few rows leaves to the ops one by one") {
  const at::Tensor weight = normal({8, 6}, 1, at::kFloat), x = normal({2, 6}, 2, at::kFloat);
  const auto fits = [](const at::Tensor& rows, at::ScalarType computed, std::initializer_list<at::Tensor> all) {
    std::vector<RowWeight> weights;
    for (const at::Tensor& one : all) weights.push_back(row_weight(one));
    return fits_few_rows(rows, computed, weights);
  };
  CHECK(fits(x, at::kFloat, {weight, weight}));
  CHECK_FALSE(fits(x, at::kDouble, {weight}));
  CHECK_FALSE(fits(x.to(at::kDouble), at::kFloat, {weight}));
  CHECK_FALSE(fits(x.t().contiguous().t(), at::kFloat, {weight}));
  CHECK_FALSE(fits(x.clone().requires_grad_(true), at::kFloat, {weight}));
  CHECK_FALSE(fits(x, at::kFloat, {weight, weight.to(at::kHalf)}));
  CHECK_FALSE(fits(x, at::kDouble, {weight.to(at::kDouble)}));
  CHECK_FALSE(fits(x, at::kFloat, {weight.to(at::kDouble)}));
  CHECK_FALSE(fits(normal({5, 6}, 3, at::kFloat), at::kFloat, {weight}));
  const ForceReference reference;
  CHECK_FALSE(fits(x, at::kFloat, {weight}));
}

TEST_CASE("a token's attention has the bits of rotation, cache and attention one by one") {
  constexpr std::int64_t kRoom = 700, kSize = 24;
  for (const std::int64_t batch : {1, 3}) {
    for (const std::int64_t shared : {1, 2, 7}) {
      for (const auto& [oldest, position] : {std::pair<std::int64_t, std::int64_t>{0, 0}, {0, 5}, {3, 3}, {40, 511}, {0, 600}, {90, 699}}) {
        for (const int count : {1, 3}) {
          INFO(batch << " rows, " << shared << " queries a key, keys " << oldest << " to " << position << ", " << count << " threads");
          const Threads threads(count);
          const std::int64_t groups = 2, heads = groups * shared;
          const at::Tensor q = normal({batch, 1, heads, kSize}, 1, at::kFloat), k = normal({batch, 1, groups, kSize}, 2, at::kFloat), v = normal({batch, 1, groups, kSize}, 3, at::kFloat);
          const at::Tensor angle = normal({1, kSize / 2}, 4, at::kFloat), cosine = angle.cos(), sine = angle.sin();
          const at::Tensor keys = normal({batch, groups, kRoom, kSize}, 5, at::kFloat), values = normal({batch, groups, kRoom, kSize}, 6, at::kFloat);
          at::Tensor wanted_keys = keys.clone(), wanted_values = values.clone();
          wanted_keys.narrow(2, position, 1).copy_(rotary(k.transpose(1, 2), cosine, sine));
          wanted_values.narrow(2, position, 1).copy_(v.transpose(1, 2));
          const AttentionPart part{rotary(q.transpose(1, 2), cosine, sine), wanted_keys.narrow(2, oldest, position + 1 - oldest),
                                   wanted_values.narrow(2, oldest, position + 1 - oldest), Visible::kAll, {}};
          const at::Tensor wanted = attention({&part, 1}, 0.2).transpose(1, 2).flatten(2);

          REQUIRE(fits_token(q, k, v, keys));
          const at::Tensor found = attend_token(q, k, v, {cosine.const_data_ptr<float>(), sine.const_data_ptr<float>()}, keys, values, oldest, position, 0.2);
          CHECK(at::equal(found, wanted));
          CHECK(at::equal(keys, wanted_keys));
          CHECK(at::equal(values, wanted_values));
        }
      }
    }
  }
}

TEST_CASE("a token's attention over a bf16 cache is that over the same numbers in f32, rounded") {
  constexpr std::int64_t kRoom = 600, kSize = 24, kGroups = 2;
  const auto narrow = [](std::initializer_list<std::int64_t> sizes, std::uint64_t seed) { return normal(sizes, seed, at::kFloat).to(at::kBFloat16); };
  for (const std::int64_t shared : {1, 3, 6}) {
    for (const auto& [oldest, position] : {std::pair<std::int64_t, std::int64_t>{0, 0}, {3, 77}, {0, 599}}) {
      INFO(shared << " queries a key, keys " << oldest << " to " << position);
      const at::Tensor q = narrow({2, 1, kGroups * shared, kSize}, 1), k = narrow({2, 1, kGroups, kSize}, 2), v = narrow({2, 1, kGroups, kSize}, 3);
      const at::Tensor angle = normal({1, kSize / 2}, 4, at::kFloat), cosine = angle.cos(), sine = angle.sin();
      const at::Tensor keys = narrow({2, kGroups, kRoom, kSize}, 5), values = narrow({2, kGroups, kRoom, kSize}, 6);
      at::Tensor wanted_keys = keys.clone(), wanted_values = values.clone();
      wanted_keys.narrow(2, position, 1).copy_(rotary(k.transpose(1, 2), cosine, sine));
      wanted_values.narrow(2, position, 1).copy_(v.transpose(1, 2));
      const auto seen = [&](const at::Tensor& rows) { return rows.narrow(2, oldest, position + 1 - oldest).to(at::kDouble); };
      const AttentionPart part{rotary(q.transpose(1, 2), cosine, sine).to(at::kDouble), seen(wanted_keys), seen(wanted_values), Visible::kAll, {}};
      const at::Tensor wanted = attention_reference({&part, 1}, 0.2).transpose(1, 2).flatten(2);

      REQUIRE(fits_token(q, k, v, keys));
      const at::Tensor found = attend_token(q, k, v, {cosine.const_data_ptr<float>(), sine.const_data_ptr<float>()}, keys, values, oldest, position, 0.2);
      CHECK(found.scalar_type() == at::kBFloat16);
      CHECK(at::equal(keys, wanted_keys));
      CHECK(at::equal(values, wanted_values));
      // Half a unit of bf16's last place, 2^-8 of the number, and what f32 lost before.
      CHECK((found.to(at::kDouble) - wanted).abs().le(wanted.abs() / 256 + 1e-6).all().item<bool>());
    }
  }
}

// All that a layer of a token needs, and its ops one by one.
struct WholeLayer {
  WholeLayer(const HeadShape& heads, std::int64_t d, std::int64_t f, const Case& c, bool has_extras, std::uint64_t seed)
      : query(heads.heads * heads.size, d, c.stored, seed), key(heads.groups * heads.size, d, c.stored, seed + 1), value(heads.groups * heads.size, d, c.stored, seed + 2),
        output(d, heads.heads * heads.size, c.stored, seed + 3), gate(f, d, c.stored, seed + 4), up(f, d, c.stored, seed + 5), down(d, f, c.stored, seed + 6) {
    view.norm = normal({d}, seed + 7, at::kFloat);
    view.projections = {query.view(), key.view(), value.view()};
    view.rest = {output.view(), normal({d}, seed + 8, at::kFloat), kEpsilon, gate.view(), up.view(), down.view()};
    if (!has_extras) return;
    for (std::size_t i = 0; i < 3; ++i) view.biases[i] = normal({view.projections[i].out}, seed + 9 + i, at::kFloat);
    view.head_norms = {normal({heads.size}, seed + 12, at::kFloat), normal({heads.size}, seed + 13, at::kFloat)};
  }
  // keys, values: [R, G, room, d] of this layer.
  at::Tensor run(const at::Tensor& x, const TokenPass& pass, const at::Tensor& keys, const at::Tensor& values, std::int64_t oldest, std::int64_t position, Angles angles) const {
    std::vector<at::Tensor> projected = with_biases(norm_linear_each(x, view.norm, kEpsilon, pass.computed, view.projections), view.biases);
    for (std::size_t i = 0; i < 3; ++i) {
      projected[i] = projected[i].view({x.size(0), 1, -1, pass.heads.size});
      if (i < 2 && view.head_norms[i].defined()) projected[i] = rms_norm(projected[i].to(at::kFloat), view.head_norms[i], kEpsilon, pass.computed);
    }
    return finish_few_rows(x, attend_token(projected[0], projected[1], projected[2], angles, keys, values, oldest, position, pass.scale).flatten(0, 1), view.rest);
  }
  static constexpr double kEpsilon = 1e-5;
  Kept query, key, value, output, gate, up, down;
  TokenLayer view;
};

TEST_CASE("a token's way through all layers has the bits of its steps one by one, on any number of threads") {
  constexpr std::int64_t kLayers = 3, kRoom = 40, kOldest = 2, kPosition = 33;
  for (const auto& [d, heads, f] : {std::tuple<std::int64_t, HeadShape, std::int64_t>{96, {6, 2, 16}, 250}, {33, {3, 3, 10}, 70}, {256, {8, 1, 32}, 1030}}) {
    for (const Case& c : kCases) {
      for (const std::int64_t rows : {std::int64_t{1}, c.most_rows}) {
        for (const bool has_extras : {false, true}) {
          const TokenPass pass{heads, WholeLayer::kEpsilon, 0.3, c.computed};
          std::vector<WholeLayer> layers;
          for (std::uint64_t l = 0; l < kLayers; ++l) layers.emplace_back(heads, d, f, c, has_extras, 100 * l);
          const at::Tensor x = normal({rows, d}, 1, at::kFloat), angle = normal({heads.size / 2}, 2, at::kFloat), cosine = angle.cos(), sine = angle.sin();
          const Angles angles{cosine.const_data_ptr<float>(), sine.const_data_ptr<float>()};
          const at::Tensor begun = normal({2, kLayers, rows, heads.groups, kRoom, heads.size}, 3, at::kFloat).to(c.computed);

          const at::Tensor wanted_cache = begun.clone();
          at::Tensor wanted = x;
          for (std::int64_t l = 0; l < kLayers; ++l)
            wanted = layers[static_cast<std::size_t>(l)].run(wanted, pass, wanted_cache[0][l], wanted_cache[1][l], kOldest, kPosition, angles);

          for (const int count : {1, 2, 5}) {
            INFO(d << "x" << f << ", " << c.stored << " weights, " << c.computed << ", " << rows << " rows, extras " << has_extras << ", " << count << " threads");
            const Threads threads(count);
            const at::Tensor cache = begun.clone();
            std::vector<TokenLayer> views;
            std::vector<TokenCache> caches;
            for (std::int64_t l = 0; l < kLayers; ++l) {
              views.push_back(layers[static_cast<std::size_t>(l)].view);
              for (std::int64_t row = 0; row < rows; ++row) caches.push_back(token_cache(cache[0][l], cache[1][l], row, kOldest, kPosition, angles));
            }
            CHECK(at::equal(pass_tokens(x, views, caches, pass), wanted));
            CHECK(at::equal(cache, wanted_cache));
          }
        }
      }
    }
  }
}

TEST_CASE("every task is visited once, however many of the threads come and whenever") {
  for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
    for (const std::int64_t members : {1, 2, 3, 8}) {
      for (const std::int64_t come : {std::int64_t{1}, members}) {
        INFO(count << " tasks, " << come << " of " << members << " threads");
        Tasks tasks(count, members);
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        std::atomic<int> unseen = 0;  // visits that a thread which had waited did not see
        std::vector<std::thread> threads;
        for (std::int64_t member = members - come; member < members; ++member)
          threads.emplace_back([&, member] {
            tasks.take(member, [&](std::int64_t begin, std::int64_t end) {
              for (std::int64_t i = begin; i < end; ++i) visits[static_cast<std::size_t>(i)].fetch_add(1);
            });
            tasks.wait();
            for (const std::atomic<int>& visit : visits) unseen += visit != 1;
          });
        for (std::thread& thread : threads) thread.join();
        CHECK(unseen == 0);
      }
    }
  }
}

TEST_CASE("weights in large pieces of memory") {
  std::vector<at::Tensor> kept;
  {
    WeightMemory memory;
    kept = {memory.empty({3, 5}, at::kChar), memory.empty({7}, at::kFloat), memory.empty({0}, at::kFloat), memory.empty({1 << 20, 40}, at::kChar), memory.empty({2, 2}, at::kFloat)};
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    CHECK(reinterpret_cast<std::uintptr_t>(kept[i].const_data_ptr()) % 64 == 0);
    CHECK(kept[i].is_contiguous());
    kept[i].fill_(static_cast<double>(i + 1));
  }
  for (std::size_t i = 0; i < kept.size(); ++i) CHECK((kept[i] == static_cast<double>(i + 1)).all().item<bool>());
}

}  // namespace
}  // namespace uio::kernels
