// A memory method: how past text reaches the decoder. One file and one row of the table each (design: uio(7), METHODS).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/record.h"
#include "memory/adapter.h"
#include "memory/compression_cost.h"
#include "memory/decoder_session.h"
#include "memory/keys_values.h"
#include "memory/walk.h"
#include "model/model.h"
#include "text/boundaries.h"

namespace uio {

class MemoryMethod {
 public:
  virtual ~MemoryMethod() = default;
  // What it is made of and called; a method without trained parts has only the configuration and the fingerprint.
  virtual const Adapter& adapter() const = 0;
  // Whether a segment's memory depends on the memories before it in its document.
  virtual bool is_recurrent() const { return false; }
  // How documents are cut into segments, and which of these become memories; the others stay raw.
  virtual Cutting cutting() const { return {adapter().config.segment_length}; }
  virtual bool is_whole(const Segment& segment) const { return segment.is_full(); }
  // Fills what a header of `memory.form` and `memory.token_count` says of positions, dtype and shape. Throws Error{kMismatch} for a form
  // that it does not have.
  virtual void describe(Memory& memory) const = 0;
  // Hidden memories of whole segments, ids [B, n] int64 with n ≤ L (fewer than L where their content closed them): [B, N, M, D] in
  // placement.stored. A segment's memory does not depend on the others in the batch. `earlier`: those of the documents' segments before, oldest first, where the method is recurrent.
  // Differentiable in the adapter, in the base's weights and in `earlier`, where these require gradients; so is transfer().
  virtual at::Tensor encode(const at::Tensor& ids, std::span<const at::Tensor> earlier = {}) const = 0;
  // What the decoder reads: hidden [B, N, M, D] through the transfer head.
  virtual KeysValues transfer(const at::Tensor& hidden) const = 0;
  // What tokens find before them while it decodes; `positions`: how many may be needed, memories and tokens.
  virtual std::unique_ptr<TokenContext> make_context(std::int64_t positions) const = 0;
  // Its state machine of generation. `drop_oldest`: when positions run out the oldest memories go.
  virtual std::unique_ptr<DecoderSession> make_session(std::int64_t expected, bool drop_oldest) const = 0;
  // Whether walk() takes memory that stands before the document.
  virtual bool takes_memory_before() const { return false; }
  // Reads a document through its memories. Throws Error{kMismatch} where the model has not the positions.
  virtual void walk(const Walk& walk, const EmitRows& emit) const = 0;
  // What compressing a segment takes; null where that depends on the segments before it.
  virtual const CompressionCost* cost() const { return nullptr; }

  std::int64_t segment_length() const { return adapter().config.segment_length; }
  std::int64_t memory_length() const { return adapter().config.memory_length; }
};

struct MethodEntry {
  std::string_view name;     // as in adapter_config.json and in memories
  bool has_positions;        // memories of all layers, at positions of their own: a decoder can read their keys and values without the method
  std::string_view carrier;  // what a memory is
  std::string_view encoder;  // whether a segment's memory sees those before it
  std::string_view summary;
  std::unique_ptr<MemoryMethod> (*make)(const Model& model, Adapter adapter);
};

std::span<const MethodEntry> memory_methods();
// Throws Error{kMismatch} naming it when there is none such.
const MethodEntry& find_method(const std::string& name);
// The method that the adapter names, as find_method finds it. Keeps a reference to `model`.
std::unique_ptr<MemoryMethod> make_method(const Model& model, Adapter adapter);

std::unique_ptr<MemoryMethod> make_uio(const Model& model, Adapter adapter);
std::unique_ptr<MemoryMethod> make_fot(const Model& model, Adapter adapter);

}  // namespace uio
