#include "train/train.h"

#include <algorithm>

#include "train/run.h"

namespace uio {

void train(const TrainJob& job, JobIo& io) {
  Processes alone;
  Run(job, io, alone).go();
}

std::vector<std::string> estimator_table() {
  const std::vector<std::string> head = {"NAME", "SIZES", "ENCODER PASSES", "ACTIVATIONS", "RECURRENT", "GRADIENT", "SOURCE"};
  std::vector<std::vector<std::string>> rows = {head};
  for (const Estimator& one : estimators())
    rows.push_back({std::string(one.name), std::string(one.sizes.empty() ? "-" : one.sizes), std::string(one.encodes), std::string(one.keeps),
                    one.takes_recurrent ? "yes" : "no", std::string(one.promise), std::string(one.source)});
  std::vector<std::string> lines(rows.size());
  for (std::size_t column = 0; column < head.size(); ++column) {
    std::size_t width = 0;
    for (const auto& row : rows) width = std::max(width, row[column].size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const bool is_last = column + 1 == head.size();
      lines[i] += rows[i][column] + (is_last ? "" : std::string(width - rows[i][column].size() + 2, ' '));
    }
  }
  return lines;
}

}  // namespace uio
