// What the programs ask of the tensor part: one plain struct of options per program. Torch-free, so that arguments are
// parsed, --help answered and mistakes found before LibTorch is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/host.h"
#include "io/file.h"
#include "io/record.h"

namespace uio {

// Options that every program with a model shares.
struct ModelChoice {
  std::string model;            // directory
  std::string adapter;          // directory; empty: `adapter` inside the model directory; "fresh": an untrained one
  std::string device = "auto";  // auto, cpu, cuda, cuda:N
  std::string dtype = "auto";   // auto (the checkpoint's), f32, bf16, f16, f64
  int threads = 0;              // 0: as many as there are cores, or OMP_NUM_THREADS
  std::uint64_t seed = 0;
  std::uint32_t segment_length = 0;  // L; 0: the adapter's. Other than the adapter's only with "fresh"
  std::uint32_t memory_length = 0;   // M; likewise
  bool reference = false;            // UIO_FORCE_REFERENCE=1: plain compositions instead of the fast kernels
  std::string cache_dir;             // where hashes of weights are remembered; empty: nowhere
};

// What is the same for all jobs at run time.
struct JobIo {
  std::vector<std::string> inputs;  // operands; "-" is standard input
  Sink* output = nullptr;
  Host* host = nullptr;
  Stage stage;  // program, version, options that affect bytes: appended to the provenance of what is written
};

struct CompressJob {
  ModelChoice choice;
  Form form = Form::kKv;
  int batch = 0;  // segments at once; 0: chosen
  int level = 1;  // zstd
};

// How the next token is chosen. Temperature 0 is greedy.
struct Sampling {
  double temperature = 0;
  int top_k = 0;              // 0: all
  double top_p = 1;           // 1: all
  double min_p = 0;           // 0: all
  double repeat_penalty = 1;  // 1: none
  std::vector<std::string> stop;
};

struct DecodeJob {
  ModelChoice choice;
  std::string prompt;
  int max_tokens = 128;
  Sampling sampling;
  bool ignore_eos = false;
  bool drop_oldest = false;  // --overflow oldest
  bool serve = false;        // --jsonl: inputs are files of requests
  std::string save;          // --save FILE; empty: none
  int level = 1;
};

struct ScoreJob {
  ModelChoice choice;
  std::vector<std::string> contexts = {"none", "memory", "full"};
  std::uint64_t last = 0;  // --last N; 0: walk the whole document
  bool per_token = false;
  bool drop_oldest = false;  // --overflow oldest
  std::string verify;        // --verify BLOB: compare with memories computed from the inputs; empty: score
  double tolerance = 0;      // of --verify; 0: the dtype's
  bool lines = false, jsonl = false, replace_invalid = false;  // what a document of a text is
  int batch = 0;
};

// The tensor part, a shared object that is loaded when the arguments are right. Each function throws Error.
struct CoreApi {
  int version;
  void (*compress)(const CompressJob&, JobIo&);
  void (*decode)(const DecodeJob&, JobIo&);
  void (*score)(const ScoreJob&, JobIo&);
  // One line per component ("LibTorch 2.11.0", …), for --version -v.
  std::vector<std::string> (*versions)();
};
// The sizes are part of the version: programs and core built from different versions of this page must not meet.
inline constexpr int kCoreApiVersion =
    1 << 16 | static_cast<int>((sizeof(CompressJob) * 3 + sizeof(DecodeJob) * 5 + sizeof(ScoreJob) * 7 + sizeof(JobIo) * 11) & 0xffff);

}  // namespace uio

// The one symbol that libuio_core.so exports for programs.
extern "C" const uio::CoreApi* uio_core_api();
