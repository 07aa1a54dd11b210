#include "cli/launch.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <optional>

#include "base/error.h"

namespace uio::cli {
namespace {

std::string text_of(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Absent when unset or empty.
std::optional<int> number_of(const char* name, int least, int most = INT_MAX) {
  const std::string text = text_of(name);
  if (text.empty()) return std::nullopt;
  int number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data(), end, number);
  if (failed != std::errc() || stop != end || number < least || number > most)
    throw Error(ErrorKind::kUsage, std::string("bad ") + name + " in the environment", text,
                "expected a number from " + std::to_string(least) + (most < INT_MAX ? " to " + std::to_string(most) : ""));
  return number;
}

// The names under which a launcher says who a process is.
struct Names {
  const char* launcher;
  const char* count;
  const char* rank;
  const char* local_rank;
  const char* local_count;
  const char* sign;  // also set when it was this launcher; nullptr: count and rank are enough
};
constexpr Names kTorchrun = {"torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"};
constexpr Names kOthers[] = {
    {"mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", nullptr},
    {"mpirun", "PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", nullptr},
    // SLURM_NTASKS is also set in a batch script, whose one process is no step of several.
    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE", "SLURM_STEP_ID"},
};

// Whether this launcher started several processes, of which this is one.
bool fill(const Names& names, Launch& launch) {
  if (text_of(names.count).empty() || text_of(names.rank).empty() || (names.sign && text_of(names.sign).empty())) return false;
  const int count = *number_of(names.count, 1);
  if (count == 1) return false;
  launch.launcher = names.launcher;
  launch.count = count;
  launch.rank = *number_of(names.rank, 0, count - 1);
  launch.local_rank = number_of(names.local_rank, 0).value_or(0);
  launch.local_count = std::max(launch.local_rank + 1, number_of(names.local_count, 1).value_or(1));
  return true;
}

// Where torchrun's processes meet, and srun's when the same names are set for them.
bool find_store(Launch& launch) {
  launch.address = text_of("MASTER_ADDR");
  const auto port = number_of("MASTER_PORT", 1, 65535);
  if (launch.address.empty() || !port) return false;
  launch.port = *port;
  launch.has_server = text_of("TORCHELASTIC_USE_AGENT_STORE") == "True";
  launch.attempt = text_of("TORCHELASTIC_RESTART_COUNT");
  launch.meeting = Launch::Meeting::kStore;
  return true;
}

}  // namespace

Launch find_launch() {
  Launch launch;
  if (fill(kTorchrun, launch) && find_store(launch)) return launch;
  for (const Names& names : kOthers) {
    launch = {};
    if (!fill(names, launch)) continue;
    launch.meeting = Launch::Meeting::kMpi;
    if (launch.launcher == "srun") find_store(launch);
    return launch;
  }
  return {};
}

void check_launch(const Launch& launch, const std::vector<std::string>& inputs, const std::vector<std::string>& more_inputs) {
  if (launch.count == 1) return;
  for (const auto* names : {&inputs, &more_inputs})
    if (std::find(names->begin(), names->end(), "-") != names->end())
      throw Error(ErrorKind::kUsage, "several processes cannot read standard input", "", launch.launcher + " started " + std::to_string(launch.count),
                  "name a file");
}

int share_of_threads(const Launch& launch, int threads) {
  if (threads > 0 || launch.local_count <= 1 || !text_of("OMP_NUM_THREADS").empty()) return threads;
  cpu_set_t allowed;
  const int bound = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  const int share = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) / launch.local_count;
  return std::max(1, std::min(bound, share));
}

std::string share_of_devices(const Launch& launch, const std::string& device) {
  if (launch.count == 1 || (device != "auto" && device != "cuda")) return device;
  return device + ":" + std::to_string(launch.local_rank);
}

}  // namespace uio::cli
