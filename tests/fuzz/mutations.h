// Seeded damage: to bytes, to frames, to fields, with and without making checksums right again.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace uio::fuzz {

using Random = std::mt19937_64;

// A number below `bound`, which is not 0.
inline std::size_t below(Random& random, std::size_t bound) { return random() % bound; }

// One to eight changes to bytes: flips, overwrites, insertions, removals, repeats, cuts, pieces of `other`.
void mutate_bytes(std::string& bytes, const std::string& other, Random& random);

struct Mutated {
  std::string bytes;
  bool is_repaired = false;  // a checksum was computed anew, so that the stream may be sound
};

// A mutation of one stream of the corpus, spliced with others. Half of them only damage bytes; the other half change fields,
// maps, payloads and the order of frames and then repair some or all of lengths, checksums, links and counts.
Mutated mutate_stream(const std::vector<std::string>& corpus, Random& random);

// A mutation of a safetensors file.
std::string mutate_safetensors(const std::vector<std::string>& corpus, Random& random);

// Small sound safetensors files to begin with.
std::vector<std::string> safetensors_corpus();

}  // namespace uio::fuzz
