// What compressing by the method `uio` takes, from shapes alone. The other half of uio.cc: what is changed there is changed here.
#pragma once

#include <cstdint>
#include <string>

#include "io/record.h"
#include "memory/adapter.h"
#include "model/model.h"

namespace uio {

// As CompressionCost asks for them. Of `adapter` only the configuration is used.
double uio_flops(const ModelConfig& model, const Adapter& adapter, std::int64_t tokens, Form form);
void uio_rehearse(const ModelConfig& model, const AdapterConfig& adapter, const Placement& placement, std::int64_t batch, std::int64_t tokens, Form form);
bool uio_reads(const ModelConfig& model, const std::string& weight, Form form);

}  // namespace uio
