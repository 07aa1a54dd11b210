#include "io/inspect.h"

#include "io/json.h"
#include "io/safetensors.h"
#include "io/train_state.h"
#include "unit/io/samples.h"
#include "unit/io/scratch.h"

using namespace uio;
using namespace uio::test;

namespace {

struct RecordingHost : Host {
  void note(const std::string&) override {}
  void warn(const std::string&) override {}
  void fail(const Error& error) override { failures.push_back(error); }
  void succeed() override { ++successes; }
  void progress(std::uint64_t, std::uint64_t, const char*) override {}
  double seconds() override { return 0; }
  std::vector<Error> failures;
  int successes = 0;
};

struct Run {
  std::string output;
  RecordingHost host;
  std::vector<Json> lines() const {
    std::vector<Json> found;
    std::string_view rest = output;
    while (!rest.empty()) {
      const auto end = rest.find('\n');
      found.push_back(parse_json(rest.substr(0, end), "line"));
      rest.remove_prefix(end + 1);
    }
    return found;
  }
};

Run run(const InspectJob& job, const std::vector<std::string>& inputs) {
  Run result;
  MemorySink sink;
  JobIo io{inputs, &sink, &result.host, {"uio-inspect", "9.9.9", {{"cut", ""}}}};
  inspect(job, io);
  result.output = sink.bytes();
  return result;
}

std::vector<Record> book(const std::string& id, int memories) {
  std::vector<Record> records;
  for (int i = 0; i < memories; ++i) {
    Memory memory = small_memory(static_cast<std::uint64_t>(i));
    memory.span.document = id;
    records.push_back(memory);
  }
  Segment tail = small_segment(static_cast<std::uint64_t>(memories));
  tail.span.document = id;
  tail.span.is_last = true;
  records.push_back(tail);
  return records;
}

InspectJob cut_job(std::vector<std::string> documents, std::string segments) {
  InspectJob job;
  job.cut = true;
  job.documents = std::move(documents);
  job.segments = std::move(segments);
  return job;
}

}  // namespace

TEST_CASE("the listing has one line a record between start and end") {
  const Scratch scratch;
  const std::string stream = make_stream(book("a/b.txt", 2));
  const auto offsets = frame_offsets(stream);
  const Run result = run({}, {scratch.write("a.uio", stream)});
  const auto lines = result.lines();
  REQUIRE(lines.size() == 5);
  CHECK(lines[0]["kind"] == "start");
  CHECK(lines[0]["provenance"] ==
        Json::parse(R"([{"program":"uio-segment","version":"0.1.0","options":{"segment-length":"4"}}])"));
  CHECK(lines[1] ==
        Json::parse(R"({"kind":"memory","id":"a/b.txt","segment":0,"first_token":0,"byte_begin":0,"byte_end":5,"is_last":false,
    "method":"uio","positions":"staged","form":"kv","precision":"exact","dtype":"bf16","layers":2,"kv_heads":2,"head_size":3,
    "memory_length":2,"segment_length":4,"token_count":4,"base":")" +
                    digits('1') + R"(","tokenizer":")" + digits('2') + R"(","adapter":")" + digits('3') +
                    R"(","token_hash":")" + digits('4') + R"(","offset":)" + std::to_string(offsets[1]) + R"(,"bytes":)" +
                    std::to_string(offsets[2] - offsets[1]) + "}"));
  CHECK(lines[2]["segment"] == 1);
  CHECK(
      lines[3] ==
      Json::parse(R"({"kind":"segment","id":"a/b.txt","segment":2,"first_token":8,"byte_begin":10,"byte_end":15,"is_last":true,
    "segment_length":4,"is_closed":false,"is_full":false,"token_count":3,"tokenizer":")" +
                  digits('a') + R"(","offset":)" + std::to_string(offsets[3]) + R"(,"bytes":)" +
                  std::to_string(offsets[4] - offsets[3]) + "}"));
  CHECK(lines[4] == Json::parse(R"({"kind":"end","records":3})"));
  CHECK(result.host.successes == 1);
}

TEST_CASE("--tokens adds the ids, selectors choose records") {
  const Scratch scratch;
  const std::string path = scratch.write("a.uio", make_stream(book("a", 2)) + make_stream(book("b", 1)));
  InspectJob job;
  job.tokens = true;
  job.documents = {"b"};
  job.segments = "1";
  const auto lines = run(job, {path}).lines();
  REQUIRE(lines.size() == 5);
  CHECK(lines[3]["tokens"] == Json::parse("[1,15043,2147483647]"));
  job.documents = {"c"};
  CHECK(status_of([&] { run(job, {path}); }) == 1);
}

