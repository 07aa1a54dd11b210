// uio-decode: memories and a prompt in, text out.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "cli/core.h"
#include "cli/program.h"

namespace {

constexpr std::size_t kMostPromptBytes = std::size_t{1} << 28;

// A prompt alone is a request too: then a terminal or /dev/null on standard input is not taken for a blob.
bool has_blob_on_stdin() {
  if (isatty(STDIN_FILENO)) return false;
  struct stat status;
  if (fstat(STDIN_FILENO, &status) != 0) return true;  // reading it will tell what is wrong
  return !(S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
}

std::vector<std::string> blobs_of(const uio::cli::Session& session) {
  const uio::cli::Settings& settings = session.settings();
  const bool is_prompt_on_stdin = settings.prompt_file == "-";
  const auto& operands = settings.operands;
  if (is_prompt_on_stdin && std::find(operands.begin(), operands.end(), "-") != operands.end())
    throw uio::Error(uio::ErrorKind::kUsage, "standard input cannot be both the prompt and a blob", "", "");
  if (operands.empty() && !settings.decode.serve && settings.has_prompt && (is_prompt_on_stdin || !has_blob_on_stdin()))
    return {};
  return session.inputs();
}

}  // namespace

int main(int argc, char** argv) {
  uio::cli::run_program(uio::cli::kDecode, argc, argv, [](uio::cli::Session& session) {
    const uio::cli::Settings& settings = session.settings();
    uio::DecodeJob job = settings.decode;
    if (job.serve && (settings.has_prompt || !job.save.empty()))
      throw uio::Error(uio::ErrorKind::kUsage, "--jsonl takes prompts from its requests and saves nothing", "", "");
    if (job.prompting.system && job.prompting.chat.empty() && !job.serve)
      throw uio::Error(uio::ErrorKind::kUsage, "--system without --chat", "", "there are no roles", "add --chat FAMILY, or leave it out");
    if (!job.prompting.chat.empty() && !settings.has_prompt && !job.serve)
      throw uio::Error(uio::ErrorKind::kUsage, "--chat without a prompt", "", "there is nothing to answer", "give one with --prompt");
    if (job.save == "-")
      throw uio::Error(uio::ErrorKind::kUsage, "--save needs a file, standard output is for the text", "", "");
    if (!job.save.empty() && settings.choice.weights != "stored")
      throw uio::Error(uio::ErrorKind::kUsage, "--save with --weights int8", job.save, "memories that are kept are made with the weights as stored");
    const std::vector<std::string> inputs = blobs_of(session);
    job.choice = session.model();
    if (!settings.prompt_file.empty()) job.prompt = uio::read_all(*uio::open_source(settings.prompt_file), kMostPromptBytes);
    uio::JobIo& io = session.open(inputs);
    uio::cli::load_core().decode(job, io);
  });
}
