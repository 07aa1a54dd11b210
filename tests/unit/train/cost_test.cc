// What estimators cost: how often an encoder, a head, a loss is run and traversed, and how many of their graphs are alive at once.
#include <catch2/catch.hpp>

#include <map>

#include "unit/train/toy.h"
#include "unit/train/walk.h"

namespace uio {
namespace {

using test::one_loss_each;
using test::Toy;

struct Count {
  int runs = 0, graphs = 0, backwards = 0;  // graphs: runs that recorded one
  int alive = 0, most = 0;                  // graphs not yet freed, now and at most
};

// Counts by hooks on outputs: a hook lives as long as the graph behind it, and is called when that is traversed.
class Counting : public Toy {
 public:
  using Toy::Toy;
  at::Tensor encode(std::int64_t s, std::span<const at::Tensor> earlier) override {
    before_encode(s);
    return watched(Toy::encode(s, earlier), encoder);
  }
  std::vector<at::Tensor> transfer(std::int64_t s, const at::Tensor& memory) override {
    std::vector<at::Tensor> seen = Toy::transfer(s, memory);
    seen[1] = watched(seen[1], head);
    return seen;
  }
  at::Tensor loss(std::int64_t j, const std::vector<at::Tensor>& carried) override { return watched(Toy::loss(j, carried), decoder); }

  Count encoder, head, decoder;
  int most_at_once = 0;  // encoder and decoder graphs together
  std::function<void(std::int64_t)> before_encode = [](std::int64_t) {};

 private:
  struct Alive {
    Alive(Count& count) : count(count) { count.most = std::max(count.most, ++count.alive); }
    ~Alive() { --count.alive; }
    Count& count;
  };
  at::Tensor watched(at::Tensor output, Count& count) {
    ++count.runs;
    CHECK(output.requires_grad() == at::GradMode::is_enabled());
    if (!output.requires_grad()) return output;
    ++count.graphs;
    output.register_hook([alive = std::make_shared<Alive>(count)](const at::Tensor&) { ++alive->count.backwards; });
    most_at_once = std::max(most_at_once, encoder.alive + decoder.alive);
    return output;
  }
};

Counting counted(const std::string& name, std::int64_t memories, const EstimatorSettings& settings, bool is_recurrent = false) {
  Counting toy(one_loss_each(1, memories), is_recurrent);
  test::estimate(name, toy, settings);
  INFO(name << ", K " << memories);
  CHECK(toy.encoder.alive == 0);
  CHECK(toy.head.alive == 0);
  CHECK(toy.decoder.alive == 0);
  CHECK(toy.decoder.runs == memories);
  CHECK(toy.decoder.backwards == memories);
  return toy;
}

TEST_CASE("exact keeps one graph at a time, however long the document") {
  for (const bool is_recurrent : {false, true})
    for (const int memories : {4, 16, 64}) {
      const Counting toy = counted("exact", memories, {}, is_recurrent);
      INFO("K " << memories);
      CHECK(toy.encoder.runs == 2 * memories);
      CHECK(toy.encoder.graphs == memories);
      CHECK(toy.encoder.backwards == memories);
      CHECK(toy.encoder.most == 1);
      CHECK(toy.decoder.most == 1);
      CHECK(toy.most_at_once == 1);
      CHECK(toy.head.runs == 2 * memories);
      CHECK(toy.head.backwards == memories);
      CHECK(toy.head.most == 1);
    }
}

TEST_CASE("the references keep what they say") {
  for (const int memories : {4, 16}) {
    const Counting whole = counted("bptt", memories, {});
    CHECK(whole.encoder.runs == memories);
    CHECK(whole.encoder.backwards == memories);
    CHECK(whole.head.backwards == memories);
    CHECK(whole.encoder.most == memories);
    CHECK(whole.decoder.most == memories);
    for (const int window : {1, 2, 3}) {
      const Counting naive = counted("tbptt", memories, {.window = window});
      INFO("K " << memories << ", W " << window);
      int traversals = 0;
      for (int n = 1; n <= memories; ++n) traversals += std::min(n, window);
      CHECK(naive.encoder.runs == memories);
      CHECK(naive.encoder.backwards == traversals);
      CHECK(naive.head.runs == memories * (memories + 1) / 2);
      CHECK(naive.encoder.most <= window + 1);  // it encodes before it cuts
      CHECK(naive.decoder.most == 1);
    }
  }
}

TEST_CASE("windows keep W graphs and traverse each encoder once") {
  for (const std::string name : {"incremental", "decayed"})
    for (const int memories : {4, 16, 64})
      for (const int window : {1, 2, 5, 100}) {
        const Counting toy = counted(name, memories, {.window = window});
        INFO(name << ", K " << memories << ", W " << window);
        CHECK(toy.encoder.runs == memories);
        CHECK(toy.encoder.graphs == memories);
        CHECK(toy.encoder.backwards == memories);
        CHECK(toy.encoder.most == std::min(memories, window));
        CHECK(toy.decoder.most == 1);
        CHECK(toy.head.most == 1);
      }
  for (const int memories : {4, 16}) {
    const Counting toy = counted("window+tail", memories, {.window = 2, .reservoir = 3});
    CHECK(toy.encoder.runs == memories);
    CHECK(toy.encoder.backwards == memories);
    CHECK(toy.encoder.most == std::min(memories, 5));
    CHECK(toy.decoder.most == 1);
  }
}

// Counts how often something is asked.
class Asked : public Draws {
 public:
  explicit Asked(Draws& inner) : inner_(inner) {}
  bool happens(double p) override { return ++admissions, inner_.happens(p); }
  std::int64_t one_of(std::int64_t n) override { return inner_.one_of(n); }
  std::int64_t weighted(std::span<const double> probabilities) override { return ++draws, inner_.weighted(probabilities); }
  int admissions = 0, draws = 0;

