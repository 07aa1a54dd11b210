// A tiny model with memory layers, ready for the tasks of uio-score: windows of 16, a tail of 6, memory in layers 0 and 2 of 3.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "memory/method.h"
#include "memory/setup.h"
#include "unit/memory/plain_fot.h"
#include "unit/score/task_run.h"

namespace uio::test {

struct FotModel {
  explicit FotModel(const Json& changes = Json::object(), std::vector<std::string> names = std::vector<std::string>(50),
                    const std::function<void(Tensors&)>& change_weights = {})
      : tiny(with_changes(Json{{"model_type", "longllama"}, {"mem_layers", {0, 2}}, {"mem_dtype", "float64"}, {"max_position_embeddings", 16},
                               {"last_context_length", 6}},
                          changes)) {
    if (change_weights) {
      change_weights(tiny.weights);
      tiny.write();
    }
    job.choice.model = tiny.directory();
    ready.model = std::make_unique<Model>(tiny.directory(), Placement{at::kCPU, at::kDouble, at::kDouble}, "", 1);
    ready.tokenizer = std::make_unique<NoTokenizer>(-1, std::move(names));
    ready.method = make_method(*ready.model, choose_adapter(job.choice, *ready.model));
  }
  PlainFot plain() const {
    const MemoryLayers& memory = ready.method->adapter().window.memory;
    PlainFot plain(tiny, {memory.layers.begin(), memory.layers.end()}, ready.method->segment_length(), ready.method->adapter().window.tail);
    plain.has_positions = memory.has_positions;
    return plain;
  }
  std::vector<Json> run(const char* task, const std::vector<std::string>& inputs = {}) { return lines_of(task, job, ready, inputs, tiny.scratch, host); }

  TinyModel tiny;
  ScoreJob job;
  Ready ready;
  text_test::RecordingHost host;
};

}  // namespace uio::test
