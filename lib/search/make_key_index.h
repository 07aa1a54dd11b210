// Making an index of the keys of a blob.
#pragma once

#include "io/file.h"
#include "io/jobs.h"
#include "search/stored_memory.h"

namespace uio {

// Writes the index of `stored`, which has keys, in the layout of uio-index(5); does not commit the sink. The same job and keys give the same bytes. Throws
// Error{kData} for a key that is not finite, Error{kUsage} where there are too few for the kind, Error{kDevice} where FAISS is needed and is not there.
void make_key_index(const IndexJob& job, const StoredMemory& stored, Sink& sink, Host& host);

}  // namespace uio
