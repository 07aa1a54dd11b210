// What the programs ask of the tensor part: one plain struct of options per program. Torch-free, so that arguments are
// parsed, --help answered and mistakes found before LibTorch is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/host.h"
#include "io/file.h"
#include "io/launch.h"
#include "io/record.h"

namespace uio {

// Options that every program with a model shares.
struct ModelChoice {
  std::string model;            // directory
  std::string adapter;          // directory; empty: `adapter` inside the model directory; "fresh": an untrained one
  std::string device = "auto";  // auto, cpu, cuda, cuda:N; auto:N: cuda:N where there is a GPU
  std::string dtype = "auto";   // auto (the checkpoint's), f32, bf16, f16, f64
  std::string weights = "stored";  // stored (as dtype says), int8
  int threads = 0;              // 0: as many as there are cores, or OMP_NUM_THREADS
  std::uint64_t seed = 0;
  std::uint32_t segment_length = 0;  // L; 0: the adapter's. Other than the adapter's only with "fresh"
  std::uint32_t memory_length = 0;   // M; likewise
  std::string method;                       // the memory method: uio, fot; empty: chosen by io/memory_window.h
  std::vector<std::int64_t> memory_layers;  // of fot; empty: those of config.json
  std::string search = "dense";             // of fot, what queries see of the memory: dense (all of it), exact or index (the nearest keys, found by either)
  std::uint32_t nearest = 128;              // of exact and index: so many keys, for each query and head
  std::uint32_t probe = 0;                  // of index: how much of it is looked at; 0: chosen
  std::string memory_dir;                   // of exact and index: folder for the memory of long texts; empty: all of it stays in RAM
  bool reference = false;            // UIO_FORCE_REFERENCE=1: plain compositions instead of the fast kernels
  std::string cache_dir;             // where hashes of weights are remembered; empty: nowhere
};

// What is the same for all jobs at run time.
struct JobIo {
  std::vector<std::string> inputs;  // operands; "-" is standard input
  Sink* output = nullptr;
  Host* host = nullptr;
  Stage stage;  // program, version, options that affect bytes: appended to the provenance of what is written
  Launch launch;  // alone, or one of several processes that train together
};

struct CompressJob {
  ModelChoice choice;
  bool dry_run = false;  // print what a run would write, take and compute
  Form form = Form::kKv;
  int batch = 1;  // segments at once
  int level = 1;  // zstd; 0: stored
  Precision precision = Precision::kExact;
  bool keep_tokens = false;                // memories carry the ids of their segments
  std::string index;                       // kind of index that the blob is to have: then its memories are searched; empty: none
  std::string memory_cache;                // directory that keeps memories from run to run; empty: none
  std::uint64_t cache_bytes = 4ull << 30;  // what it may hold
};

constexpr std::uint32_t kMostRetrieved = 1 << 16;  // segments

// Makes the index of the keys of each input, a blob of memory layers.
struct IndexJob {
  ModelChoice choice;  // threads and seed
  std::string kind;    // flat, ivf, hnsw, sq8, ivfpq
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

// How a prompt becomes tokens.
struct Prompting {
  std::string chat;                   // the family whose role markers stand around it (text/chat.h); empty: none
  std::optional<std::string> system;  // with `chat`: what the system says before it
  bool parse_special = false;         // special tokens that are written in it are tokens, not text
};

struct DecodeJob {
  ModelChoice choice;
  std::string prompt;
  Prompting prompting;
  int max_tokens = 128;
  Sampling sampling;
  bool ignore_eos = false;
  bool drop_oldest = false;  // --overflow oldest
  std::uint32_t retrieve = 0;  // --retrieve: segments that are read again raw, nearest to the prompt
  bool serve = false;        // --jsonl: inputs are files of requests
  std::string save;          // --save FILE; empty: none
  int level = 1;
  int batch = 1;  // --batch: requests answered side by side
};

struct ScoreJob {
  ModelChoice choice;
  std::string task = "perplexity";    // a row of the table of score/tasks.h
  std::vector<std::string> contexts;  // none: the task's
  std::uint64_t last = 0;  // --last N; 0: walk the whole document
  bool per_token = false;
  bool drop_oldest = false;  // --overflow oldest
  std::string memory;        // --memory BLOB: what stands before each document in the context `memory`; empty: nothing
  bool recall = false;       // --recall: compare the search with an index with the exact one
  std::string verify;        // --verify BLOB: compare with memories computed from the inputs; empty: score
  double tolerance = 0;      // of --verify; 0: the dtype's
  bool lines = false, jsonl = false, replace_invalid = false;  // what a document of a text is
  std::uint32_t retrieve = 1;  // --retrieve: segments that the contexts `retrieved` and `memory+retrieved` read raw
  int batch = 0;
  Form form = Form::kKv;  // how the memories of the context `memory` are kept
  Precision precision = Precision::kExact;
  // Of tasks that make their documents: how long these are, how many of each length. None, 0: the task's.
  std::vector<std::uint64_t> lengths;
  bool has_characters = false;  // lengths are characters, not tokens
  std::uint32_t samples = 0;
  std::vector<std::uint32_t> documents_in_memory;  // how many, the scored one's own among them; none: its own alone, or the task's
};

// What a step does to the weights: the optimiser, its schedule and clipping. Defaults: arXiv 2406.18173, released code.
struct Optimisation {
  std::string optimiser = "adamw";  // adamw (arXiv 1711.05101), muon
  double rate = 1e-4;  // peak learning rate
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;         // of matrices; token rows, norms and biases have none
  double warmup = 0.01;              // share of the schedule in which the rate rises from 0
  std::string schedule = "cosine";   // cosine, linear, constant
  double final_rate = 0;             // share of the peak at the schedule's end
  std::uint64_t schedule_steps = 0;  // length of the schedule; 0: `steps`
  double clip = 1;                   // greatest norm of the whole gradient; 0: none
};

// A fresh adapter's shape; L and M are in ModelChoice.
struct AdapterShape {
  std::uint32_t rank = 128;
  double alpha = 512;
  std::string encoder_targets = "q_proj,v_proj", transfer_targets = "k_proj,v_proj";
  std::string mask = "staged", positions = "staged";
  bool shared_row = false;  // one row for all memory tokens
};

// How much of the memory of CrossBatch training (arXiv 2307.03170) a window sees: so many windows of its own document before it, and the latest
// window of so many other documents.
struct Mixture {
  std::uint32_t positives = 1, negatives = 1;
};
// From the step after the first `begin` on each step draws one of `choices`, whose mixtures its documents get in turn.
struct CrossPhase {
  std::uint64_t begin = 0;
  std::vector<std::vector<Mixture>> choices;
};

struct TrainJob {
  ModelChoice choice;
  bool dry_run = false;          // print what would be trained, from configurations alone
  std::string state;             // file; empty: none is read or written
  std::uint64_t steps = 0;       // go on until the state has made so many; 0: make one more
  std::uint64_t save_every = 1;  // steps
  std::uint32_t accumulate = 4;  // documents a step
  int batch = 0;                 // documents side by side; 0: chosen
  std::string trainable = "adapter";  // adapter, full, base
  std::string objective = "lm";       // lm, autoencode, distill, text, crossbatch, mix
  std::vector<std::pair<std::string, double>> mix;  // of --objective mix: objectives and their weights
  std::vector<CrossPhase> crossbatch = {{0, {{{1, 1}}}}};  // of --objective crossbatch: ascending, the first from 0 on
  bool memory_gradient = true;                      // of --objective crossbatch: the gradient goes through the memory
  std::string repeat_prompt = "\n";   // what stands between the memories and the text that `autoencode` repeats
  std::string loss = "token";         // token, released
  std::string estimator = "exact";    // a row of the table that --list-estimators prints
  std::uint32_t window = 4, reservoir = 4;  // sizes of the estimators' sets, in segments
  double decay = 0.9;                       // of `decayed`
  Optimisation optimisation;
  bool init_adapter = false, init_base = false;  // --init, where there is no state yet
  AdapterShape shape;
  std::uint32_t document_segments = 0;   // train on pieces of at most so many segments; 0: whole documents
  std::vector<double> corpus_weights;    // how often each input is drawn from, relatively; empty: by its documents
  bool lines = false, jsonl = false;     // what a document of a text is
  bool shuffle = true;
  std::string recompute = "auto";        // auto, always, never: activations of a layer again instead of keeping them
  std::vector<std::string> reset;        // parts of the state that are begun anew: optimiser, schedule, data, random
  std::string gradients;                 // file for the last step's gradient; empty: none
  std::string export_directory;          // where the trained parts go in their public format; empty: nowhere
  std::string export_dtype = "f32";      // f32, bf16, f16
  std::vector<std::string> validate;     // inputs to measure the loss on
  std::uint64_t validate_every = 0;      // steps; 0: at the end only
};

// The tensor part, a shared object that is loaded when the arguments are right. Each function throws Error.
struct CoreApi {
  int version;
  void (*compress)(const CompressJob&, JobIo&);
  void (*index)(const IndexJob&, JobIo&);
  void (*decode)(const DecodeJob&, JobIo&);
  void (*score)(const ScoreJob&, JobIo&);
  void (*train)(const TrainJob&, JobIo&);
  // The table of gradient estimators, for people: one line each under a line of headings.
  std::vector<std::string> (*estimators)();
  // One line per component ("LibTorch 2.11.0", …), for --version -v.
  std::vector<std::string> (*versions)();
};
// The sizes are part of the version: programs and core built from different versions of this page must not meet.
inline constexpr int kCoreApiVersion =
    1 << 16 | static_cast<int>((sizeof(CompressJob) * 3 + sizeof(DecodeJob) * 5 + sizeof(ScoreJob) * 7 + sizeof(TrainJob) * 13 + sizeof(IndexJob) * 17 + sizeof(JobIo) * 11) & 0xffff);

}  // namespace uio

// The one symbol that libuio_core.so exports for programs.
extern "C" const uio::CoreApi* uio_core_api();
