// The rows of the option table that programs share: the model, what is written, manners.
#include <limits>
#include <string>

#include "cli/numbers.h"
#include "cli/option_rows.h"

namespace uio::cli {
namespace {

constexpr unsigned kMemoryPrograms = kSegment | kCompress | kDecode | kScore;

void set_level(Settings& settings, const Given& given) {
  settings.segment.level = settings.compress.level = settings.decode.level = whole(given, 0, 19);
}

When when_of(const Given& given) {
  const std::string& text = parse_choice(given.option, given.text, given.choices);
  return text == "always" ? When::kAlways : text == "never" ? When::kNever : When::kAuto;
}

const Option kRows[] = {
    // --- the model
    {.programs = kAllPrograms,
     .unused_by = kInspect,
     .category = Category::kModel,
     .short_name = 'm',
     .name = "model",
     .value = "DIR",
     .completion = Completion::kDirectory,
     .help = "model directory (default: $UIO_MODEL, else the demo model)",
     .manual = "The directory of the model, as Hugging Face lays it out.\nThe default is\n.Ev UIO_MODEL ,\nelse the built-in "
               "demo model.",
     .store = [](Settings& s, const Given& g) { s.choice.model = file_name(g); }},
    {.programs = kAllPrograms,
     .unused_by = kInspect,
     .category = Category::kModel,
     .short_name = 'a',
     .name = "adapter",
     .value = "DIR",
     .completion = Completion::kDirectory,
     .help = "adapter directory, or `fresh` (default: $UIO_ADAPTER, else DIR/adapter)",
     .manual =
         "The directory of the adapter.\nThe default is\n.Ev UIO_ADAPTER ,\nelse\n.Pa adapter\ninside the model directory.\n"
         "The value\n.Cm fresh\nmakes an untrained adapter on the spot.",
     .store = [](Settings& s, const Given& g) { s.choice.adapter = file_name(g); }},
    {.programs = kMemoryPrograms,
     .category = Category::kModel,
     .name = "method",
     .value = "NAME",
     .choices = "uio|fot",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "the memory method (default: fot where the model has memory layers and no adapter is named, else the adapter's)",
     .manual = "How past text reaches the decoder,\n.Xr uio 7 :\n.Cm uio ,\nthe memory tokens of an adapter, or\n.Cm fot ,\nthe memory layers of the "
               "model.\nThe default is\n.Cm fot\nif\n.Pa config.json\nnames memory layers and no adapter is named, else that of the adapter.",
     .store = [](Settings& s, const Given& g) { s.choice.method = parse_choice(g.option, g.text, g.choices); }},
    {.programs = kMemoryPrograms | kTrain,
     .category = Category::kModel,
     .name = "memory-layers",
     .value = "LIST",
     .affects_bytes = true,
     .help = "layers with a memory of raw keys and values, counted from 0 (default: the model's)",
     .manual = "Use the layers of\n.Ar LIST ,\nnumbers from 0 separated by commas, as memory layers of method\n.Cm fot ,\nwhatever\n.Pa config.json\nsays.\n"
               "Any model can be used so.\nThe default is its\n.Cm mem_layers .",
     .store =
         [](Settings& s, const Given& g) {
           s.choice.memory_layers.clear();
           for (const std::string& layer : split(g.text, ','))
             s.choice.memory_layers.push_back(static_cast<std::int64_t>(parse_whole(g.option, layer, 0, (1 << 14) - 1)));
           if (s.choice.memory_layers.empty()) throw Error(ErrorKind::kUsage, "bad value of " + g.option, "", "expected layers, separated by commas");
         }},
    {.programs = kCompress | kDecode | kScore,
     .category = Category::kModel,
     .name = "search",
     .value = "NAME",
     .choices = "dense|exact|index",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "what memory layers see of the memory: all of it (the default), or the nearest keys",
     .manual = "What a query of a memory layer sees of the memory beside its local window, in one softmax:\n.Cm dense ,\nall of it; or\n.Cm exact ,\nthe keys with the "
               "greatest inner product, found for each head by looking at all of them; or\n.Cm index ,\nthe same as far as the index of a blob finds them, see\n"
               ".Xr uio-index 5 .\nWhat is in no blob is looked at itself.\nThe default is\n.Cm dense .",
     .store = [](Settings& s, const Given& g) { s.choice.search = parse_choice(g.option, g.text, g.choices); }},
    {.programs = kCompress | kDecode | kScore,
     .category = Category::kModel,
     .name = "nearest",
     .value = "N",
     .affects_bytes = true,
     .help = "how many keys --search exact or index finds for a query and head (default: 128)",
     .manual = "How many keys\n.Fl \\-search Cm exact\nor\n.Cm index\nfinds for each query and head.\nThe default is 128.",
     .store = [](Settings& s, const Given& g) { s.choice.nearest = static_cast<std::uint32_t>(parse_whole(g.option, g.text, 1, kMostTokens)); }},
    {.programs = kCompress | kDecode | kScore,
     .category = Category::kModel,
     .name = "probe",
     .value = "N",
     .affects_bytes = true,
     .help = "how much of an index a search looks at: lists, or keys at once (default: the index's choice)",
     .manual = "How much of an index\n.Fl \\-search Cm index\nlooks at: so many lists of an\n.Cm ivf\nor\n.Cm ivfpq ,\nand so many keys held at once in the walk "
               "through an\n.Cm hnsw .\nMore finds more and takes longer.\nThe default is a part of the lists, or 448 keys.",
     .store = [](Settings& s, const Given& g) { s.choice.probe = static_cast<std::uint32_t>(parse_whole(g.option, g.text, 1, kMostTokens)); }},
    {.programs = kDecode | kScore,
     .category = Category::kModel,
     .name = "memory-dir",
     .value = "DIR",
     .completion = Completion::kDirectory,
     .help = "keep the memory of long texts in DIR instead of in RAM, where --search looks for the nearest keys",
     .manual = "With\n.Fl \\-search Cm exact\nor\n.Cm index ,\nkeep the keys and values of memory layers that are made of a text in a file in\n.Ar DIR ,\nbut for some "
               "megabytes in RAM, and search them there.\nThe file has no name and is gone when the program ends, however it ends.\nWhat is computed is the same.",
     .store = [](Settings& s, const Given& g) { s.choice.memory_dir = file_name(g); }},
    {.programs = kSegment | kTensorPrograms,
     .category = Category::kModel,
     .short_name = 'l',
     .name = "segment-length",
     .value = "N",
     .affects_bytes = true,
     .help = "tokens of a segment (default: the adapter's, else 1024)",
     .manual = "The length of a segment in tokens.\nThe default is the adapter's, else 1024; with memory layers it is the model's positions, and the local window is no longer than a segment.\nWhere an adapter is used, "
               "another value than its own is refused, except for training, which goes on with that length.",
     .store =
         [](Settings& s, const Given& g) {
           s.choice.segment_length = s.segment.segment_length =
               static_cast<std::uint32_t>(parse_whole(g.option, g.text, 1, kMostTokens));
         }},
    {.programs = kTensorPrograms,
     .category = Category::kModel,
     .name = "memory-length",
     .value = "N",
     .affects_bytes = true,
     .help = "memory tokens of a segment, of a fresh adapter or to train one with",
     .manual = "The number of memory tokens of a segment.\nOnly with\n.Fl a Cm fresh ,\nand for training an adapter that was made with\n.Fl Fl shared-row ,\n"
               "which takes any number.",
     .store =
         [](Settings& s, const Given& g) {
           s.choice.memory_length = static_cast<std::uint32_t>(parse_whole(g.option, g.text, 1, kMostTokens));
         }},
    {.programs = kAllPrograms,
     .unused_by = kSegment | kInspect,
     .category = Category::kModel,
     .name = "device",
     .value = "NAME",
     .choices = "auto|cpu|cuda",
     .shown_default = "auto",
     .completion = Completion::kChoices,
     .help = "auto, cpu, cuda or cuda:N",
     .manual = "Where to compute:\n.Cm cpu ,\n.Cm cuda ,\n.Cm cuda : Ns Ar N ,\nor\n.Cm auto ,\nwhich takes a GPU if there is "
               "one.\nA device that is asked for and missing is status 6.",
     .store = [](Settings& s, const Given& g) { s.choice.device = parse_device(g.option, g.text); }},
    {.programs = kAllPrograms,
     .unused_by = kSegment | kInspect,
     .category = Category::kModel,
     .name = "dtype",
     .value = "NAME",
     .choices = "auto|f32|bf16|f16|f64",
     .shown_default = "auto",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "number type to compute in; auto is the checkpoint's",
     .manual = "The number type to compute in.\n.Cm auto\nis that of the checkpoint;\n.Cm f64\nis for reference.",
     .store = [](Settings& s, const Given& g) { s.choice.dtype = parse_choice(g.option, g.text, g.choices); }},
    {.programs = kDecode | kScore,
     .category = Category::kModel,
     .name = "weights",
     .value = "NAME",
     .choices = "stored|int8",
     .shown_default = "stored",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "keep the model's matrices as stored, or rounded to 8 bits",
     .manual = "How the matrices of the model are kept:\n.Cm stored ,\nin the numbers of\n.Fl \\-dtype ,\nor\n.Cm int8 ,\nrounded to 8 bits when "
               "they are loaded, with a scale for each row: on CPUs a token is generated in about half the time of bf16.\nMemories "
               "made that way differ a little from those of\n.Xr uio-compress 1 ,\nso nothing that is kept is made or verified with "
               "it.",
     .store = [](Settings& s, const Given& g) { s.choice.weights = parse_choice(g.option, g.text, g.choices); }},
    {.programs = kAllPrograms,
     .unused_by = kSegment | kInspect,
     .category = Category::kModel,
     .short_name = 'j',
     .name = "threads",
     .value = "N",
     .help = "threads to compute with (default: one a core)",
     .manual = "Compute with\n.Ar N\nthreads.\nThe default is one a core.",
     .store = [](Settings& s, const Given& g) { s.choice.threads = whole(g, 1, 4096); }},
    {.programs = kAllPrograms,
     .unused_by = kAllPrograms & ~(kDecode | kScore | kTrain),
     .category = Category::kModel,
     .name = "seed",
     .value = "N",
     .shown_default = "0",
     .affects_bytes = true,
     .help = "start of all randomness",
     .manual = "The start of all randomness: the same seed draws the same.",
     .store =
         [](Settings& s, const Given& g) {
           s.choice.seed = parse_whole(g.option, g.text, 0, std::numeric_limits<std::uint64_t>::max());
         }},

    // --- output
    {.programs = kAllPrograms,
     .category = Category::kOutput,
     .short_name = 'o',
     .name = "output",
     .value = "FILE",
     .shown_default = "-",
     .completion = Completion::kFile,
     .help = "write to FILE, which appears only when it is whole",
     .manual = "Write to\n.Ar FILE\ninstead of standard output.\nIt is replaced atomically when everything is written, and "
               "untouched by a run that fails or is killed.",
     .store = [](Settings& s, const Given& g) { s.output = file_name(g); }},
    {.programs = kSegment | kCompress | kDecode,
     .category = Category::kOutput,
     .name = "level",
     .value = "N",
     .shown_default = "1",
     .affects_bytes = true,
     .help = "effort of the zstd compression, 0 (stored) to 19",
     .manual = "The effort of the zstd compression of what is written, from 1 to 19; 0 stores it.\n1 codes the entropy of bytes and "
               "looks for no repeats, which suits memories.",
     .store = set_level},
    {.programs = kAllPrograms & ~kDecode,
     .unused_by = kScore | kTrain,
     .category = Category::kOutput,
     .short_name = 'f',
     .name = "force",
     .help = "write binary data to a terminal",
     .manual = "Write binary data to a terminal, which is refused otherwise.",
     .store = [](Settings& s, const Given&) { s.force = true; }},
    {.programs = kDecode,  // its -f is the prompt's
     .unused_by = kDecode,
     .category = Category::kOutput,
     .name = "force",
     .help = "write binary data to a terminal",
     .manual = "Write binary data to a terminal, which is refused otherwise.",
     .store = [](Settings& s, const Given&) { s.force = true; }},

    // --- manners
    {.programs = kAllPrograms,
     .category = Category::kGeneral,
     .short_name = 'q',
     .name = "quiet",
     .help = "no remarks and no progress; errors are still told",
     .manual = "Print no remarks and no progress.\nErrors are still reported.",
     .store = [](Settings& s, const Given&) { s.quiet = true; }},
    {.programs = kAllPrograms,
     .category = Category::kGeneral,
     .short_name = 'v',
     .name = "verbose",
     .help = "say what is being done",
     .manual = "Say on standard error what is being done.\nWith\n.Fl V ,\nalso print the versions of the libraries.",
     .store = [](Settings& s, const Given&) { s.verbose = true; }},
    {.programs = kAllPrograms,
     .category = Category::kGeneral,
     .name = "progress",
     .value = "WHEN",
     .choices = "auto|always|never",
     .shown_default = "auto",
     .completion = Completion::kChoices,
     .help = "show progress on standard error",
     .manual = "When to show progress on standard error.\n.Cm auto :\nwhen it is a terminal, after one second.",
     .store = [](Settings& s, const Given& g) { s.progress = when_of(g); }},
    {.programs = kAllPrograms,
     .category = Category::kGeneral,
     .short_name = 'h',
     .name = "help",
     .help = "print this help and exit",
     .manual = "Print a short help on standard output and exit.",
     .store = [](Settings& s, const Given&) { s.help = true; }},
    {.programs = kAllPrograms,
     .category = Category::kGeneral,
     .short_name = 'V',
     .name = "version",
     .help = "print the version and exit",
     .manual = "Print the version on standard output and exit.",
     .store = [](Settings& s, const Given&) { s.version = true; }},
    {.programs = kAllPrograms,
     .category = Category::kHidden,
     .name = "generate",
     .value = "WHAT",
     .choices = "man|bash|zsh|fish",
     .completion = Completion::kChoices,
     .help = "print the OPTIONS section of the manual, or completions",
     .manual = "",
     .store = [](Settings& s, const Given& g) { s.generate = parse_choice(g.option, g.text, g.choices); }},
};

}  // namespace

std::span<const Option> common_rows() { return kRows; }

}  // namespace uio::cli
