// From argv to an exit status.
#include "cli/program.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "base/told.h"
#include "base/version.h"
#include "cli/core.h"
#include "cli/launch.h"
#include "cli/parse.h"
#include "cli/printers.h"
#include "cli/signals.h"
#include "io/path.h"

namespace uio::cli {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The demo model: beside the sources of a build tree, or installed.
std::string demo_model() {
  const std::string here = program_directory();
  for (const char* place : {"/../../examples/model", "/../share/uio/model"}) {
    if (path_exists(here + place + "/config.json")) return here + place;
  }
  return "";
}

// XDG wants relative values ignored.
std::string cache_directory() {
  if (const std::string named = environment("UIO_CACHE_DIR"); !named.empty()) return named;
  if (const std::string base = environment("XDG_CACHE_HOME"); base.starts_with('/')) return base + "/uio";
  if (const std::string home = environment("HOME"); !home.empty()) return home + "/.cache/uio";
  return "";
}

void print_text(const std::string& text) {
  const auto output = open_sink("-");
  output->write(text);
  output->commit();
}

std::string generated(Program program, const std::string& kind) {
  if (kind == "bash") return bash_completion();
  if (kind == "zsh") return zsh_completion();
  if (kind == "fish") return fish_completion();
  return manual_options(program);
}

// Loads the tensor library only when it is asked for with -v.
std::string versions(const ProgramInfo& info, bool is_verbose) {
  std::string text = version_text(info.program);
  if (is_verbose && (info.program & kTensorPrograms))
    for (const std::string& line : load_core().versions()) text += line + "\n";
  return text;
}

int run(const ProgramInfo& info, int argc, char** argv, void (*body)(Session&), Console& console) {
  Settings settings = parse_arguments(info.program, argc, argv);
  if (settings.help) return print_text(help_text(info.program)), 0;
  if (settings.version) return print_text(versions(info, settings.verbose)), 0;
  if (!settings.generate.empty()) return print_text(generated(info.program, settings.generate)), 0;

  console.configure(settings, settings.output == "-" && isatty(STDOUT_FILENO));
  Session session(info, std::move(settings), console);
  try {
    body(session);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kNo) throw;
    console.fail(error);  // the answer is no, and the output that says so is whole
  }
  if (console.has_results()) session.commit();
  return console.status();
}

// Exceptions of LibTorch carry a stack in what(): its first line is the message.
Error internal_error(const std::exception& failure, bool is_verbose) {
  std::string text = failure.what();
  if (!is_verbose) text.resize(std::min(text.size(), text.find('\n')));
  return Error(ErrorKind::kInternal, "internal error", "", text, "this is a bug; -v tells more");
}

// The processes of one run have the same arguments: the first says what is wrong with them. It is given the time to, since
// launchers end all when one has gone.
bool is_left_to_the_first(Program program, const Error& error) {
  if (program != kTrain || error.kind() != ErrorKind::kUsage || is_told(error)) return false;
  try {
    if (find_launch().rank == 0) return false;
  } catch (const Error&) {
    return false;
  }
  usleep(300'000);
  return true;
}

bool asks_for_more(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]) == "-v" || std::string(argv[i]) == "--verbose") return true;
  return false;
}

}  // namespace

Session::Session(const ProgramInfo& info, Settings settings, Console& console)
    : info_(info), settings_(std::move(settings)), console_(console) {}

std::vector<std::string> Session::inputs() const {
  if (!settings_.operands.empty()) return settings_.operands;
  if (isatty(STDIN_FILENO))
    throw Error(ErrorKind::kUsage, "nothing to read", "", "no operand, and standard input is a terminal",
                std::string("name a file, or - to type; see ") + info_.name + " --help");
  return {"-"};
}

ModelChoice Session::model() const {
  ModelChoice choice = settings_.choice;
  if (choice.model.empty()) choice.model = environment("UIO_MODEL");
  if (choice.model.empty()) choice.model = demo_model();
  if (choice.model.empty())
    throw Error(ErrorKind::kUsage, "no model", "", "neither --model nor UIO_MODEL names one, and this build has no demo model",
                std::string("name its directory: ") + info_.name + " -m DIR");
  if (settings_.train.init_adapter) {  // the same as --adapter fresh
    if (!choice.adapter.empty() && choice.adapter != "fresh")
      throw Error(ErrorKind::kUsage, "--init adapter with --adapter", choice.adapter,
                  "an adapter that is read is not made afresh", "leave out one of them");
    choice.adapter = "fresh";
  }
  const bool wants_layers = choice.method == "fot" || !choice.memory_layers.empty();
  if (wants_layers && (!choice.adapter.empty() || choice.method == "uio"))
    throw Error(ErrorKind::kUsage, "two memory methods", "", "memory layers take no adapter, and are of method fot", "leave out one of them");
  if (choice.adapter.empty() && !wants_layers) choice.adapter = environment("UIO_ADAPTER");
  if (choice.memory_length > 0 && choice.adapter != "fresh" && info_.program != kTrain)
    throw Error(ErrorKind::kUsage, "--memory-length without a fresh adapter", "", "an adapter has its own",
                "add --adapter fresh, or leave it out");
  choice.cache_dir = cache_directory();
  choice.reference = environment("UIO_FORCE_REFERENCE") == "1";
  return choice;
}

CompressJob Session::compress() const {
  CompressJob job = settings_.compress;
  if (job.memory_cache.empty() && !settings_.no_cache) job.memory_cache = environment("UIO_MEMORY_CACHE");
  job.choice = model();
  if (!job.index.empty() && !settings_.given.contains("level")) job.level = 0;  // keys are searched where they lie
  return job;
}

void Session::refuse_terminal(const std::string& output) const {
  if (output == "-" && isatty(STDOUT_FILENO) && !settings_.force)
    throw Error(ErrorKind::kUsage, "refusing to write binary data to a terminal", "", "", "use -o FILE or a pipe, or --force");
}

JobIo& Session::open(std::vector<std::string> inputs, Launch launch) {
  // A blob is not replaced by what is told of it, nor once more by its index.
  const bool is_blob_kept = info_.program == kCompress && (settings_.compress.dry_run || is_committed_);
  output_ = open_sink(is_blob_kept ? "-" : launch.rank == 0 ? settings_.output : "/dev/null");
  io_.inputs = std::move(inputs);
  io_.output = output_.get();
  io_.host = &console_;
  io_.stage = {info_.name, kVersion, settings_.stage_options};
  io_.launch = std::move(launch);
  return io_;
}

void Session::commit() {
  if (const auto output = std::move(output_)) output->commit();
  is_committed_ = true;
}

void run_program(Program program, int argc, char** argv, void (*body)(Session&)) {
  guard_standard_descriptors();
  const ProgramInfo& info = info_of(program);
  handle_signals(info.name);
  Console console(info.name);
  int status = static_cast<int>(ErrorKind::kInternal);
  try {
    status = run(info, argc, argv, body, console);
  } catch (const Error& error) {
    if (!is_left_to_the_first(program, error)) console.report(error);
    status = error.status();
  } catch (const std::bad_alloc&) {
    const Error error(ErrorKind::kDevice, "out of memory", "", "");
    console.report(error);
    status = error.status();
  } catch (const std::exception& failure) {
    console.report(internal_error(failure, asks_for_more(argc, argv)));
  } catch (...) {
    console.report(Error(ErrorKind::kInternal, "internal error", "", "unknown exception"));
  }
  console.erase_progress();
  remove_unfinished_files();
  std::fflush(nullptr);
  _exit(status);  // not exit: the destructors of LibTorch's statics take a tenth of a second
}

}  // namespace uio::cli
