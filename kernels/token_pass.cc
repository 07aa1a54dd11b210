// Ladder: (1) reference: the ops one by one. (2) two passes of the threads a layer with attention between them (few_row_layer.h): forks, joins and small tensors took
// 0.5 ms of a token of the 134M benchmark, a tenth of the time to read its weights in int8. (3) shipped: one pass, attention's heads among the tasks. Bound: reading
// weights, keys and values once.
#include "kernels/token_pass.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "kernels/few_row_phases.h"
#include "kernels/rows.h"

namespace uio::kernels {
namespace {

// One thread's scratch.
struct Member {
  Member(const TokenLayer& layer, std::int64_t rows, std::int64_t index)
      : normed(floats(rows * layer.projections[0].in)), input(layer.projections[0].dtype, rows, layer.projections[0].in), finish(layer.rest, rows, index) {}
  std::unique_ptr<float[]> normed;  // [R, D]
  RowInput input;
  FinishPhases::Member finish;
};

class LayerPhases {
 public:
  LayerPhases(const TokenLayer& layer, std::span<const TokenCache> caches, const TokenPass& pass, std::int64_t members)
      : layer_(layer),
        caches_(caches),
        pass_(pass),
        rows_(static_cast<std::int64_t>(caches.size())),
        outs_{layer.projections[0].out, layer.projections[1].out, layer.projections[2].out},
        projected_{floats(rows_ * outs_[0]), floats(rows_ * outs_[1]), floats(rows_ * outs_[2])},
        attended_(floats(rows_ * outs_[0])),
        out_(floats(rows_ * layer.rest.down.out)),
        shares_(layer.projections, members),
        groups_(rows_ * pass.heads.groups, members),
        finish_(layer.rest, rows_, pass.computed, members) {}

  // Asks for what a member reads first.
  void warm(std::int64_t member) const { shares_.warm(member); }
  // What each thread calls: the residual stream x [R, D] becomes that after the layer, which is complete when wait() returns it.
  void run(const float* x, Member& mine) {
    set_normed(x, rows_, layer_.norm, pass_.epsilon, pass_.computed, mine.normed.get(), mine.input);
    shares_.take(mine.finish.index, [&](std::size_t which, std::int64_t first, std::int64_t count) {
      mine.input.multiply(layer_.projections[which], first, count, projected_[which].get(), outs_[which]);
      for (std::int64_t row = 0; row < rows_; ++row) keep_projected(which, row, first, count);
    });
    warm_group(groups_.begin_of(mine.finish.index));
    shares_.wait();
    groups_.take(mine.finish.index, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        warm_group(i + 1);
        attend(i / pass_.heads.groups, i % pass_.heads.groups);
      }
    });
    finish_.warm(mine.finish.index);
    groups_.wait();
    finish_.run(x, attended_.get(), out_.get(), mine.finish);
  }
  const float* wait() const {
    finish_.wait();
    return out_.get();
  }

 private:
  // Part of a row of a projection as the op would have kept it, with its bias.
  void keep_projected(std::size_t which, std::int64_t row, std::int64_t first, std::int64_t count) {
    float* values = projected_[which].get() + row * outs_[which] + first;
    round_if(pass_.computed, values, count);
    if (!layer_.biases[which].defined()) return;
    row_kernels().add_f32(values, layer_.biases[which].const_data_ptr<float>() + first, values, count);
    round_if(pass_.computed, values, count);
  }

  void warm_group(std::int64_t i) const {
    if (i < rows_ * pass_.heads.groups) kernels::warm(caches_[static_cast<std::size_t>(i / pass_.heads.groups)], i % pass_.heads.groups, pass_.heads);
  }
  void attend(std::int64_t row, std::int64_t group) {
    const std::int64_t size = pass_.heads.size, shared = pass_.heads.shared();
    float* const queries = projected_[0].get() + row * outs_[0] + group * shared * size;
    float* const key = projected_[1].get() + row * outs_[1] + group * size;
    const auto& [query_norm, key_norm] = layer_.head_norms;
    if (query_norm.defined()) norm_rows(queries, shared, query_norm, pass_.epsilon, pass_.computed, queries);
    if (key_norm.defined()) norm_rows(key, 1, key_norm, pass_.epsilon, pass_.computed, key);
    attend_group(queries, key, projected_[2].get() + row * outs_[2] + group * size, caches_[static_cast<std::size_t>(row)], group, pass_.heads, pass_.scale,
                 attended_.get() + row * outs_[0] + group * shared * size);
  }

  const TokenLayer& layer_;
  std::span<const TokenCache> caches_;  // of each row
  const TokenPass& pass_;
  std::int64_t rows_;
  std::array<std::int64_t, 3> outs_;
  std::array<std::unique_ptr<float[]>, 3> projected_;  // [R, out]
  std::unique_ptr<float[]> attended_, out_;            // [R, H·d], [R, D]
  Shares shares_;
  Tasks groups_;  // each row's KV heads
  FinishPhases finish_;
};

}  // namespace

at::Tensor pass_tokens(const at::Tensor& x, std::span<const TokenLayer> layers, std::span<const TokenCache> caches, const TokenPass& pass) {
  const std::size_t rows = caches.size() / layers.size();
  const std::int64_t threads = FinishPhases::worth(layers.front().rest);
  std::deque<LayerPhases> phases;  // which do not move
  for (std::size_t l = 0; l < layers.size(); ++l) phases.emplace_back(layers[l], caches.subspan(l * rows, rows), pass, threads);
  std::vector<Member> members;
  for (std::int64_t i = 0; i < threads; ++i) members.emplace_back(layers.front(), static_cast<std::int64_t>(rows), i);
  const at::Tensor out = at::empty_like(x);
  for_each_member(threads, [&](std::int64_t member) {
    Member& mine = members[static_cast<std::size_t>(member)];
    const float* stream = x.const_data_ptr<float>();
    for (std::size_t l = 0; l < phases.size(); ++l) {
      phases[l].run(stream, mine);
      if (l + 1 < phases.size()) phases[l + 1].warm(member);
      stream = phases[l].wait();
    }
    if (member == 0) std::copy_n(stream, out.numel(), out.mutable_data_ptr<float>());
  });
  return out;
}

}  // namespace uio::kernels
