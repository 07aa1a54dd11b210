// How memory of keys and values is searched.
#pragma once

#include <cstdint>
#include <string>

namespace uio {

struct SearchSettings {
  std::int64_t nearest = 0;  // keys that a query sees of the memory, for each head; 0: all of it
  bool by_index = false;     // with `nearest`: memory in files is searched with its index
  std::int64_t probe = 0;    // how much of an index a search looks at; 0: the index's own choice
  std::string spill_folder;  // with `nearest`: where memory lies that grows beyond this many bytes; empty: nothing leaves RAM
  std::int64_t spill_bytes = std::int64_t{1} << 24;
};

}  // namespace uio