TEST_CASE("a segment with weights shows how many tokens are scored, and with --tokens the weights") {
  const Scratch scratch;
  const std::string path = scratch.write("a.seg", make_stream({weighted_segment(), small_segment(1)}));
  auto lines = run({}, {path}).lines();
  CHECK(lines[1]["scored"] == 2);
  CHECK(!lines[1].contains("weights"));
  CHECK(!lines[2].contains("scored"));
  InspectJob job;
  job.tokens = true;
  lines = run(job, {path}).lines();
  CHECK(lines[1]["weights"] == Json::parse("[0,1,255]"));
  CHECK(!lines[2].contains("weights"));
}

TEST_CASE("cutting keeps weights") {
  const Scratch scratch;
  const std::string path = scratch.write("a.seg", make_stream({small_segment(), weighted_segment(1)}));
  CHECK(same(read_stream(run(cut_job({}, "1"), {path}).output), {weighted_segment(1)}));
}

TEST_CASE("an id that is not UTF-8 is shown, and given exactly in hexadecimal") {
  const Scratch scratch;
  Segment segment = small_segment();
  segment.span.document = "a\xff";
  const auto lines = run({}, {scratch.write("a.uio", make_stream({segment}))}).lines();
  CHECK(lines[1]["id"] == "a\xef\xbf\xbd");
  CHECK(lines[1]["id_hex"] == "61ff");
}

TEST_CASE("--verify gives one line an input, reports the bad ones and goes on") {
  const Scratch scratch;
  const std::string good = make_stream(book("a", 2));
  InspectJob job;
  job.verify = true;
  const std::string a = scratch.write("a.uio", good), b = scratch.write("b.uio", good.substr(0, good.size() - 1)),
                    c = scratch.write("c.uio", "");
  const Run result = run(job, {a, b, scratch.path("none"), c, a});
  const auto lines = result.lines();
  REQUIRE(lines.size() == 5);
  CHECK(lines[0] == Json{{"file", a}, {"ok", true}, {"records", 3}, {"segments", 1}, {"memories", 2}});
  CHECK(lines[1]["ok"] == false);
  CHECK(lines[2]["ok"] == false);
  CHECK(lines[3]["ok"] == false);
  CHECK(lines[4]["ok"] == true);
  REQUIRE(result.host.failures.size() == 3);
  CHECK(result.host.failures[0].status() == 3);
  CHECK(result.host.failures[1].status() == 5);
  CHECK(result.host.failures[2].status() == 3);
  CHECK(result.host.successes == 2);
}

TEST_CASE("the listing of a damaged stream shows what was whole, then fails that input") {
  const Scratch scratch;
  const std::string good = make_stream(book("a", 2));
  const Run result = run({}, {scratch.write("a.uio", good.substr(0, frame_offsets(good)[2] + 20))});
  CHECK(result.lines().size() == 2);
  CHECK(result.host.failures.size() == 1);
  CHECK(result.host.successes == 0);
}

TEST_CASE("--index is read back by the index") {
  const Scratch scratch;
  const std::string stream = make_stream(book("a", 1));
  InspectJob job;
  job.index = true;
  const auto lines = run(job, {scratch.write("a.uio", stream)}).lines();
  const auto offsets = frame_offsets(stream);
  REQUIRE(lines.size() == 2);
  CHECK(
      lines[0] ==
      Json{{"offset", offsets[1]}, {"length", offsets[2] - offsets[1]}, {"document", "a"}, {"segment", 0}, {"kind", "memory"}});
  CHECK(lines[1]["kind"] == "segment");
}

