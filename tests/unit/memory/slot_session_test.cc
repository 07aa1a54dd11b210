// Generation's state machine: compression when a segment is full, and what happens when positions run out.
#include "memory/slot_session.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "unit/memory/tiny_method.h"

namespace uio {
namespace {

using test::check_error;
using test::ids_tensor;
using test::largest_difference;
using test::part;
using test::random_ids;
using test::TinyMethod;

// L 12, M 3, 96 positions.

// The last token's residual row after these memories and local tokens, by hand.
at::Tensor last_row(const TinyMethod& t, const std::vector<KeysValues>& memories, const std::vector<std::int32_t>& local) {
  DecoderContext context(t.model, 96);
  for (const KeysValues& memory : memories) context.add_memory(memory.keys, memory.values);
  return context.add_tokens(ids_tensor(local)).select(1, static_cast<std::int64_t>(local.size()) - 1);
}

TEST_CASE("segments are compressed as they fill up") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(40, 31);
  SlotSession session(t.model, t.method.get(), 96, false);
  std::vector<KeysValues> memories;
  for (std::int64_t i = 0; i < 40; ++i) {
    const at::Tensor row = session.add_tokens({ids[static_cast<std::size_t>(i)]});
    const std::int64_t begin = i / 12 * 12;
    // A token at the end of a segment is predicted from before the segment is compressed.
    CHECK(largest_difference(row, last_row(t, memories, part(ids, begin, i + 1 - begin))) < 1e-10);
    if (i % 12 == 11) memories.push_back(t.memory(part(ids, begin, 12)));
    CHECK(session.memories() == (i + 1) / 12);
    CHECK(session.local() == part(ids, (i + 1) / 12 * 12, (i + 1) % 12));
    CHECK(session.positions() == 3 * ((i + 1) / 12) + (i + 1) % 12);
  }
  const std::vector<DecoderSession::Compressed> compressed = session.take_compressed();
  REQUIRE(compressed.size() == 3);
  for (std::int64_t s = 0; s < 3; ++s) {
    const DecoderSession::Compressed& one = compressed[static_cast<std::size_t>(s)];
    CHECK(one.tokens == part(ids, 12 * s, 12));
    CHECK(largest_difference(one.hidden, t.method->encode(ids_tensor(one.tokens))[0]) < 1e-12);
    CHECK(largest_difference(one.kv.keys, memories[static_cast<std::size_t>(s)].keys) < 1e-12);
  }
  CHECK(session.take_compressed().empty());
}

TEST_CASE("chunks of any size give what single tokens give") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(71, 32);
  SlotSession by_token(t.model, t.method.get(), 96, false);
  at::Tensor expected;
  for (const std::int32_t id : ids) expected = by_token.add_tokens({id});
  for (const std::int64_t step : {2, 5, 12, 13, 24, 30, 71}) {
    INFO(step);
    SlotSession session(t.model, t.method.get(), 96, false);
    at::Tensor row;
    for (std::int64_t at = 0; at < 71; at += step)
      row = session.add_tokens(part(ids, at, std::min<std::int64_t>(step, 71 - at)));
    CHECK(largest_difference(row, expected) < 1e-10);
    CHECK(session.local() == by_token.local());
    CHECK(session.memories() == 5);
  }
}

TEST_CASE("without a method nothing is compressed") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(96, 33);
  SlotSession session(t.model, nullptr, 96, false);
  const at::Tensor row = session.add_tokens(ids);
  CHECK(largest_difference(row, last_row(t, {}, ids)) < 1e-10);
  CHECK(session.memories() == 0);
  CHECK(session.take_compressed().empty());
  check_error([&] { session.add_tokens({1}); }, ErrorKind::kMismatch, {"97 positions", "96"});
}

TEST_CASE("a session leaves nothing behind for the next") {
  const TinyMethod t;
  const std::vector<std::int32_t> first = random_ids(50, 34), second = random_ids(50, 35);
  const auto run = [&](const std::vector<std::int32_t>& ids) {
    return SlotSession(t.model, t.method.get(), 96, false).add_tokens(ids);
  };
  const at::Tensor before = run(second);
  run(first);
  CHECK(at::equal(run(second), before));
}

