// What a command line says, parsed: one plain struct, defaults beside the fields.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/inspect.h"
#include "io/jobs.h"
#include "text/segment_job.h"

namespace uio::cli {

enum class When { kAuto, kAlways, kNever };

struct Settings {
  std::vector<std::string> operands;

  // Only the job of the running program is used; options that several share are copied into each.
  ModelChoice choice;
  SegmentJob segment;
  CompressJob compress;
  DecodeJob decode;
  ScoreJob score;
  InspectJob inspect;
  TrainJob train;
  bool lines = false, jsonl = false;  // what a document of a text is
  std::string prompt_file;            // of uio-decode; empty: none
  bool has_prompt = false;            // --prompt or --prompt-file was given, be it empty
  bool no_cache = false;              // of uio-compress: --no-cache
  bool list_estimators = false;       // of uio-train-step: print the table and end

  std::string output = "-";
  bool force = false;
  bool quiet = false;
  bool verbose = false;
  When progress = When::kAuto;
  bool help = false;
  bool version = false;
  std::string generate;  // man, bash, zsh, fish; empty: run

  // Long names of the options on the command line, for those that mean nothing without another.
  std::set<std::string> given;

  // Options that affect bytes, with their values, given or default: the provenance of this stage.
  std::vector<std::pair<std::string, std::string>> stage_options;
};

}  // namespace uio::cli
