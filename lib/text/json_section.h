// An object of a configuration file, read so that nothing in it is passed over.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "io/json.h"

namespace uio {

// Messages name `subject` (the file) and `place` (where in it). `value` outlives the section.
class JsonSection {
 public:
  // Throws Error{kData} unless `value` is an object.
  JsonSection(const Json& value, std::string place, const std::string& subject);

  // Throws Error{kMismatch} naming a key that is not among `known`.
  void allow(std::initializer_list<const char*> known) const;
  bool has(const char* key) const { return value_.contains(key) && !value_.at(key).is_null(); }
  // The value, null where it is absent.
  const Json& get(const char* key) const;
  // Each throws Error{kData} where the value is of another type.
  bool flag(const char* key, bool otherwise) const;
  std::string text(const char* key) const;  // empty where it is absent or null
  std::int64_t number(const char* key) const;
  const Json& list(const char* key) const;

  JsonSection section(const char* key) const;
  // The object `value`, which stands at this place too.
  JsonSection beside(const Json& value) const { return JsonSection(value, place_, subject_); }
  std::string name_of(const char* key) const { return place_.empty() ? key : place_ + "." + key; }

  [[noreturn]] void refuse(const std::string& reason) const;  // Error{kMismatch}
  [[noreturn]] void damage(const std::string& reason) const;  // Error{kData}

 private:
  const Json& value_;
  std::string place_;
  const std::string& subject_;
};

}  // namespace uio
