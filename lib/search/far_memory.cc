#include "search/far_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "kernels/far_search.h"
#include "kernels/nearest.h"
#include "kernels/policy.h"
#include "search/widen.h"
#include "model/tensor.h"

namespace uio {
namespace {

constexpr std::int64_t kFoundAtOnce = std::int64_t{1} << 23;

// How many of the rows in `wanted` [..., κ] are in `found`, each of which has a row once.
void count_found(const at::Tensor& wanted, const at::Tensor& found, SearchTally& tally) {
  const at::Tensor a = std::get<0>(at::sort(wanted)).contiguous(), b = std::get<0>(at::sort(found)).contiguous();
  const std::int64_t most = a.size(-1), other = b.size(-1);
  for (std::int64_t row = 0; row < a.numel() / most; ++row) {
    const std::int64_t* const x = a.const_data_ptr<std::int64_t>() + row * most;
    const std::int64_t* const y = b.const_data_ptr<std::int64_t>() + row * other;
    for (std::int64_t i = 0; i < most; ++i) {
      if (x[i] < 0) continue;
      ++tally.wanted;
      tally.found += std::binary_search(y, y + other, x[i]);
    }
  }
}

}  // namespace

// The rows of one memory layer: of files first, then of the buffer.
class LayerRows : public kernels::FarRows {
 public:
  LayerRows(const FarMemory& memory, std::size_t number, at::ScalarType computed) : memory_(memory), number_(number), computed_(computed) {
    const RowBuffer& grown = memory.grown_[number];
    if (grown.keys.defined()) keys_ = grown.keys.flatten(0, 1), values_ = grown.values.flatten(0, 1);
  }
  std::int64_t count() const override { return memory_.length(); }
  const float* keys(std::int64_t m, std::int64_t begin, std::int64_t count, float* to) const override { return read(Side::kKeys, m, begin, count, to); }
  const double* keys(std::int64_t m, std::int64_t begin, std::int64_t count, double* to) const override { return read(Side::kKeys, m, begin, count, to); }
  void named_keys(std::int64_t m, std::span<const std::int64_t> rows, float* to) const override { read_named(Side::kKeys, m, rows, to); }
  void named_keys(std::int64_t m, std::span<const std::int64_t> rows, double* to) const override { read_named(Side::kKeys, m, rows, to); }
  void named_values(std::int64_t m, std::span<const std::int64_t> rows, float* to) const override { read_named(Side::kValues, m, rows, to); }
  void named_values(std::int64_t m, std::span<const std::int64_t> rows, double* to) const override { read_named(Side::kValues, m, rows, to); }

 private:
  template <typename Real>
  const Real* read(Side side, std::int64_t matrix, std::int64_t begin, std::int64_t count, Real* to) const {
    const at::Tensor& grown = side == Side::kKeys ? keys_ : values_;
    const std::int64_t end = begin + count, grown_begin = memory_.length() - memory_.grown_length_;
    if (begin >= grown_begin) return read_grown(grown, matrix, begin - grown_begin, count, to);
    Real* next = to;
    for (const FarMemory::Stored& piece : memory_.stored_) {
      const std::int64_t first = std::max(begin, piece.begin), last = std::min(end, piece.begin + piece.count);
      if (first >= last) continue;
      read_file(piece.memory->rows, side, matrix, first - piece.begin, last - first, side == Side::kKeys ? memory_.key_scale_ : 1, next);
      next += (last - first) * piece.memory->rows.head_size();
    }
    if (const std::int64_t first = std::max(begin, memory_.stored_length_), last = std::min(end, grown_begin); first < last) {
      read_file(*memory_.spilled_, side, matrix, first - memory_.stored_length_, last - first, 1, next);
      next += (last - first) * memory_.spilled_->head_size();
    }
    if (end > grown_begin) {
      const std::int64_t rows = end - grown_begin;
      if (const Real* found = read_grown(grown, matrix, 0, rows, next); found != next) std::copy(found, found + rows * grown.size(2), next);
    }
    return to;
  }

