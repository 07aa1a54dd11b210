// One answer: what to continue from, how, and the text as it is made.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/jobs.h"
#include "io/record.h"
#include "memory/setup.h"

namespace uio {

struct GenerateRequest {
  std::vector<std::string> memory;  // blobs, in order; "-" is standard input
  std::string prompt;
  int max_tokens = 128;
  Sampling sampling;
  std::uint64_t seed = 0;
  bool ignore_eos = false;
  bool drop_oldest = false;
};

struct GenerateResult {
  std::string text;
  std::vector<std::int32_t> tokens;
  const char* finish = "length";  // "length", "stop", "eos"
  // The grown memory: what was read, with the local text compressed as far as it filled segments and its rest as the tail.
  std::vector<Record> grown;
  Provenance provenance;
};

// `emit` gets whole UTF-8 characters as they are certain (a stop string is never begun). `keep_grown`: fill `grown`.
// Throws what reading and capacity throw, and Error{kUsage} when there is nothing to continue from.
GenerateResult generate(const Ready& ready, const GenerateRequest& request, bool keep_grown,
                        const std::function<void(const std::string&)>& emit, Host& host);

}  // namespace uio
