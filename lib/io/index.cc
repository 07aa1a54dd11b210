#include "io/index.h"

#include "base/error.h"
#include "base/hex.h"
#include "io/json.h"
#include "io/listing.h"
#include "io/stream.h"

namespace uio {
namespace {

std::uint64_t natural(const Json& object, const char* key, const std::string& subject) {
  if (!object.contains(key) || !object[key].is_number_unsigned()) {
    throw Error(ErrorKind::kData, "cannot read", subject, std::string("a line of the index has no natural number ") + key);
  }
  return object[key];
}

std::string text(const Json& object, const char* key, const std::string& subject) {
  if (!object.contains(key) || !object[key].is_string()) {
    throw Error(ErrorKind::kData, "cannot read", subject, std::string("a line of the index has no string ") + key);
  }
  return object[key];
}

}  // namespace

std::string to_index_line(const IndexEntry& entry) {
  Json object = {{"offset", entry.offset},
                 {"length", entry.length},
                 {"segment", entry.segment},
                 {"kind", entry.is_memory ? "memory" : "segment"}};
  add_document(object, "document", entry.document);
  return to_json_line(object);
}

IndexEntry parse_index_line(std::string_view line, const std::string& subject) {
  const Json object = parse_json(line, subject);
  IndexEntry entry;
  entry.offset = natural(object, "offset", subject);
  entry.length = natural(object, "length", subject);
  entry.segment = natural(object, "segment", subject);
  entry.is_memory = text(object, "kind", subject) == "memory";
  entry.document = text(object, "document", subject);
  if (object.contains("document_hex")) {
    const auto bytes = from_hex(text(object, "document_hex", subject));
    if (!bytes)
      throw Error(ErrorKind::kData, "cannot read", subject, "a line of the index has a document_hex that is not hexadecimal");
    entry.document.assign(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }
  return entry;
}

void write_index(Source& stream, Sink& index) {
  RecordReader reader(stream);
  while (const auto record = reader.next_header()) {
    const Span& span = span_of(*record);
    index.write(to_index_line({reader.frame_offset(), reader.frame_bytes(), span.document, span.segment,
                               std::holds_alternative<Memory>(*record)}) +
                "\n");
  }
}

Record read_indexed_record(std::span<const std::byte> stream, const IndexEntry& entry, const std::string& name) {
  if (entry.offset > stream.size() || entry.length > stream.size() - entry.offset) {
    throw Error(ErrorKind::kData, "cannot read", name, "the index points behind its end");
  }
  Record record = read_single_record(stream.subspan(entry.offset, entry.length), name);
  const Span& span = span_of(record);
  if (span.document != entry.document || span.segment != entry.segment) {
    throw Error(ErrorKind::kData, "cannot read", name, "the index points to another record, make it again");
  }
  return record;
}

}  // namespace uio