 private:
  Draws& inner_;
};

TEST_CASE("the reservoir decides first, and encodes what it rejects without a graph") {
  constexpr int kMemories = 6;
  for (const std::string name : {"reservoir", "released"})
    for (const int size : {1, 2, 3}) {
      double expected_backwards = 0;
      std::map<int, double> admitted;  // by number of graphs
      test::walk(
          [&](Draws& draws) {
            Counting toy(one_loss_each(1, kMemories), false);
            Asked asked(draws);
            toy.before_encode = [&](std::int64_t s) { CHECK(asked.admissions == std::max<std::int64_t>(0, s + 1 - size)); };
            test::estimate(name, toy, {.reservoir = size}, asked);
            CHECK(toy.encoder.runs == kMemories);
            CHECK(toy.encoder.backwards == toy.encoder.graphs);
            CHECK(toy.encoder.most == size);
            CHECK(toy.decoder.most == 1);
            CHECK(toy.encoder.alive == 0);
            return toy.encoder.graphs;
          },
          [&](int graphs, double p) {
            expected_backwards += p * graphs;
            admitted[graphs] += p;
          });
      double harmonic = 0;
      for (int n = size + 1; n <= kMemories; ++n) harmonic += 1.0 / n;
      INFO(name << ", τ " << size);
      CHECK(expected_backwards == Approx(size * (1 + harmonic)).epsilon(1e-12));
      CHECK(admitted.begin()->first == size);  // none but the first
      CHECK(admitted.rbegin()->first == kMemories);
    }
}

TEST_CASE("importance runs again what it draws, after all is known") {
  for (const int memories : {4, 16, 64}) {
    Counting toy(one_loss_each(1, memories), false);
    SeededDraws seeded(1, 0);
    Asked asked(seeded);
    toy.before_encode = [&](std::int64_t) { CHECK(asked.draws == (toy.encoder.runs < memories ? 0 : 3)); };
    test::estimate("importance", toy, {.reservoir = 3}, asked);
    INFO("K " << memories);
    CHECK(asked.draws == 3);
    CHECK(toy.encoder.graphs <= 3);
    CHECK(toy.encoder.graphs >= 1);
    CHECK(toy.encoder.runs == memories + toy.encoder.graphs);
    CHECK(toy.encoder.backwards == toy.encoder.graphs);
    CHECK(toy.encoder.most == 1);
    CHECK(toy.decoder.most == 1);
    CHECK(toy.head.backwards == memories);
  }
}

}  // namespace
}  // namespace uio
