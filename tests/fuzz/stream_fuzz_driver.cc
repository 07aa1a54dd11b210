// stream_fuzz_driver [--safetensors] N [SEED [FIRST]]: N mutations of the golden streams (or of safetensors files) through the
// fuzz target, without libFuzzer. Mutation i depends on SEED and i alone, so `1 SEED i` repeats it. Status 1 and a line on
// stderr for a finding; sanitizers end the program themselves, and the line then says at which mutation.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "fuzz/frames_of.h"
#include "fuzz/mutations.h"
#include "fuzz/stream_fuzz.h"

namespace {

using namespace uio::fuzz;

unsigned long long seed = 1, current = 0;

void report(const char* what) { std::fprintf(stderr, "finding at mutation %llu of seed %llu: %s\n", current, seed, what); }

void handle_abort(int) {
  report("aborted");
  _exit(1);
}

std::vector<std::string> stream_corpus() {
  const char* root = std::getenv("UIO_SOURCE_DIR");
  std::vector<std::string> corpus;
  std::set<std::filesystem::path> paths;  // in an order that does not depend on the file system
  for (const char* folder : {"pass", "fail"}) {
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(root ? root : ".") + "/tests/golden/stream/v1/" + folder)) {
      if (entry.path().extension() == ".uio") paths.insert(entry.path());
    }
  }
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// Without a checksum made right, only whole sections of sound streams can pass.
bool is_made_of(const std::string& bytes, const std::set<std::string>& sections) {
  std::size_t size = 0;
  for (const std::string& section : sections_of(bytes)) {
    if (!sections.contains(section)) return false;
    size += section.size();
  }
  return size == bytes.size();
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool is_safetensors = !arguments.empty() && arguments[0] == "--safetensors";
  if (is_safetensors) arguments.erase(arguments.begin());
  if (arguments.empty()) {
    std::fprintf(stderr, "usage: stream_fuzz_driver [--safetensors] N [SEED [FIRST]]\n");
    return 2;
  }
  const unsigned long long count = std::stoull(arguments[0]);
  if (arguments.size() > 1) seed = std::stoull(arguments[1]);
  const unsigned long long first = arguments.size() > 2 ? std::stoull(arguments[2]) : 0;
  std::signal(SIGABRT, handle_abort);

  const std::vector<std::string> corpus = is_safetensors ? safetensors_corpus() : stream_corpus();
  std::set<std::string> sections;
  for (const std::string& stream : corpus) {
    if (is_safetensors || !check_stream(stream)) continue;
    for (std::string& section : sections_of(stream)) sections.insert(std::move(section));
  }
  unsigned long long accepted = 0, repaired = 0, findings = 0;
  for (current = first; current < first + count; ++current) {
    std::seed_seq seeds{seed & 0xFFFFFFFF, seed >> 32, current & 0xFFFFFFFF, current >> 32};
    Random random(seeds);
    try {
      if (is_safetensors) {
        accepted += check_safetensors(mutate_safetensors(corpus, random));
        continue;
      }
      const Mutated mutated = mutate_stream(corpus, random);
      const bool is_accepted = check_stream(mutated.bytes);
      accepted += is_accepted;
      repaired += mutated.is_repaired;
      if (is_accepted && !mutated.is_repaired && !is_made_of(mutated.bytes, sections)) {
        report("damage was accepted");
        ++findings;
      }
    } catch (const std::exception& error) {
      report(error.what());
      ++findings;
    }
  }
  std::printf("%llu mutated %s, %llu findings (%llu repaired, %llu accepted)\n", count,
              is_safetensors ? "safetensors files" : "streams", findings, repaired, accepted);
  return findings == 0 ? 0 : 1;
}
