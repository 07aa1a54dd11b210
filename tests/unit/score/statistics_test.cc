// Figures from log-probabilities, against numbers worked out by hand.
#include "score/statistics.h"

#include <catch2/catch.hpp>
#include <cmath>

namespace uio {
namespace {

TEST_CASE("mean, standard error, perplexities") {
  Likelihood l;
  for (const double logprob : {-1.0, -2.0, -4.0, -5.0}) l.add(logprob);
  l.bytes = 10, l.words = 3;
  CHECK(l.tokens == 4);
  CHECK(l.mean() == 3);
  // Deviations 2, 1, 1, 2: sample variance 10/3, of the mean 10/12.
  CHECK(l.standard_error() == Approx(std::sqrt(10.0 / 12)));
  const Json f = figures(l);
  CHECK(f.at("tokens") == 4);
  CHECK(f.at("bytes") == 10);
  CHECK(f.at("words") == 3);
  CHECK(f.at("nll") == 3);
  CHECK(f.at("nll_se").get<double>() == Approx(0.9128709));
  CHECK(f.at("perplexity").get<double>() == Approx(20.0855369));                         // e^3
  CHECK(f.at("word_perplexity").get<double>() == Approx(54.59815));                      // e^(12/3)
  CHECK(f.at("byte_perplexity").get<double>() == Approx(3.3201169));                     // e^(12/10)
  CHECK(f.at("bits_per_byte").get<double>() == Approx(1.7312340));                       // 1.2 / ln 2
  CHECK(f.at("perplexity_interval")[0].get<double>() == Approx(3.35608).epsilon(1e-5));  // e^(3 ∓ 1.96·0.9128709)
  CHECK(f.at("perplexity_interval")[1].get<double>() == Approx(120.2084).epsilon(1e-5));
}

TEST_CASE("figures that do not exist are null, not infinite") {
  const Json none = figures(Likelihood());
  for (const char* key : {"nll", "nll_se", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"})
    CHECK(none.at(key).is_null());
  CHECK(none.at("tokens") == 0);
  CHECK(none.at("perplexity_interval") == Json::array({nullptr, nullptr}));
  Likelihood one;
  one.add(-0.5);
  CHECK(figures(one).at("nll") == 0.5);
  CHECK(figures(one).at("nll_se").is_null());
  CHECK(figures(one).at("bits_per_byte").is_null());
  Likelihood certain_not;
  certain_not.add(-1000);  // e^1000 is no number of JSON
  CHECK(figures(certain_not).at("perplexity").is_null());
  CHECK(figures(certain_not).at("nll") == 1000);
}

TEST_CASE("equal terms have no error") {
  Likelihood l;
  for (int i = 0; i < 1000; ++i) l.add(-0.1);
  CHECK(l.standard_error() == Approx(0).margin(1e-8));
}

TEST_CASE("sums of documents are documents of sums") {
  Likelihood a, b, both;
  for (const double logprob : {-0.3, -2.5}) a.add(logprob), both.add(logprob);
  for (const double logprob : {-1.7, -0.2, -6.0}) b.add(logprob), both.add(logprob);
  a.bytes = 3, b.bytes = 4, a.words = 1, b.words = 2;
  a += b;
  CHECK(a.tokens == 5);
  CHECK(a.mean() == Approx(both.mean()));
  CHECK(a.standard_error() == Approx(both.standard_error()));
  CHECK(a.bytes == 7);
  CHECK(a.words == 3);
}

TEST_CASE("shares have Wilson's interval") {
  Proportion p;
  CHECK(std::isnan(p.value()));
  CHECK(p.interval().is_null());
  for (int i = 0; i < 10; ++i) p.add(i < 9);
  CHECK(p.value() == 0.9);
  // (0.9 + 1.96²/20 ∓ 1.96 √(0.009 + 1.96²/400)) / (1 + 1.96²/10)
  CHECK(p.interval()[0].get<double>() == Approx(0.595849).epsilon(1e-5));
  CHECK(p.interval()[1].get<double>() == Approx(0.982123).epsilon(1e-5));
  Proportion all{5, 5}, none{0, 5};
  CHECK(all.interval()[1] == 1.0);
  CHECK(all.interval()[0].get<double>() == Approx(0.5655085));  // 1 / (1 + 1.96²/5)
  CHECK(none.interval()[0] == 0.0);
  all += none;
  CHECK((all.right == 5 && all.n == 10));
}

TEST_CASE("figures of documents: mean, error of the mean, least and most") {
  Sample s;
  CHECK((std::isnan(s.mean()) && std::isnan(s.least())));
  s.add(3);
  CHECK((s.mean() == 3 && s.least() == 3 && s.most() == 3));
  CHECK(s.interval() == Json::array({nullptr, nullptr}));
  for (const double value : {1.0, 4.0, 0.0}) s.add(value);
  CHECK(s.mean() == 2);
  CHECK(s.standard_error() == Approx(std::sqrt(10.0 / 3 / 4)));
  CHECK((s.least() == 0 && s.most() == 4));
  CHECK(s.interval(2)[1].get<double>() == Approx(4 + 2 * 1.96 * 0.9128709));
}

TEST_CASE("words are what white space parts") {
  CHECK(count_words("") == 0);
  CHECK(count_words(" \t\r\n\v\f") == 0);
  CHECK(count_words("one") == 1);
  CHECK(count_words("  one\ntwo,three  four\t") == 3);
  CHECK(count_words("caf\xc3\xa9 \xe4\xbd\xa0\xe5\xa5\xbd") == 2);
}

}  // namespace
}  // namespace uio