TEST_CASE("capacity: 28 memories and a whole segment fit, one memory more does not") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(31 * 12, 36);
  SlotSession session(t.model, t.method.get(), 96, false);
  CHECK_NOTHROW(session.add_tokens(part(ids, 0, 29 * 12)));
  CHECK(session.memories() == 29);
  check_error([&] { session.add_tokens(part(ids, 29 * 12, 12)); }, ErrorKind::kMismatch,
              {"29 memories", "12 raw tokens", "99 positions", "96"});
  CHECK_FALSE(test::error_of([&] { session.add_tokens(part(ids, 29 * 12, 12)); }).hint().empty());
  // What was refused has not happened: the nine positions that are left can be used.
  CHECK_NOTHROW(session.add_tokens(part(ids, 29 * 12, 9)));
  check_error([&] { session.add_tokens({1}); }, ErrorKind::kMismatch, {"10 raw tokens", "97 positions", "96"});

  SlotSession memories(t.model, t.method.get(), 96, false);
  for (int i = 0; i < 32; ++i) memories.add_memory(t.memory(part(ids, 0, 12)));
  check_error([&] { memories.add_memory(t.memory(part(ids, 0, 12))); }, ErrorKind::kMismatch,
              {"33 memories of 3", "99 positions", "96"});
}

TEST_CASE("the oldest memories go when that is asked for") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(40 * 12 + 5, 37);
  std::vector<KeysValues> memories;
  for (std::int64_t s = 0; s < 40; ++s) memories.push_back(t.memory(part(ids, 12 * s, 12)));
  const auto newest = [&](std::int64_t end, std::int64_t count) {
    return std::vector<KeysValues>(memories.begin() + end - count, memories.begin() + end);
  };
  SlotSession session(t.model, t.method.get(), 96, true);
  for (std::int64_t s = 0; s < 40; ++s) {
    const at::Tensor row = session.add_tokens(part(ids, 12 * s, 12));
    // 28 memories leave room for a whole raw segment.
    CHECK(largest_difference(row, last_row(t, newest(s, std::min<std::int64_t>(s, 28)), part(ids, 12 * s, 12))) < 1e-10);
    CHECK(session.positions() <= 96);
  }
  CHECK(session.take_compressed().size() == 40);
  const at::Tensor row = session.add_tokens(part(ids, 480, 5));
  CHECK(largest_difference(row, last_row(t, newest(40, 28), part(ids, 480, 5))) < 1e-10);

  // Memories that are read keep room for a raw segment as well.
  SlotSession reading(t.model, t.method.get(), 96, true);
  for (const KeysValues& memory : memories) reading.add_memory(memory);
  CHECK(reading.memories() == 28);
  CHECK(largest_difference(reading.add_tokens(part(ids, 480, 5)), last_row(t, newest(40, 28), part(ids, 480, 5))) < 1e-10);
}

TEST_CASE("without a method the oldest memories make room token by token") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(40, 38);
  const KeysValues memory = t.memory(part(ids, 0, 12));
  SlotSession session(t.model, nullptr, 96, true);
  for (int i = 0; i < 40; ++i) session.add_memory(memory);
  CHECK(session.memories() == 31);
  for (std::int64_t i = 0; i < 40; ++i) session.add_tokens({ids[static_cast<std::size_t>(i)]});
  CHECK(session.positions() <= 96);
  CHECK(largest_difference(session.add_tokens({7}), [&] {
          std::vector<std::int32_t> local = ids;
          local.push_back(7);
          return last_row(t, std::vector<KeysValues>(static_cast<std::size_t>(session.memories()), memory), local);
        }()) < 1e-10);
}

TEST_CASE("an ended document's text stays raw") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(60, 39);
  const KeysValues memory = t.memory(part(ids, 0, 12));
  SlotSession session(t.model, t.method.get(), 96, false);
  session.add_memory(memory);
  session.add_tokens(part(ids, 12, 7));
  session.end_document();
  CHECK(session.local().empty());
  session.add_memory(memory);
  const at::Tensor row = session.add_tokens(part(ids, 19, 11));
  CHECK(session.memories() == 2);
  CHECK(session.positions() == 3 + 7 + 3 + 11);
  DecoderContext context(t.model, 96);
  context.add_memory(memory.keys, memory.values);
  context.add_tokens(ids_tensor(part(ids, 12, 7)));
  context.add_memory(memory.keys, memory.values);
  CHECK(largest_difference(row, context.add_tokens(ids_tensor(part(ids, 19, 11))).select(1, 10)) < 1e-10);
  // The segment that fills up now is its own eleven tokens and one more, not the seven of before.
  session.add_tokens({5});
  const auto compressed = session.take_compressed();
  REQUIRE(compressed.size() == 1);
  CHECK(compressed[0].tokens.front() == ids[19]);
  CHECK(compressed[0].tokens.back() == 5);
  CHECK(session.positions() == 3 + 7 + 3 + 3);
  session.end_document();  // nothing local: nothing
  CHECK(session.positions() == 16);
}