  template <typename Real>
  void read_named(Side side, std::int64_t matrix, std::span<const std::int64_t> rows, Real* to) const {
    const at::Tensor& grown = side == Side::kKeys ? keys_ : values_;
    const std::int64_t size = grown.defined() ? grown.size(2) : memory_.stored_.front().memory->rows.head_size(), grown_begin = memory_.length() - memory_.grown_length_;
    for (const std::int64_t row : rows)
      if (row >= grown_begin) __builtin_prefetch(grown_row(grown, matrix, row - grown_begin));
    while (!rows.empty()) {
      // Those of one file go together, others one by one.
      const FarMemory::Stored* const piece = piece_of(rows.front());
      const auto end = std::ranges::find_if(rows, [&](std::int64_t row) { return piece == nullptr || row < piece->begin || row >= piece->begin + piece->count; });
      const std::size_t count = std::max<std::size_t>(1, static_cast<std::size_t>(end - rows.begin()));
      if (piece != nullptr) {
        const StoredRows& stored = piece->memory->rows;
        read_raw(stored.dtype(), static_cast<std::int64_t>(count) * size, side == Side::kKeys ? memory_.key_scale_ : 1, to, [&](std::span<std::byte> raw) {
          stored.copy_named(side, static_cast<std::int64_t>(number_), matrix, rows.first(count), piece->begin, raw);
        });
      } else if (const Real* const found = read(side, matrix, rows.front(), 1, to); found != to) {
        std::copy(found, found + size, to);
      }
      rows = rows.subspan(count);
      to += static_cast<std::int64_t>(count) * size;
    }
  }
  const FarMemory::Stored* piece_of(std::int64_t row) const {
    if (row >= memory_.stored_length_) return nullptr;
    return &*std::ranges::find_if(memory_.stored_, [&](const FarMemory::Stored& piece) { return row < piece.begin + piece.count; });
  }

  static const std::byte* grown_row(const at::Tensor& grown, std::int64_t matrix, std::int64_t row) {
    return static_cast<const std::byte*>(grown.const_data_ptr()) + (matrix * grown.size(1) + row) * grown.size(2) * grown.element_size();
  }
  template <typename Real>
  static const Real* read_grown(const at::Tensor& grown, std::int64_t matrix, std::int64_t begin, std::int64_t count, Real* to) {
    const std::byte* const items = grown_row(grown, matrix, begin);
    if (grown.scalar_type() == c10::CppTypeToScalarType<Real>::value) return reinterpret_cast<const Real*>(items);
    widen(items, dtype_of(grown.scalar_type()), count * grown.size(2), to);
    return to;
  }

  // Of StoredRows or SpilledRows, times `factor`.
  template <typename Rows, typename Real>
  void read_file(const Rows& rows, Side side, std::int64_t matrix, std::int64_t begin, std::int64_t count, double factor, Real* to) const {
    read_raw(rows.dtype(), count * rows.head_size(), factor, to, [&](std::span<std::byte> raw) { rows.copy(side, static_cast<std::int64_t>(number_), matrix, begin, count, raw); });
  }
  // `items` numbers of `dtype` that copy(bytes) gets, widened and times `factor`.
  template <typename Real, typename Copy>
  void read_raw(DType dtype, std::int64_t items, double factor, Real* to, const Copy& copy) const {
    const std::size_t bytes = static_cast<std::size_t>(items) * item_bytes(dtype);
    if (scalar_type_of(dtype) == c10::CppTypeToScalarType<Real>::value) {
      copy(std::span(reinterpret_cast<std::byte*>(to), bytes));
    } else {
      thread_local std::vector<std::byte> raw;
      if (raw.size() < bytes) raw.resize(bytes);
      copy(std::span(raw).first(bytes));
      widen(raw.data(), dtype, items, to);
    }
    if (factor == 1) return;
    at::Tensor scaled = at::from_blob(to, {items}, c10::CppTypeToScalarType<Real>::value);
    scaled.copy_(scaled.to(computed_).mul(factor));
  }

