// The rows of the option table that say what uio-score is asked to do.
#include <algorithm>
#include <cstdint>
#include <string>

#include "cli/numbers.h"
#include "cli/option_rows.h"

namespace uio::cli {
namespace {

const Option kRows[] = {
    {.programs = kScore,
     .category = Category::kTask,
     .name = "task",
     .value = "NAME",
     .choices = "perplexity|lookup|passkey|focus",
     .shown_default = "perplexity",
     .completion = Completion::kChoices,
     .help = "what to measure",
     .manual = "What to measure, see\n.Sx TASKS .\n"
               ".Bl -tag -width perplexity -compact\n"
               ".It Cm perplexity\nThe likelihood of the tokens of the inputs.\n"
               ".It Cm lookup\nValues of a dictionary that stands before.\n"
               ".It Cm passkey\nA number hidden in a text that repeats itself.\n"
               ".It Cm focus\nThe share of attention that the right document in memory gets.\n.El",
     .store = [](Settings& s, const Given& g) { s.score.task = parse_choice(g.option, g.text, g.choices); }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "lengths",
     .value = "LIST",
     .help = "lengths of the documents that a task makes, separated by commas; K, M: powers of 1024",
     .manual = "How long the documents are that\n.Cm lookup\nand\n.Cm passkey\nmake, in tokens, numbers separated by commas; a number may be followed by\n"
               ".Cm K\nor\n.Cm M ,\npowers of 1024.\nThe default is\n.Cm 512,4K,32K\nand\n.Cm 1K,4K,16K .",
     .store = [](Settings& s, const Given& g) { s.score.lengths = parse_lengths(g.option, g.text); }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "unit",
     .value = "NAME",
     .choices = "tokens|characters",
     .shown_default = "tokens",
     .completion = Completion::kChoices,
     .help = "what --lengths of pass keys count",
     .manual = "What\n.Fl \\-lengths\nof\n.Cm passkey\ncount:\n.Cm tokens\nof the whole prompt, or\n.Cm characters\nof its sentences that repeat themselves.",
     .store = [](Settings& s, const Given& g) { s.score.has_characters = parse_choice(g.option, g.text, g.choices) == "characters"; }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "samples",
     .value = "N",
     .help = "documents that a task makes of each length, or reads",
     .manual = "Make\n.Ar N\ndocuments of each length; of\n.Cm focus ,\nread\n.Ar N\ndocuments at most.\nThe default is 10 for\n.Cm lookup ,\n50 for\n.Cm passkey\nand all for\n.Cm focus .",
     .store = [](Settings& s, const Given& g) { s.score.samples = static_cast<std::uint32_t>(whole(g, 1, 1000000)); }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "documents-in-memory",
     .value = "LIST",
     .help = "how many documents the memory holds, the scored one's own among them, separated by commas",
     .manual = "How many documents the memory holds, the one that is scored among them, numbers separated by commas.\nOf\n.Cm perplexity ,\n"
               "the context\n.Cm memory\nthen has memories of the documents before, too, and documents with fewer before them than the greatest number asks for are not scored; "
               "the default is the document alone.\nOf\n.Cm focus ,\nthe default is\n.Cm 1,2,4,8,16,32,64 ,\nas far as there are documents.",
     .store =
         [](Settings& s, const Given& g) {
           s.score.documents_in_memory.clear();
           for (const std::uint64_t count : parse_lengths(g.option, g.text)) s.score.documents_in_memory.push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(count, UINT32_MAX)));
         }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "context",
     .value = "LIST",
     .choices = "none|memory|retrieved|memory+retrieved|window|full|streaming",
     .completion = Completion::kChoices,
     .help = "what a scored token may see, separated by commas (default: none,memory,full)",
     .manual = "What a scored token may see, names separated by commas; the same tokens are scored under each.\n"
               ".Bl -tag -width streaming -compact\n"
               ".It Cm none\nIts own segment alone.\n"
               ".It Cm memory\nMemories of the earlier segments and its own segment.\n"
               ".It Cm retrieved\nThe earlier segments that are nearest to it, raw, and its own segment.\n"
               ".It Cm memory+retrieved\nBoth of these.\n"
               ".It Cm window\nAs many of the latest tokens as the model has positions for.\n"
               ".It Cm full\nThe whole text before it.\n"
               ".It Cm streaming\nThe first tokens of the text and a window of the latest.\n.El\n"
               "The default is\n.Cm none,memory,full\nfor\n.Cm perplexity\nand\n.Cm memory\nfor the other tasks.",
     .store = [](Settings& s, const Given& g) { s.score.contexts = parse_choices(g.option, g.text, g.choices); }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "last",
     .value = "N",
     .help = "score the last N tokens of a document; all before is context",
     .manual = "Score the last\n.Ar N\ntokens of each document only and make everything before them the context.\n"
               "The default scores every token but the first, segment by segment.",
     .store = [](Settings& s, const Given& g) { s.score.last = parse_whole(g.option, g.text, 1, 1ull << 40); }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "per-token",
     .help = "also print a line for each scored token",
     .manual = "Also print a line for each scored token:\n.Cm id , context , position , token , logprob .",
     .store = [](Settings& s, const Given&) { s.score.per_token = true; }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "memory",
     .value = "BLOB",
     .completion = Completion::kFile,
     .help = "let the context memory begin with the memories in BLOB",
     .manual = "Let the context\n.Cm memory\nof each document begin with the memories in\n.Ar BLOB ,\nas if its documents had been read and ended before.\n"
               "Only with memory layers (method\n.Cm fot ) .\nSee\n.Fl \\-search .",
     .store = [](Settings& s, const Given& g) { s.score.memory = file_name(g); }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "recall",
     .help = "with --search index, also tell what the index finds of what exact search finds",
     .manual = "With\n.Fl \\-search Cm index\nand\n.Fl \\-memory ,\ncompare each search with the exact one: lines of the context\n.Cm memory\nget\n.Cm recall ,\n"
               "the share of the nearest keys that was found, of\n.Cm recall_keys ;\n.Cm logprob_difference ,\nthe mean by which log-probabilities differ from those "
               "with exact search; and\n.Cm largest_logprob_difference ,\nof either sign.\nThis takes as long as exact search, and longer.",
     .store = [](Settings& s, const Given&) { s.score.recall = true; }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "verify",
     .value = "BLOB",
     .completion = Completion::kFile,
     .help = "compare BLOB with memories computed from the texts",
     .manual = "Compute the memories of the texts and compare them with those in\n.Ar BLOB :\nthe largest difference and its "
               "effect on the likelihoods.\n"
               "The status is 1 when the difference exceeds\n.Fl \\-tolerance .",
     .store = [](Settings& s, const Given& g) { s.score.verify = file_name(g); }},
    {.programs = kScore,
     .category = Category::kTask,
     .name = "tolerance",
     .value = "X",
     .help = "largest difference that --verify accepts (default: that of the dtype)",
     .manual = "The largest difference between two numbers of a memory, relative to its largest number, that\n.Fl \\-verify\n"
               "accepts.\nThe default depends on the number type; to it comes the error that a memory of precision int8 or int4 states, "
               "as far as it is at most 0.03 or 0.25.",
     .store = [](Settings& s, const Given& g) { s.score.tolerance = parse_real(g.option, g.text, 0, 1e30); }},
};

}  // namespace

std::span<const Option> score_rows() { return kRows; }

}  // namespace uio::cli