TEST_CASE("--export writes each layer's tensors as they were") {
  const Scratch scratch;
  InspectJob job;
  job.export_path = scratch.path("out.safetensors");
  const Memory hidden = small_memory(5, DType::kF32, Form::kHidden);
  auto records = book("a/b", 2);
  records.push_back(hidden);
  CHECK(run(job, {scratch.write("a.uio", make_stream(records))}).output.empty());
  const SafetensorsFile file(job.export_path);
  CHECK(file.tensors().size() == 2 * 2 * 2 + 2);
  const TensorView& key = file.tensors().at("a/b/1/1/key");
  CHECK(key.dtype == "BF16");
  CHECK(key.shape == std::vector<std::int64_t>{2, 2, 3});
  const Memory memory = small_memory(1);
  CHECK(std::memcmp(key.bytes.data(), memory.keys.data() + 24, 24) == 0);
  CHECK(std::memcmp(file.tensors().at("a/b/1/0/value").bytes.data(), memory.values.data(), 24) == 0);
  const TensorView& state = file.tensors().at("a.txt/5/1/hidden");
  CHECK(state.dtype == "F32");
  CHECK(state.shape == std::vector<std::int64_t>{2, 3});
  CHECK(std::memcmp(state.bytes.data(), hidden.keys.data() + 24, 24) == 0);
}

TEST_CASE("--export takes selectors, several inputs, and no two tensors of one name") {
  const Scratch scratch;
  InspectJob job;
  job.export_path = scratch.path("out.safetensors");
  const std::string a = scratch.write("a.uio", make_stream(book("a", 2))),
                    b = scratch.write("b.uio", make_stream(book("b", 2)));
  job.segments = "1-";
  run(job, {a, b});
  CHECK(SafetensorsFile(job.export_path).tensors().size() == 8);
  CHECK(message_of([&] { run(job, {a, a}); }).ends_with("two tensors have the name 'a/1/0/key'"));
  job.documents = {"c"};
  CHECK(status_of([&] { run(job, {a}); }) == 1);
  job = {};
  job.export_path = scratch.path("bad.safetensors");
  auto records = book("no\xff", 1);
  CHECK(status_of([&] { run(job, {scratch.write("c.uio", make_stream(records))}); }) == 3);
  CHECK(!std::filesystem::exists(job.export_path));
}

TEST_CASE("cut takes records out, join puts streams together, neither touches a payload") {
  const Scratch scratch;
  const auto a = book("a", 3), b = book("b", 1);
  const std::string stream = make_stream(a);
  const std::string one = scratch.write("a.uio", stream), two = scratch.write("b.uio", make_stream(b, {{"other", "1", {}}}));

  Run result = run(cut_job({}, "1-2"), {one});
  CHECK(same(read_stream(result.output), {a[1], a[2]}));
  CHECK(result.output.find(stream.substr(frame_offsets(stream)[3] - 40, 40)) != std::string::npos);

  result = run(cut_job({}, ""), {one, two, one});
  std::vector<Record> all = a;
  all.insert(all.end(), b.begin(), b.end());
  all.insert(all.end(), a.begin(), a.end());
  CHECK(same(read_stream(result.output), all));

  result = run(cut_job({"b"}, ""), {one, two});
  CHECK(same(read_stream(result.output), b));
  const auto source = memory_source(as_bytes(result.output), "out");
  RecordReader reader(*source);
  reader.next();
  REQUIRE(reader.provenance().size() == 2);
  CHECK(reader.provenance()[0].program == "other");
  CHECK(reader.provenance()[1].program == "uio-inspect");
}

TEST_CASE("joining streams of one provenance makes one section; a cut of nothing is a whole, empty stream with status 1") {
  const Scratch scratch;
  const std::string a = scratch.write("a.uio", make_stream(book("a", 1))),
                    b = scratch.write("b.uio", make_stream(book("b", 1)));
  const std::string joined = run(cut_job({}, ""), {a, b}).output;
  CHECK(frame_offsets(joined).size() - 1 == 2 + 4);
  CHECK(read_stream(run(cut_job({}, ""), {scratch.write("none.uio", make_stream({}))}).output).empty());
  CHECK(status_of([&] { run(cut_job({"c"}, ""), {a}); }) == 1);
  // A damaged input stops the run: half a join is no join.
  const std::string bad = scratch.write("bad.uio", make_stream(book("b", 1)).substr(0, 700));
  CHECK(status_of([&] { run(cut_job({}, ""), {a, bad}); }) == 3);
}

