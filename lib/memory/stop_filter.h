// Generated text up to the first stop string. Torch-free.
#pragma once

#include <string>
#include <vector>

namespace uio {

// Text as it may be shown: held back while it could still become a stop string. The stop string that is whole first counts; of
// several that end together, the longest. Stop strings are not empty.
class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  bool is_stopped() const { return is_stopped_; }
  // What can be shown now that `text` has come; nothing more after a stop string.
  std::string add(const std::string& text);
  // What was held back, as nothing more comes.
  std::string finish();

 private:
  std::string take(std::size_t count);

  std::vector<std::string> stops_;
  std::string held_;
  bool is_stopped_ = false;
};

}  // namespace uio
