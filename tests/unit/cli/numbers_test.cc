#include "cli/numbers.h"

#include <catch2/catch.hpp>

#include "base/error.h"

using namespace uio;
using namespace uio::cli;

namespace {

// Status and whole message of what `action` throws.
template <typename Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return std::to_string(error.status()) + " " + error.what();
  }
  return "taken";
}

}  // namespace

TEST_CASE("whole numbers are read whole or refused with their range") {
  CHECK(parse_whole("--n", "0", 0, 10) == 0);
  CHECK(parse_whole("--n", "10", 0, 10) == 10);
  CHECK(parse_whole("--n", "18446744073709551615", 0, UINT64_MAX) == UINT64_MAX);
  for (const char* text : {"", " 1", "1 ", "+1", "-1", "1.0", "1e3", "0x10", "11", "ten", "18446744073709551616"}) {
    INFO(text);
    CHECK(refusal([&] { parse_whole("--n", text, 1, 10); }).starts_with("2 bad value of --n: "));
  }
  CHECK(refusal([] { parse_whole("--n", "12", 1, 10); }) == "2 bad value of --n: '12': expected a whole number from 1 to 10");
}

TEST_CASE("sizes are bytes, or have a unit") {
  CHECK(parse_size("--s", "1") == 1);
  CHECK(parse_size("--s", "1000000") == 1000000);
  CHECK(parse_size("--s", "1K") == 1024);
  CHECK(parse_size("--s", "500M") == 500ull << 20);
  CHECK(parse_size("--s", "3G") == 3ull << 30);
  CHECK(parse_size("--s", "2T") == 2ull << 40);
  for (const char* text : {"", "0", "0K", "K", "-1", "+1", "1k", "1.5G", "1 K", "1KB", "9223372036854775808", "8388608T"}) {
    INFO(text);
    CHECK(refusal([&] { parse_size("--s", text); }).starts_with("2 bad value of --s: "));
  }
}

TEST_CASE("lengths are distinct sizes") {
  CHECK(parse_lengths("--l", "512") == std::vector<std::uint64_t>{512});
  CHECK(parse_lengths("--l", "512,4K,1M,1") == std::vector<std::uint64_t>{512, 4096, 1 << 20, 1});
  for (const char* text : {"", ",", "512,", "0", "1,,2", "4K,4096", "K", "1 ,2", "-1"}) {
    INFO(text);
    CHECK(refusal([&] { parse_lengths("--l", text); }).starts_with("2 bad value of --l: "));
  }
}

TEST_CASE("real numbers are finite decimals") {
  CHECK(parse_real("--x", "0.25", 0, 1) == 0.25);
  CHECK(parse_real("--x", "1e-3", 0, 1) == 1e-3);
  CHECK(parse_real("--x", "1", 0, 1) == 1);
  for (const char* text : {"", "nan", "inf", "-inf", "-0.1", "1.1", "0x1p-1", "0,5", ".", "1e", "1 "}) {
    INFO(text);
    CHECK(refusal([&] { parse_real("--x", text, 0, 1); }).starts_with("2 bad value of --x: "));
  }
  CHECK(refusal([] { parse_real("--x", "2", 0.01, 1); }) == "2 bad value of --x: '2': expected a number from 0.01 to 1");
}

TEST_CASE("choices are never abbreviated") {
  CHECK(parse_choice("--c", "auto", "auto|always") == "auto");
  for (const char* text : {"", "a", "auto|always", "Auto", "never"}) {
    INFO(text);
    CHECK(refusal([&] { parse_choice("--c", text, "auto|always"); }).ends_with("expected auto|always"));
  }
}

TEST_CASE("lists of choices name each once") {
  CHECK(parse_choices("--c", "b,a", "a|b|c") == std::vector<std::string>{"b", "a"});
  for (const char* text : {"", ",", "a,", ",a", "a,,b", "a,a", "a b", "d"}) {
    INFO(text);
    CHECK(refusal([&] { parse_choices("--c", text, "a|b|c"); }).starts_with("2 bad value of --c"));
  }
}

TEST_CASE("lists of numbers") {
  CHECK(parse_reals("--x", "0.9,0.95", 0, 1) == std::vector<double>{0.9, 0.95});
  CHECK(parse_reals("--x", "1", 0, 1) == std::vector<double>{1});
  for (const char* text : {"", ",", "1,", ",1", "0.5,,0.5", "0.5 0.5", "0.5,2"}) {
    INFO(text);
    CHECK(refusal([&] { parse_reals("--x", text, 0, 1); }).starts_with("2 bad value of --x"));
  }
  CHECK(parse_weights("--x", "0,2.5") == std::vector<double>{0, 2.5});
  CHECK(refusal([] { parse_weights("--x", "0,0"); }) == "2 bad value of --x: '0,0': expected one weight that is more than 0");
  CHECK(refusal([] { parse_weights("--x", "1,-1"); }).starts_with("2 bad value of --x: '-1'"));
}

TEST_CASE("choices with weights") {
  using Weighted = std::vector<std::pair<std::string, double>>;
  CHECK(parse_weighted_choices("--c", "b=0.5,a=2", "a|b|c") == Weighted{{"b", 0.5}, {"a", 2}});
  for (const char* text : {"", ",", "a", "a=", "=1", "a=1,", "a=1,a=2", "d=1", "a=-1", "a=1=1", "a=0", "a=0,b=0", "a=nan"}) {
    INFO(text);
    CHECK(refusal([&] { parse_weighted_choices("--c", text, "a|b|c"); }).starts_with("2 bad value of --c"));
  }
}

TEST_CASE("schedules of CrossBatch training") {
  const auto shown = [](const std::string& text) {
    std::string out;
    for (const CrossPhase& phase : parse_crossbatch("--c", text)) {
      out += "[" + std::to_string(phase.begin);
      for (const auto& mixtures : phase.choices) {
        out += " |";
        for (const Mixture& one : mixtures) out += " " + std::to_string(one.positives) + "+" + std::to_string(one.negatives);
      }
      out += "]";
    }
    return out;
  };
  CHECK(shown("1+1") == "[0 | 1+1]");
  CHECK(shown("0+0,1+1,2+1,3+0") == "[0 | 0+0 1+1 2+1 3+0]");
  CHECK(shown("1+1/1+127") == "[0 | 1+1 | 1+127]");
  CHECK(shown("1+0@0,1+1,1+7/2+0@500,1+63@600") == "[0 | 1+0][500 | 1+1 1+7 | 2+0][600 | 1+63]");
  for (const char* text : {"", ",", "1", "1+", "+1", "1+1+1", "-1+1", "1+x", "1+70000", "1+1,", "1+1/", "/1+1", "@0", "1+1@", "1+1@x", "1+1@0@1", "1+1@5", "1+1@0,1+2",
                           "1+1@0,1+2@0", "1+1@0,1+2@9,1+3@8"}) {
    INFO(text);
    CHECK(refusal([&] { parse_crossbatch("--c", text); }).starts_with("2 bad value of --c"));
  }
}

TEST_CASE("devices") {
  for (const char* text : {"auto", "cpu", "cuda", "cuda:0", "cuda:17"}) CHECK(parse_device("--device", text) == text);
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:1234", "CPU", "cpu:0"}) {
    INFO(text);
    CHECK(refusal([&] { parse_device("--device", text); }).starts_with("2 bad value of --device"));
  }
}

TEST_CASE("split keeps empty parts") {
  CHECK(split("", '|').empty());
  CHECK(split("a", '|') == std::vector<std::string>{"a"});
  CHECK(split("|a||", '|') == std::vector<std::string>{"", "a", "", ""});
}
