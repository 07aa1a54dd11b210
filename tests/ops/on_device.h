// An op of the table on another device than the one where its inputs are made.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "ops/op_table.h"

namespace uio::ops {

// The same op with inputs that are moved there first, and its result back; gradients go the same way.
inline Run on_device(const Run& run, at::Device device) {
  if (device.is_cpu()) return run;
  return [run, device](const Tensors& in) {
    Tensors there;
    for (const at::Tensor& x : in) there.push_back(x.defined() ? x.to(device) : x);
    return run(there).to(at::kCPU);
  };
}

// Until all that was queued on the device is done.
inline void wait_for(at::Device device) {
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.has_index() ? device.index() : at::DeviceIndex(0));
}

}  // namespace uio::ops
