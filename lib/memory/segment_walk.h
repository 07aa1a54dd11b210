// How uio-compress goes through its inputs: which segments become memories, which lie side by side, what the cache may answer. What is
// then done is the derived class's: compress.cc makes and writes memories, dry_run.cc counts.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "io/jobs.h"
#include "memory/setup.h"

namespace uio {

class SegmentWalk {
 public:
  // All must outlive it.
  SegmentWalk(const CompressJob& job, JobIo& io, const Ready& ready);
  virtual ~SegmentWalk() = default;
  // From the first input to the last. Throws what its inputs deserve.
  void run();

 protected:
  // A section of the output, of that provenance, begins and ends.
  virtual void open(const Provenance& provenance) = 0;
  virtual void close() = 0;
  virtual void write(const Segment& tail) = 0;
  virtual void write(const Memory& memory) = 0;
  // Whether the cache has the tensors of `memory`; fills them.
  virtual bool find(Memory& memory, const std::string& key) = 0;
  // The tensors of memories that have all else, of as many segments of one length side by side.
  virtual void make(const std::vector<const Segment*>& segments, std::vector<Memory>& memories) = 0;
  // Puts a memory that was made into the cache.
  virtual void keep(const Memory& memory, const std::string& key) = 0;

  const CompressJob& job() const { return job_; }
  JobIo& io() { return io_; }
  const Model& model() const { return *ready_.model; }
  const MemoryMethod& method() const { return method_; }
  // What a recurrent method makes of a segment, the segment alone does not tell.
  bool has_cache() const { return !job_.memory_cache.empty() && !method_.is_recurrent(); }
  // Segments whose memories came from the cache, and were made.
  std::uint64_t found() const { return found_; }
  std::uint64_t made() const { return made_; }

 private:
  void begin(Provenance provenance);
  void end();
  void add(Segment segment, const std::string& input);
  void flush();
  std::vector<Memory> memories_of(const std::vector<const Segment*>& segments);

  const CompressJob& job_;
  JobIo& io_;
  const Ready& ready_;
  const MemoryMethod& method_;
  std::size_t batch_;
  std::string arithmetic_;                // with a cache: a part of its keys
  std::optional<Provenance> provenance_;  // of the input that the open section is made from
  std::deque<Segment> waiting_;
  std::size_t waiting_full_ = 0, full_length_ = 0;  // full ones that wait, and the tokens of each
  std::uint64_t done_ = 0, found_ = 0, made_ = 0;
};

}  // namespace uio
