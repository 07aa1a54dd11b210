#include "train/agreement.h"

#include "base/error.h"

namespace uio {

void check_agreement(Processes& processes, const Json& mine) {
  const std::vector<std::string> all = processes.gather(mine.dump());
  processes.together([&] {
    const Json first = Json::parse(all.front());
    for (std::size_t r = 1; r < all.size(); ++r) {
      const Json other = Json::parse(all[r]);
      for (const auto& [name, value] : first.items())
        if (!other.contains(name) || other.at(name) != value)
          throw Error(ErrorKind::kMismatch, "the processes of the run differ", "process " + std::to_string(r),
                      name + " is " + (other.contains(name) ? other.at(name).dump() : "absent") + ", of process 0 " + value.dump(),
                      "give all the same arguments, and files that do not change");
    }
  });
}

}  // namespace uio
