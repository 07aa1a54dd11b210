// Cutting and joining streams: records copied byte for byte into new sections.
#pragma once

#include <memory>

#include "io/selection.h"
#include "io/stream.h"

namespace uio {

// Writes the selected records of one stream after another as one stream. A new section begins where the provenance of the input
// changes, so that it stays true of each record.
class StreamCutter {
 public:
  // `stage` is appended to each provenance.
  StreamCutter(Sink& sink, const Selection& selection, Stage stage);
  // Copies from one stream; reads it to its end. Throws what RecordReader throws; the output is not whole then.
  void add(Source& source);
  // Ends the stream; one without any record if there was none. Returns the number of records.
  std::uint64_t finish();

 private:
  void start_section(const Provenance& provenance);

  Sink& sink_;
  const Selection& selection_;
  Stage stage_;
  std::unique_ptr<RecordWriter> writer_;
  Provenance provenance_;  // of the section that is open
  std::uint64_t records_ = 0;
};

}  // namespace uio
