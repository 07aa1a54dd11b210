#include "io/cut.h"

#include <utility>

namespace uio {

StreamCutter::StreamCutter(Sink& sink, const Selection& selection, Stage stage)
    : sink_(sink), selection_(selection), stage_(std::move(stage)) {}

void StreamCutter::start_section(const Provenance& provenance) {
  if (writer_) writer_->finish();
  provenance_ = provenance;
  Provenance with_stage = provenance;
  with_stage.push_back(stage_);
  writer_ = std::make_unique<RecordWriter>(sink_, std::move(with_stage));
}

void StreamCutter::add(Source& source) {
  RecordReader reader(source);
  while (const auto record = reader.next_header()) {
    if (!selection_.contains(span_of(*record))) continue;
    if (!writer_ || provenance_ != reader.provenance()) start_section(reader.provenance());
    writer_->write_raw(reader.raw());
    ++records_;
  }
  if (!writer_) provenance_ = reader.provenance();
}

std::uint64_t StreamCutter::finish() {
  if (!writer_) start_section(Provenance(provenance_));
  writer_->finish();
  return records_;
}

}  // namespace uio
