// The fused losses of a head beyond the cases of tests/ops: log-probabilities, weights of 0, other types, what is refused.
#include "kernels/cross_entropy.h"

#include <catch2/catch.hpp>

#include "base/error.h"
#include "unit/kernels/gradients.h"

namespace uio::kernels {
namespace {

using test::check_gradients;
using test::leaf;
using test::normal;
using test::relative_error;
using Inputs = std::vector<at::Tensor>;


at::Tensor ids(std::int64_t count, std::int64_t vocabulary, std::uint64_t seed) {
  return (normal({count}, seed).abs() * 1e6).to(at::kLong).remainder(vocabulary);
}

// rows, head, targets, weights.
at::Tensor fused(const Inputs& in) { return cross_entropy(in[0], in[1], in[2], in[3]).loss; }
at::Tensor plain(const Inputs& in) {
  const at::Tensor shares = at::log_softmax(at::matmul(in[0], in[1].t()), -1);
  return -(shares.gather(1, in[2].unsqueeze(1)).squeeze(1) * in[3]).sum();
}

// rows, head, teacher's rows, teacher's head, weights.
at::Tensor fused_soft(const Inputs& in) { return cross_entropy_soft(in[0], in[1], in[2], in[3], in[4]); }
at::Tensor plain_soft(const Inputs& in) {
  const at::Tensor shares = at::log_softmax(at::matmul(in[0], in[1].t()), -1),
                   wanted = at::log_softmax(at::matmul(in[2], in[3].t()), -1);
  return ((wanted.exp() * (wanted - shares)).sum(1) * in[4]).sum();
}

struct Shape {
  std::int64_t rows, size, vocabulary;
};
// Odd ones, one of many chunks (a chunk has 2048 rows at most), several tiles of words.
constexpr Shape kShapes[] = {{1, 1, 1}, {1, 8, 3}, {7, 5, 17}, {130, 33, 300}, {257, 48, 1025}, {2100, 12, 37}, {70, 20, 5000}};

TEST_CASE("cross-entropy: gradients of one input, log-probabilities") {
  for (const Shape& shape : kShapes) {
    INFO(shape.rows << " rows of " << shape.size << ", " << shape.vocabulary << " words");
    const at::Tensor rows = normal({shape.rows, shape.size}, 1), head = normal({shape.vocabulary, shape.size}, 2),
                     targets = ids(shape.rows, shape.vocabulary, 3), weights = normal({shape.rows}, 4).abs();
    check_gradients(fused, plain, {leaf(rows), head, targets, weights}, 1e-5);
    check_gradients(fused, plain, {rows, leaf(head), targets, weights}, 1e-5);
    const at::Tensor all = at::log_softmax(at::matmul(rows, head.t()), -1).gather(1, targets.unsqueeze(1)).squeeze(1);
    const CrossEntropy found = cross_entropy(leaf(rows.to(at::kFloat)), head.to(at::kFloat), targets, weights);
    CHECK(relative_error(found.log_probabilities, all) < 1e-5);
    CHECK_FALSE(found.log_probabilities.requires_grad());
    CHECK(found.loss.requires_grad());
    const at::NoGradGuard nothing;
    CHECK(at::equal(cross_entropy(rows.to(at::kFloat), head.to(at::kFloat), targets, weights).log_probabilities,
                    found.log_probabilities));
    CHECK(relative_error(cross_entropy(rows, head, targets, weights).loss, plain({rows, head, targets, weights})) < 1e-12);
  }
}

TEST_CASE("a student that says what its teacher says; a head that is fixed") {
  const at::Tensor rows = normal({5, 8}, 7, at::kFloat), head = normal({40, 8}, 8, at::kFloat);
  CHECK(std::abs(cross_entropy_soft(rows, head, rows, head, at::ones({5})).item<double>()) < 1e-6);
  check_gradients(fused_soft, plain_soft, {leaf(rows), head, normal({5, 9}, 5), normal({40, 9}, 6), at::ones({5}, at::kDouble)}, 1e-5);
  check_gradients(fused_soft, plain_soft, {rows, leaf(head), normal({5, 9}, 5), normal({40, 9}, 6), at::ones({5}, at::kDouble)}, 1e-5);
}

TEST_CASE("the plain way gives the same") {
  const at::Tensor rows = normal({300, 24}, 15, at::kFloat), head = normal({500, 24}, 16, at::kFloat),
                   targets = ids(300, 500, 17), weights = normal({300}, 18).abs();
  const auto derived = [&](const test::Op& op, const at::Tensor& third, const at::Tensor& fourth) {
    return test::derive(op, {leaf(rows), leaf(head), third, fourth, weights}, at::ones({}), at::kFloat);
  };
  const at::Tensor teacher = normal({300, 9}, 19), teacher_head = normal({500, 9}, 20);
  const auto fast = derived(fused, targets, weights), fast_soft = derived(fused_soft, teacher, teacher_head);
  const test::ForceReference forced;
  const auto slow = derived(fused, targets, weights), slow_soft = derived(fused_soft, teacher, teacher_head);
  CHECK(relative_error(fast.value, slow.value) < 1e-6);
  CHECK(relative_error(fast_soft.value, slow_soft.value) < 1e-6);
  for (const std::size_t i : {0, 1}) {
    CHECK(relative_error(fast.slopes[i], slow.slopes[i]) < 1e-5);
    CHECK(relative_error(fast_soft.slopes[i], slow_soft.slopes[i]) < 1e-5);
  }
}

TEST_CASE("rows of weight 0 count for nothing, whatever their target") {
  at::Tensor weights = normal({90}, 21).abs(), targets = ids(90, 50, 22);
  const at::Tensor rows = normal({90, 16}, 23), head = normal({50, 16}, 24);
  const at::Tensor skipped = at::arange(90).remainder(3).eq(0);
  weights.masked_fill_(skipped, 0);
  check_gradients(fused, plain, {leaf(rows), leaf(head), targets, weights}, 1e-5);
  check_gradients(fused_soft, plain_soft, {leaf(rows), leaf(head), normal({90, 4}, 25), normal({50, 4}, 26), weights}, 1e-5);
  targets.masked_fill_(skipped, -100);
  const at::Tensor x = leaf(rows.to(at::kFloat));
  const CrossEntropy found = cross_entropy(x, head.to(at::kFloat), targets, weights);
  found.loss.backward();
  CHECK(found.log_probabilities.masked_select(skipped).abs().max().item<double>() == 0);
  CHECK(x.grad().index_select(0, skipped.nonzero().squeeze(1)).abs().max().item<double>() == 0);
  CHECK(found.loss.isfinite().item<bool>());
  // No row at all.
  const at::Tensor y = leaf(rows.to(at::kFloat)), w = leaf(head.to(at::kFloat));
  const CrossEntropy none = cross_entropy(y, w, targets, at::zeros({90}));
  none.loss.backward();
  CHECK(none.loss.item<double>() == 0);
  CHECK(y.grad().abs().max().item<double>() == 0);
  CHECK(w.grad().abs().max().item<double>() == 0);
  CHECK(cross_entropy(at::empty({0, 16}), head.to(at::kFloat), at::empty({0}, at::kLong), at::empty({0})).loss.item<double>() ==
        0);
}

TEST_CASE("heads in other types, rows that do not lie side by side, scaled losses") {
  const at::Tensor rows = normal({60, 16}, 27, at::kFloat), head = normal({80, 16}, 28, at::kBFloat16),
                   targets = ids(60, 80, 29), weights = at::full({60}, 1.0 / 60);
  const at::Tensor x = leaf(rows.t().contiguous().t()), w = leaf(head), y = leaf(rows.to(at::kDouble)),
                   v = leaf(head.to(at::kDouble));
  const at::Tensor found = cross_entropy(x, w, targets, weights).loss, exact = plain({y, v, targets, weights.to(at::kDouble)});
  CHECK(found.scalar_type() == at::kFloat);
  (found * 3).backward();
  (exact * 3).backward();
  CHECK(relative_error(found.detach(), exact.detach()) < 1e-6);
  CHECK(relative_error(x.grad(), y.grad()) < 1e-5);
  CHECK(w.grad().scalar_type() == at::kBFloat16);
  CHECK(relative_error(w.grad(), v.grad()) < 1e-2);
}

TEST_CASE("rows in bfloat16") {
  const at::Tensor rows = normal({30, 16}, 30, at::kBFloat16), head = normal({40, 16}, 31, at::kBFloat16),
                   targets = ids(30, 40, 32);
  const at::Tensor x = leaf(rows), y = leaf(rows.to(at::kDouble));
  const CrossEntropy found = cross_entropy(x, head, targets, at::ones({30}));
  const at::Tensor exact = plain({y, head.to(at::kDouble), targets, at::ones({30}, at::kDouble)});
  found.loss.backward();
  exact.backward();
  CHECK(found.loss.scalar_type() == at::kFloat);
  CHECK(relative_error(found.loss.detach(), exact.detach()) < 1e-2);
  CHECK(relative_error(x.grad(), y.grad()) < 2e-2);
}

TEST_CASE("what cannot be a target, what does not fit") {
  const at::Tensor rows = at::ones({2, 4}), head = at::ones({5, 4}), ones = at::ones({2});
  CHECK_THROWS_AS(cross_entropy(rows, head, at::tensor({0, 5}, at::kLong), ones), Error);
  CHECK_THROWS_AS(cross_entropy(rows, head, at::tensor({-1, 0}, at::kLong), ones), Error);
  CHECK_THROWS_AS(cross_entropy(rows, at::ones({5, 3}), at::tensor({0, 1}, at::kLong), ones), Error);
  CHECK_THROWS_AS(cross_entropy(rows, head, at::tensor({0, 1, 2}, at::kLong), ones), Error);
  CHECK_THROWS_AS(cross_entropy_soft(rows, head, rows, at::ones({6, 4}), ones), Error);
}

}  // namespace
}  // namespace uio::kernels
