// Values on the command line, read strictly: the whole text, within a stated range, or a message that names the range.
// Place in the order: cli, beside the library; only cmd/ links it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/jobs.h"

namespace uio::cli {

// Each throws Error{kUsage} that names `option`, the value found and what was expected.
std::uint64_t parse_whole(const std::string& option, const std::string& text, std::uint64_t least, std::uint64_t most);
// A number of bytes from 1 on, perhaps with K, M, G or T (powers of 1024) behind it.
std::uint64_t parse_size(const std::string& option, const std::string& text);
// Distinct numbers separated by commas, at least one, each from 1 on and perhaps with K, M, G or T behind it.
std::vector<std::uint64_t> parse_lengths(const std::string& option, const std::string& text);
// Decimal, exponent allowed; no infinity, no NaN, no hexadecimal.
double parse_real(const std::string& option, const std::string& text, double least, double most);
// `choices` are separated by `|`.
const std::string& parse_choice(const std::string& option, const std::string& text, const std::string& choices);
// A list of distinct choices separated by commas, at least one.
std::vector<std::string> parse_choices(const std::string& option, const std::string& text, const std::string& choices);
// Numbers separated by commas, at least one.
std::vector<double> parse_reals(const std::string& option, const std::string& text, double least, double most);
// Numbers from 0 separated by commas, one of them more than 0.
std::vector<double> parse_weights(const std::string& option, const std::string& text);
// A list of distinct choices with their weights, "lm=1,distill=0.5".
std::vector<std::pair<std::string, double>> parse_weighted_choices(const std::string& option, const std::string& text,
                                                                   const std::string& choices);
// The schedule of CrossBatch training: mixtures P+N separated by commas; a slash between lists that a step draws one of; after each list
// the step @STEP from which on it holds, which a single one needs not say: "1+0@0,1+1,1+7@500", "1+1/1+127".
std::vector<CrossPhase> parse_crossbatch(const std::string& option, const std::string& text);
// auto, cpu, cuda or cuda:N. Says nothing about whether the device is there.
const std::string& parse_device(const std::string& option, const std::string& text);

// "a|b|c" to its parts; "" to none.
std::vector<std::string> split(const std::string& text, char separator);

}  // namespace uio::cli
