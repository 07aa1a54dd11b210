// Gradients of attention over parts beyond the cases of tests/ops: borders of blocks, shared tensors, some gradients only.
#include <catch2/catch.hpp>

#include "kernels/attention.h"
#include "unit/kernels/gradients.h"

namespace uio::kernels {
namespace {

using test::check_gradients;
using test::leaf;
using test::normal;
using test::random_mask;
using Inputs = std::vector<at::Tensor>;


struct Shape {
  std::int64_t batch, heads, groups, count, size;
};
struct Keys {
  std::int64_t count;
  Visible visible;
  at::Tensor mask;
};

// Queries, keys and values of each part in turn.
Inputs inputs(const Shape& shape, const std::vector<Keys>& parts, std::uint64_t seed) {
  Inputs out;
  for (const Keys& part : parts) {
    out.push_back(leaf(2 * normal({shape.batch, shape.heads, shape.count, shape.size}, seed++)));
    for (int i = 0; i < 2; ++i) out.push_back(leaf(normal({shape.batch, shape.groups, part.count, shape.size}, seed++)));
  }
  return out;
}

test::Op op_of(const std::vector<Keys>& parts, bool is_plain) {
  return [=](const Inputs& in) {
    std::vector<AttentionPart> built;
    for (std::size_t i = 0; i < parts.size(); ++i)
      built.push_back({in[3 * i], in[3 * i + 1], in[3 * i + 2], parts[i].visible, parts[i].mask});
    return is_plain ? attention_reference(built, 0.3) : attention(built, 0.3);
  };
}

void check(const std::vector<Keys>& parts, const Inputs& in) {
  check_gradients(op_of(parts, false), op_of(parts, true), in, 1e-5);
}
void check(const Shape& shape, const std::vector<Keys>& parts, std::uint64_t seed) {
  INFO(shape.batch << "×" << shape.heads << "/" << shape.groups << "×" << shape.count << "×" << shape.size);
  check(parts, inputs(shape, parts, seed));
}

TEST_CASE("gradient of attention around the borders of blocks") {
  // 128 queries and 256 keys are a block.
  for (const std::int64_t count : {127, 128, 129, 257})
    for (const std::int64_t keys : {255, 257, 513}) {
      const Shape shape{1, 2, 1, count, 4};
      check(shape, {{keys, Visible::kAll, {}}, {count, Visible::kCausal, {}}}, 12);
      at::Tensor mask = random_mask(count, keys, 7, 0.02);
      mask.narrow(0, 3, 2).fill_(false);
      mask.narrow(0, 0, std::min<std::int64_t>(count, 128)).narrow(1, 0, 250).fill_(false);  // a block that nobody sees
      mask.select(1, keys - 1).fill_(true);
      check(shape, {{keys, Visible::kMask, mask}}, 13);
      check(shape, {{keys, Visible::kMask, mask.t().contiguous().t()}}, 13);
    }
}

TEST_CASE("gradients of some tensors only") {
  const Shape shape{2, 4, 2, 9, 8};
  const std::vector<Keys> parts = {{20, Visible::kAll, {}}, {9, Visible::kCausal, {}}};
  for (std::size_t only = 0; only < 6; ++only) {
    Inputs in = inputs(shape, parts, 14), all_but = in;
    for (std::size_t i = 0; i < 6; ++i)
      if (i != only) in[i] = in[i].detach();
    all_but[only] = all_but[only].detach();
    check(parts, in);
    check(parts, all_but);
  }
}

TEST_CASE("gradient of tensors that several parts share, as they lie") {
  // One rotated query for both parts; keys and values cut from a cache; queries as projections leave them.
  const std::vector<Keys> parts = {{20, Visible::kAll, {}}, {5, Visible::kCausal, {}}};
  const auto op = [&](bool is_plain) {
    return [&, is_plain](const Inputs& in) {
      const at::Tensor q = in[0].transpose(1, 2), k = in[1].transpose(1, 2), v = in[2].transpose(2, 3);
      return op_of(parts, is_plain)({q, k.narrow(2, 3, 20), v.narrow(2, 3, 20), q, k.narrow(2, 23, 5), v.narrow(2, 23, 5)});
    };
  };
  check_gradients(op(false), op(true),
                  {leaf(normal({2, 5, 4, 12}, 15)), leaf(normal({2, 40, 2, 12}, 16)), leaf(normal({2, 2, 12, 40}, 17))}, 1e-5);
}

TEST_CASE("gradient of the sum of what is attended to") {
  // One number, spread with strides of 0.
  const Shape shape{1, 2, 1, 6, 8};
  const std::vector<Keys> parts = {{7, Visible::kAll, {}}};
  Inputs in = inputs(shape, parts, 18), wide = in;
  for (at::Tensor& x : in) x = leaf(x.to(at::kFloat));
  op_of(parts, false)(in).sum().backward();
  op_of(parts, true)(wide).sum().backward();
  for (std::size_t i = 0; i < 3; ++i) CHECK((in[i].grad() - wide[i].grad()).abs().max().item<double>() < 1e-5);
}

TEST_CASE("more parts than are recorded at once still have gradients") {
  const Shape shape{1, 2, 1, 3, 4};
  const std::vector<Keys> parts(6, Keys{5, Visible::kAll, {}});
  const Inputs in = inputs(shape, parts, 19);
  const at::Tensor slope = normal({1, 2, 3, 4}, 20);
  const auto fast = test::derive(op_of(parts, false), in, slope, at::kFloat),
             exact = test::derive(op_of(parts, true), in, slope, at::kDouble);
  for (std::size_t i = 0; i < in.size(); ++i) CHECK(test::relative_error(fast.slopes[i], exact.slopes[i]) < 1e-5);
}

}  // namespace
}  // namespace uio::kernels