TEST_CASE("safetensors files and adapters are one line") {
  const Scratch scratch;
  std::filesystem::create_directory(scratch.path("adapter"));
  {
    const auto sink = open_sink(scratch.path("adapter/adapter_model.safetensors"));
    SafetensorsWriter writer(*sink, {{"memory_tokens", "F32", {1, 2}, 8}}, {});
    writer.write(as_bytes("12345678"));
    writer.finish();
    sink->commit();
  }
  const std::string file = scratch.path("adapter/adapter_model.safetensors");
  const Json tensors = Json::parse(R"([{"name":"memory_tokens","dtype":"F32","shape":[1,2],"bytes":8}])");
  auto lines = run({}, {file}).lines();
  CHECK(lines[0]["kind"] == "safetensors");
  CHECK(lines[0]["tensors"] == tensors);
  scratch.write("adapter/adapter_config.json", R"({"method":"uio"})");
  lines = run({}, {scratch.path("adapter")}).lines();
  CHECK(lines[0]["kind"] == "adapter");
  CHECK(lines[0]["config"]["method"] == "uio");
  CHECK(lines[0]["tensors"] == tensors);
  InspectJob job;
  job.verify = true;
  CHECK(run(job, {file}).lines()[0] == Json{{"file", file}, {"ok", true}, {"tensors", 1}});
  // By content, whatever the name.
  std::filesystem::copy(file, scratch.path("state"));
  CHECK(run({}, {scratch.path("state")}).lines()[0]["kind"] == "safetensors");
  const Run bad = run({}, {scratch.write("x.safetensors", "short"), scratch.write("text", "some text"), scratch.path("")});
  REQUIRE(bad.host.failures.size() == 3);
  CHECK(bad.host.failures[0].status() == 3);
  CHECK(bad.host.failures[1].status() == 3);
  CHECK(bad.host.failures[2].status() == 5);
}

TEST_CASE("a state is a line for itself and one for each tensor; damaged it is refused") {
  const Scratch scratch;
  MemorySink sink;
  const std::vector<StateTensor> tensors = {{"b", "F32", {2, 1}, as_bytes("12345678")}, {"a", "U8", {}, as_bytes("1")}};
  write_train_state(sink, {{"step", 3}, {"kind", "anything"}}, tensors);
  const std::string path = scratch.write("run.state", sink.bytes());
  const Run listed = run({}, {path});
  CHECK(listed.host.failures.empty());
  const auto lines = listed.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == Json{{"kind", "train_state"},
                         {"file", path},
                         {"format", "uio-train-state"},
                         {"version", 1},
                         {"description", {{"step", 3}, {"kind", "anything"}}},
                         {"tensors", 2},
                         {"values", 3}});
  CHECK(lines[1] == Json{{"kind", "tensor"}, {"tensor", "a"}, {"dtype", "U8"}, {"shape", Json::array()}});
  CHECK(lines[2] == Json{{"kind", "tensor"}, {"tensor", "b"}, {"dtype", "F32"}, {"shape", {2, 1}}});

  InspectJob job;
  job.verify = true;
  CHECK(run(job, {path}).lines() == std::vector<Json>{{{"file", path}, {"ok", true}, {"tensors", 2}}});
  std::string bad = sink.bytes();
  bad.back() ^= 1;
  const Run refused = run(job, {scratch.write("bad.state", bad), path});
  CHECK(refused.lines()[0]["ok"] == false);
  CHECK(refused.lines()[1]["ok"] == true);
  REQUIRE(refused.host.failures.size() == 1);
  CHECK(refused.host.failures[0].status() == 3);
  CHECK(run({}, {scratch.path("bad.state")}).output.empty());
  // Its first word damaged, it does not pass for other safetensors.
  bad = sink.bytes();
  bad[bad.find("uio-train-state")] ^= 1;
  CHECK(run(job, {scratch.write("bad.state", bad)}).host.failures.size() == 1);
}

TEST_CASE("options that exclude each other are misuse") {
  const Scratch scratch;
  const std::string path = scratch.write("a.uio", make_stream(book("a", 1)));
  const auto status = [&](const std::function<void(InspectJob&)>& set, std::vector<std::string> inputs) {
    InspectJob job;
    set(job);
    return status_of([&] { run(job, inputs); });
  };
  CHECK(status([](InspectJob& job) { job.verify = job.index = true; }, {path}) == 2);
  CHECK(status([](InspectJob& job) { job.cut = true, job.export_path = "x"; }, {path}) == 2);
  CHECK(status([](InspectJob& job) { job.tokens = job.cut = true; }, {path}) == 2);
  CHECK(status([](InspectJob& job) { job.verify = true, job.segments = "1"; }, {path}) == 2);
  CHECK(status([](InspectJob& job) { job.index = true; }, {path, path}) == 2);
  CHECK(status([](InspectJob& job) { job.segments = "x"; }, {path}) == 2);
}