  const FarMemory& memory_;
  std::size_t number_;
  at::ScalarType computed_;
  at::Tensor keys_, values_;  // [B·G, room, d]
};

void FarMemory::add_stored(const std::shared_ptr<const StoredMemory>& stored, std::int64_t count) {
  if (settings_.nearest == 0) throw Error(ErrorKind::kInternal, "memory that stays in its file", stored->rows.path(), "all of it is to be seen");
  if (stored_.empty() || stored_.back().memory != stored || stored_.back().is_whole()) stored_.push_back({stored, stored_length_, 0});
  stored_.back().count += count;
  stored_length_ += count;
}

void FarMemory::grow(std::int64_t count) {
  grown_length_ += count;
  if (settings_.spill_folder.empty() || settings_.nearest == 0 || kernels::is_reference_forced()) return;
  if (!spilled_) {
    const at::Tensor& keys = grown_.front().keys;
    // What was made of the dtype of memories by widening alone goes back to it without a loss.
    const DType computed = dtype_of(keys.scalar_type());
    const bool is_same = key_scale_ == 1 && at::promote_types(keys.scalar_type(), scalar_type_of(kept_)) == keys.scalar_type();
    const SpilledRows::Shape shape{static_cast<std::int64_t>(grown_.size()), keys.size(0) * keys.size(1), keys.size(3), is_same ? kept_ : computed};
    spilled_ = std::make_unique<SpilledRows>(settings_.spill_folder, shape, settings_.spill_bytes);
  }
  while (grown_length_ >= spilled_->stretch()) spill();
}

// The first stretch of what grew goes to the file, what is behind it to the front.
void FarMemory::spill() {
  const std::int64_t stretch = spilled_->stretch(), rest = grown_length_ - stretch;
  for (const RowBuffer& buffer : grown_) {
    const auto as_kept = [&](const at::Tensor& rows) { return rows.narrow(2, 0, stretch).to(scalar_type_of(spilled_->dtype())).contiguous(); };
    const at::Tensor keys = as_kept(buffer.keys), values = as_kept(buffer.values);
    spilled_->write(bytes_of(keys), bytes_of(values));
    for (const at::Tensor& rows : {buffer.keys, buffer.values})
      if (rest > 0) rows.narrow(2, 0, rest).copy_(rows.narrow(2, stretch, rest).clone());
  }
  grown_length_ = rest;
}

kernels::AttentionPart FarMemory::grown_part(std::size_t number, const at::Tensor& queries) const {
  const RowBuffer& grown = grown_[number];
  return {queries, grown.keys.narrow(2, 0, grown_length_), grown.values.narrow(2, 0, grown_length_), kernels::Visible::kAll, {}};
}

at::Tensor FarMemory::attend(std::size_t number, const at::Tensor& queries, std::vector<kernels::AttentionPart> local, double scale) const {
  if (settings_.nearest == 0) {
    local.push_back(grown_part(number, queries));
    return kernels::attention(local, scale);
  }
  if (length() == grown_length_ && (!queries.is_cpu() || kernels::is_reference_forced()))
    return kernels::attention_nearest(local, grown_part(number, queries), settings_.nearest, scale);

  const LayerRows rows(*this, number, queries.scalar_type());
  // What is found for the queries that go at once is bounded, however many keys are wanted.
  const std::int64_t groups = local.front().keys.size(1), count = std::min(settings_.nearest, length());
  const std::int64_t total = queries.size(2), at_once = std::clamp<std::int64_t>(kFoundAtOnce / (queries.size(0) * queries.size(1) * count), 1, total);
  at::Tensor out = at::empty({queries.size(0), total, queries.size(1), queries.size(3)}, queries.options());
  for (std::int64_t begin = 0; begin < total; begin += at_once) {
    const at::Tensor some = queries.narrow(2, begin, std::min(at_once, total - begin));
    const kernels::Found found = find(number, some, groups, rows, count);
    out.narrow(1, begin, some.size(2)).copy_(kernels::attention_found(local, begin, some, groups, rows, found, scale).transpose(1, 2));
  }
  return out.transpose(1, 2);
}

kernels::Found FarMemory::find(std::size_t number, const at::Tensor& queries, std::int64_t groups, const kernels::FarRows& rows, std::int64_t count) const {
  const auto exact = [&](std::int64_t begin, std::int64_t end) { return kernels::find_nearest(queries, groups, rows, begin, end, count); };
  kernels::Found best;
  std::int64_t done = 0;
  const auto add = [&](const kernels::Found& found) { best = best.scores.defined() ? kernels::best_of(best, found, count) : found; };
  for (const Stored& piece : stored_) {
    if (!settings_.by_index || !piece.memory->index || !piece.is_whole()) continue;  // an index knows all rows of its blob, also those that are not memory yet
    if (done < piece.begin) add(exact(done, piece.begin));
    add(piece.memory->index->find(static_cast<std::int64_t>(number), queries, groups, rows, piece.begin, count));
    done = piece.begin + piece.count;
  }
  if (done < length()) add(exact(done, length()));
  if (tally_ && settings_.by_index) count_found(exact(0, length()).index, best.index, *tally_);
  return best;
}

}  // namespace uio
