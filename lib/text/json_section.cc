#include "text/json_section.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/quote.h"

namespace uio {

JsonSection::JsonSection(const Json& value, std::string place, const std::string& subject)
    : value_(value), place_(std::move(place)), subject_(subject) {
  if (!value.is_object()) damage((place_.empty() ? "it" : place_) + " is not a JSON object");
}

void JsonSection::allow(std::initializer_list<const char*> known) const {
  for (const auto& [key, value] : value_.items()) {
    if (std::none_of(known.begin(), known.end(), [&](const char* name) { return key == name; })) {
      refuse((place_.empty() ? "the key " : place_ + ": the key ") + quote(key) + " is not supported");
    }
  }
}

const Json& JsonSection::get(const char* key) const {
  static const Json null;
  const auto found = value_.find(key);
  return found == value_.end() ? null : *found;
}

bool JsonSection::flag(const char* key, bool otherwise) const {
  const Json& value = get(key);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) damage(name_of(key) + " is not true or false");
  return value.get<bool>();
}

std::string JsonSection::text(const char* key) const {
  const Json& value = get(key);
  if (value.is_null()) return {};
  if (!value.is_string()) damage(name_of(key) + " is not a string");
  return value.get<std::string>();
}

std::int64_t JsonSection::number(const char* key) const {
  const Json& value = get(key);
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() || value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max());
  if (!fits) damage(name_of(key) + " is not a whole number");
  return value.get<std::int64_t>();
}

const Json& JsonSection::list(const char* key) const {
  const Json& value = get(key);
  if (!value.is_array()) damage(name_of(key) + " is not a list");
  return value;
}

JsonSection JsonSection::section(const char* key) const { return JsonSection(get(key), name_of(key), subject_); }

void JsonSection::refuse(const std::string& reason) const {
  throw Error(ErrorKind::kMismatch, "unsupported tokenizer", subject_, reason);
}

void JsonSection::damage(const std::string& reason) const {
  throw Error(ErrorKind::kData, "wrong tokenizer", subject_, reason);
}

}  // namespace uio
