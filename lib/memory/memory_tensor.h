// Memories of the tensor part to and from the records that travel in streams.
#pragma once

#include "io/quantise.h"
#include "io/record.h"
#include "memory/method.h"

namespace uio {

// The record of one segment without its tensors: all of it but what is computed.
Memory memory_header(const Segment& segment, const MemoryMethod& method, const Model& model, Form form);
// What the device on which a tensor [matrices, M, columns] lies finds for it (kernels/nearest_runs.h); exact where it has no kernel for that.
RoundedTensor rounded_there(const at::Tensor& tensor, Along along, Precision precision);
// Puts the tensors of one encoded segment into such a record: `hidden` [N, M, D], or in the kv form `keys` and `values` [N, G, M, d]. Where they lie on a device that
// can, it finds there how they are to be kept with the precision that the record will have.
void set_tensors(Memory& memory, const at::Tensor& hidden, const at::Tensor& keys, const at::Tensor& values, Precision precision = Precision::kExact);
// The record of one encoded segment. `hidden` [N, M, D]; in the kv form `kv` holds its keys and values [N, G, M, d].
Memory to_record(const Segment& segment, const MemoryMethod& method, const Model& model, Form form, const at::Tensor& hidden,
                 const at::Tensor& keys, const at::Tensor& values);

// Throws Error{kMismatch} naming both values when the record was made with another base, tokenizer, method or adapter, or has other shapes.
// `method` may be null: then kv forms of methods whose memories have positions are taken, whatever adapter made them. Only the header is looked at.
void check_record(const Memory& memory, const Model& model, const std::string& tokenizer, const MemoryMethod* method);
// Keys and values [1, N, G, M, d] of a record that passes check_record, un-rotated. Hidden forms go through the transfer head, which needs `method`.
KeysValues from_record(const Memory& memory, const Model& model, const std::string& tokenizer, const MemoryMethod* method);

// Hidden states [1, N, M, D] of a record in the hidden form that from_record() has taken.
at::Tensor hidden_from_record(const Memory& memory);

// What a memory's tensor [..., M, d] is after it was kept with this precision. Throws Error{kData} where it cannot be.
at::Tensor as_kept(const at::Tensor& tensor, Along along, Precision precision);
// The same of keys, along their channels, and values, along their tokens.
KeysValues as_kept(const KeysValues& memory, Precision precision);

}  // namespace uio
