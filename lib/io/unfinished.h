// Names of temporaries that must go when the program stops before they are whole.
#pragma once

#include <string>

namespace uio {

// Holds one name in the list that remove_unfinished_files() goes through; removes the file when destroyed unless released.
class UnfinishedFile {
 public:
  // Throws Error{kInternal} when too many are open at once or the name is too long.
  explicit UnfinishedFile(const std::string& path);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  // The file has its final name now: nothing to remove.
  void release();

 private:
  int slot_;
};

}  // namespace uio
