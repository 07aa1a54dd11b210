// Switches the ops to their plain compositions, for the tests that compare the two.
#pragma once

#include "kernels/policy.h"

namespace uio::test {

// The plain compositions for the life of this object.
class ForceReference {
 public:
  ForceReference() : before_(kernels::is_reference_forced()) { kernels::force_reference(true); }
  ~ForceReference() { kernels::force_reference(before_); }

 private:
  bool before_;
};

}  // namespace uio::test