TEST_CASE("memory in the middle of a local text is a bug of ours") {
  const TinyMethod t;
  SlotSession session(t.model, t.method.get(), 96, false);
  session.add_tokens({1, 2, 3});
  CHECK(test::error_of([&] { session.add_memory(t.memory(random_ids(12, 1))); }).kind() == ErrorKind::kInternal);
}

// What a query attends to most is read again, raw, behind the memories and before the local text.
TEST_CASE("segments nearest to the query are read again") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(5 * 12, 40), local = random_ids(4, 41), query = random_ids(7, 42);
  std::vector<KeysValues> memories;
  for (std::int64_t s = 0; s < 5; ++s) memories.push_back(t.memory(part(ids, 12 * s, 12)));
  // The second has no tokens, so it cannot be read again.
  const auto session = [&] {
    auto made = std::make_unique<SlotSession>(t.model, t.method.get(), 96, false);
    for (std::int64_t s = 0; s < 5; ++s) made->add_memory(memories[static_cast<std::size_t>(s)], s == 1 ? std::vector<std::int32_t>() : part(ids, 12 * s, 12));
    made->add_tokens(local);
    return made;
  };
  MemoryMass mass({{0, 3}, {6, 3}, {9, 3}, {12, 3}});
  DecoderContext context(t.model, 96);
  for (const KeysValues& memory : memories) context.add_memory(memory.keys, memory.values);
  context.add_tokens(ids_tensor(local));
  context.watch(&mass);
  context.add_tokens(ids_tensor(query));
  constexpr std::int64_t kSegments[] = {0, 2, 3, 4};
  for (const std::int64_t count : {1, 2, 4, 9}) {
    INFO(count);
    std::vector<std::int32_t> raw;
    for (const std::size_t i : mass.largest(count)) {
      const std::vector<std::int32_t> segment = part(ids, 12 * kSegments[i], 12);
      raw.insert(raw.end(), segment.begin(), segment.end());
    }
    REQUIRE(raw.size() == static_cast<std::size_t>(12 * std::min<std::int64_t>(count, 4)));
    const auto found = session();
    found->retrieve(query, count);
    CHECK(found->local() == local);
    std::vector<std::int32_t> all = raw;
    all.insert(all.end(), local.begin(), local.end());
    all.insert(all.end(), query.begin(), query.end());
    CHECK(largest_difference(found->add_tokens(query), last_row(t, memories, all)) < 1e-10);
    CHECK(found->local().size() == 11);
    found->add_tokens({3});  // the segment is full: its memory stands behind what was retrieved
    CHECK(found->memories() == 6);
    CHECK(found->positions() == 15 + static_cast<std::int64_t>(raw.size()) + 3);
  }
}

TEST_CASE("retrieving: nothing there, no room") {
  const TinyMethod t;
  const std::vector<std::int32_t> ids = random_ids(30 * 12, 43), query = random_ids(5, 44);
  SlotSession empty(t.model, t.method.get(), 96, false);
  check_error([&] { empty.retrieve(query, 1); }, ErrorKind::kMismatch, {"nothing to retrieve", "there is no memory"});
  SlotSession without(t.model, t.method.get(), 96, false);
  without.add_memory(t.memory(part(ids, 0, 12)));
  check_error([&] { without.retrieve(query, 1); }, ErrorKind::kMismatch, {"nothing to retrieve", "no memory has its tokens"});
  for (const bool drop_oldest : {false, true}) {
    SlotSession full(t.model, t.method.get(), 96, drop_oldest);
    for (std::int64_t s = 0; s < 26; ++s) full.add_memory(t.memory(part(ids, 12 * s, 12)), part(ids, 12 * s, 12));
    if (!drop_oldest) {
      check_error([&] { full.retrieve(query, 2); }, ErrorKind::kMismatch, {"26 memories", "24 raw tokens", "102 positions", "96"});
    } else {
      full.retrieve(query, 2);
      CHECK(full.memories() == 24);
      CHECK(full.positions() == 96);
    }
  }
}

TEST_CASE("no tokens, no row") {
  const TinyMethod t;
  SlotSession session(t.model, t.method.get(), 96, false);
  CHECK_FALSE(session.add_tokens({}).defined());
}

}  // namespace
}  // namespace uio
