#include "cli/launch.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>
#include <string>

#include "base/error.h"

namespace {

using uio::Launch, uio::cli::find_launch;

const char* const kAll[] = {"WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE",
                            "TORCHELASTIC_RESTART_COUNT", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
                            "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "SLURM_STEP_ID",
                            "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE", "OMP_NUM_THREADS"};

// What is found where the environment has only these.
Launch found_in(const std::map<std::string, std::string>& environment) {
  for (const char* name : kAll) unsetenv(name);
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  return find_launch();
}

const std::map<std::string, std::string> kTorchrun = {{"WORLD_SIZE", "4"}, {"RANK", "3"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"},
                                                      {"MASTER_ADDR", "host"}, {"MASTER_PORT", "29500"}, {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
const std::map<std::string, std::string> kMpirun = {
    {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};

}  // namespace

TEST_CASE("a process is alone unless a launcher says that it is one of several") {
  CHECK(found_in({}).meeting == Launch::Meeting::kNone);
  CHECK(found_in({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}).meeting == Launch::Meeting::kNone);
  CHECK(found_in({{"WORLD_SIZE", "4"}, {"RANK", "3"}}).meeting == Launch::Meeting::kNone);                // of someone else
  CHECK(found_in({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}).meeting == Launch::Meeting::kNone);      // a batch script
  CHECK(found_in({{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}}).count == 1);
}

TEST_CASE("launchers are told apart") {
  Launch launch = found_in(kTorchrun);
  CHECK(launch.meeting == Launch::Meeting::kStore);
  CHECK((launch.rank == 3 && launch.count == 4 && launch.local_rank == 1 && launch.local_count == 2));
  CHECK((launch.address == "host" && launch.port == 29500 && launch.has_server));

  launch = found_in(kMpirun);
  CHECK(launch.meeting == Launch::Meeting::kMpi);
  CHECK((launch.rank == 1 && launch.count == 2 && launch.launcher == "mpirun"));

  CHECK(found_in({{"PMI_SIZE", "3"}, {"PMI_RANK", "2"}}).rank == 2);
  const std::map<std::string, std::string> step = {{"SLURM_STEP_ID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}};
  CHECK(found_in(step).launcher == "srun");
  CHECK(found_in(step).meeting == Launch::Meeting::kMpi);

  auto both = step;
  both.insert({{"MASTER_ADDR", "host"}, {"MASTER_PORT", "1234"}});
  CHECK(found_in(both).meeting == Launch::Meeting::kStore);
  both = step;
  both.insert(kTorchrun.begin(), kTorchrun.end());
  CHECK(found_in(both).count == 4);  // torchrun under srun
  both = step;
  both.insert(kMpirun.begin(), kMpirun.end());
  CHECK(found_in(both).launcher == "mpirun");
}

TEST_CASE("values that make no sense are refused by name") {
  for (const auto& [rank, size] : {std::pair{"2", "2"}, {"-1", "2"}, {"one", "2"}, {"0", "many"}})
    CHECK_THROWS_WITH(found_in({{"PMI_RANK", rank}, {"PMI_SIZE", size}}), Catch::Contains("bad PMI_"));
  auto bad = kTorchrun;
  bad["MASTER_PORT"] = "65536";
  CHECK_THROWS_WITH(found_in(bad), Catch::Contains("bad MASTER_PORT in the environment: '65536'"));
}

TEST_CASE("processes of one machine share its cores") {
  Launch launch = found_in(kMpirun);
  CHECK(uio::cli::share_of_threads(launch, 3) == 3);
  launch.local_count = 1 << 20;
  CHECK(uio::cli::share_of_threads(launch, 0) == 1);
  CHECK(uio::cli::share_of_threads({}, 0) == 0);
  setenv("OMP_NUM_THREADS", "5", 1);
  CHECK(uio::cli::share_of_threads(launch, 0) == 0);
  unsetenv("OMP_NUM_THREADS");
}

TEST_CASE("processes of one machine take a GPU each") {
  const Launch launch = found_in(kMpirun);
  CHECK(uio::cli::share_of_devices(launch, "auto") == "auto:1");
  CHECK(uio::cli::share_of_devices(launch, "cuda") == "cuda:1");
  CHECK(uio::cli::share_of_devices(launch, "cpu") == "cpu");
  CHECK(uio::cli::share_of_devices({}, "auto") == "auto");
}

TEST_CASE("several processes do not read standard input") {
  const Launch launch = found_in(kMpirun);
  CHECK_NOTHROW(uio::cli::check_launch(launch, {"a"}, {"b"}));
  CHECK_NOTHROW(uio::cli::check_launch({}, {"-"}, {}));
  CHECK_THROWS_WITH(uio::cli::check_launch(launch, {"a", "-"}, {}), Catch::Contains("standard input"));
  CHECK_THROWS_WITH(uio::cli::check_launch(launch, {}, {"-"}), Catch::Contains("standard input"));
}
