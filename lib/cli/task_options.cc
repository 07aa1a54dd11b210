// The rows of the option table that say what uio-segment, uio-compress, uio-decode and uio-inspect are asked to do, and what of that uio-score shares.
#include <limits>
#include <string>

#include "cli/numbers.h"
#include "cli/option_rows.h"
#include "io/selection.h"
#include "text/chat.h"

namespace uio::cli {
namespace {

constexpr unsigned kTextPrograms = kSegment | kScore;

const Option kRows[] = {
    {.programs = kDecode,
     .category = Category::kTask,
     .short_name = 'p',
     .name = "prompt",
     .value = "TEXT",
     .help = "text that follows the memories",
     .manual = "Put\n.Ar TEXT\nafter the memories and their tail, before what is generated.\nThe default is no text.",
     .store =
         [](Settings& s, const Given& g) {
           s.decode.prompt = g.text;
           s.prompt_file.clear();
           s.has_prompt = true;
         }},
    {.programs = kDecode,
     .category = Category::kTask,
     .short_name = 'f',
     .name = "prompt-file",
     .value = "FILE",
     .completion = Completion::kFile,
     .help = "the same, read from FILE",
     .manual = "Read the prompt from\n.Ar FILE ,\nevery byte of it;\n.Sq -\nis standard input.\nOf\n.Fl p\nand\n.Fl f ,\nthe "
               "last one wins.",
     .store =
         [](Settings& s, const Given& g) {
           s.decode.prompt.clear();
           s.prompt_file = file_name(g);
           s.has_prompt = true;
         }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "chat",
     .value = "FAMILY",
     .choices = chat_families(),
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "make the prompt a turn of a chat, with the markers of FAMILY",
     .manual = "Make the prompt what the user says in a chat, with the role markers of a family of models around it, and end when the answer does.\n"
               "See\n.Sx Chat .",
     .store = [](Settings& s, const Given& g) { s.decode.prompting.chat = parse_choice(g.option, g.text, g.choices); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "system",
     .value = "TEXT",
     .help = "with --chat, what the system says before the user",
     .manual = "With\n.Fl \\-chat ,\nwhat the system says before the user.\nThe default is nothing, whatever a model's own template puts there.",
     .store = [](Settings& s, const Given& g) { s.decode.prompting.system = g.text; }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "parse-special",
     .affects_bytes = true,
     .help = "take special tokens that are written in the prompt for what they say",
     .manual = "Take the names of special tokens, such as\n.Ql </s> ,\nin the prompt for these tokens.\nWithout it they are text, so that a prompt from "
               "elsewhere can neither end its turn nor begin another one.",
     .store = [](Settings& s, const Given&) { s.decode.prompting.parse_special = true; }},
    {.programs = kDecode,
     .category = Category::kTask,
     .short_name = 'n',
     .name = "max-tokens",
     .value = "N",
     .shown_default = "128",
     .affects_bytes = true,
     .help = "generate at most N tokens",
     .manual = "Generate at most\n.Ar N\ntokens.",
     .store = [](Settings& s, const Given& g) { s.decode.max_tokens = whole(g, 0, std::numeric_limits<int>::max()); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "temperature",
     .value = "X",
     .shown_default = "0",
     .affects_bytes = true,
     .help = "divide the logits by X before drawing; 0 takes the best token",
     .manual = "Divide the logits by\n.Ar X\nbefore a token is drawn.\n0 always takes the best token and needs no randomness.",
     .store = [](Settings& s, const Given& g) { s.decode.sampling.temperature = parse_real(g.option, g.text, 0, 100); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "top-k",
     .value = "N",
     .shown_default = "0",
     .affects_bytes = true,
     .help = "draw from the N best tokens; 0: from all",
     .manual = "Draw from the\n.Ar N\nmost likely tokens; 0 means all.",
     .store = [](Settings& s, const Given& g) { s.decode.sampling.top_k = whole(g, 0, std::numeric_limits<int>::max()); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "top-p",
     .value = "X",
     .shown_default = "1",
     .affects_bytes = true,
     .help = "draw from the fewest best tokens whose probabilities reach X",
     .manual = "Draw from the smallest set of most likely tokens whose probabilities add up to\n.Ar X\nor more; 1 means all.",
     .store = [](Settings& s, const Given& g) { s.decode.sampling.top_p = parse_real(g.option, g.text, 0, 1); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "min-p",
     .value = "X",
     .shown_default = "0",
     .affects_bytes = true,
     .help = "leave out tokens less likely than X times the best one",
     .manual = "Leave out tokens whose probability is below\n.Ar X\ntimes that of the best one; 0 leaves out none.",
     .store = [](Settings& s, const Given& g) { s.decode.sampling.min_p = parse_real(g.option, g.text, 0, 1); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "repeat-penalty",
     .value = "X",
     .shown_default = "1",
     .affects_bytes = true,
     .help = "make tokens of the local text less likely by the factor X",
     .manual = "Divide the positive logits of tokens that the local text holds by\n.Ar X ,\nand multiply the negative ones; 1 "
               "changes nothing.",
     .store = [](Settings& s, const Given& g) { s.decode.sampling.repeat_penalty = parse_real(g.option, g.text, 0.01, 100); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "stop",
     .value = "TEXT",
     .repeats = true,
     .affects_bytes = true,
     .help = "end before TEXT would be printed; may be repeated",
     .manual = "End when the generated text contains\n.Ar TEXT ,\nwhich is not printed.\nMay be given several times; the "
               "earliest match counts.",
     .store =
         [](Settings& s, const Given& g) {
           if (g.text.empty())
             throw Error(ErrorKind::kUsage, "bad value of " + g.option, "", "expected at least one character");
           s.decode.sampling.stop.push_back(g.text);
         }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "ignore-eos",
     .affects_bytes = true,
     .help = "go on after the end-of-sequence token",
     .manual = "Never choose the end-of-sequence token, so that generation ends at\n.Fl n\nor\n.Fl \\-stop\nonly.",
     .store = [](Settings& s, const Given&) { s.decode.ignore_eos = true; }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "save",
     .value = "FILE",
     .completion = Completion::kFile,
     .help = "write the memories, grown by what was generated, to FILE",
     .manual = "Write the memories to\n.Ar FILE\nat the end, grown by the segments that the prompt and the generated text "
               "filled, and their tail.\n"
               "The file is replaced atomically.",
     .store = [](Settings& s, const Given& g) { s.decode.save = file_name(g); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "jsonl",
     .help = "operands are files of requests, one JSON object a line",
     .manual = "Serve requests: operands, or standard input, hold one JSON object a line with the keys\n.Cm id ,\n.Cm memory\n"
               "(a list of blobs),\n.Cm prompt\nand the long names of the options above with underscores.\nThe answers are "
               "JSON Lines in the same order.",
     .store = [](Settings& s, const Given&) { s.decode.serve = true; }},

    {.programs = kInspect,
     .category = Category::kTask,
     .name = "verify",
     .help = "read every byte and print one line an input",
     .manual = "Read and check every byte, and print one line for each input instead of one for each record:\n.Cm file , ok ,\n"
               "and the counts of what is in it.",
     .store = [](Settings& s, const Given&) { s.inspect.verify = true; }},
    {.programs = kInspect,
     .category = Category::kTask,
     .name = "tokens",
     .help = "add the token ids of each segment, and their weights",
     .manual = "Add the token ids of each segment, as a list\n.Cm tokens ,\nand where they have weights also those, as a list\n"
               ".Cm weights .",
     .store = [](Settings& s, const Given&) { s.inspect.tokens = true; }},
    {.programs = kInspect,
     .category = Category::kTask,
     .name = "index",
     .help = "write the offset index of a stream instead",
     .manual = "Write the offset index of one stream instead,\n.Xr uio-stream 5 ,\none line a record.",
     .store = [](Settings& s, const Given&) { s.inspect.index = true; }},
    {.programs = kInspect,
     .category = Category::kTask,
     .name = "cut",
     .help = "write the taken records as a stream instead",
     .manual = "Write the taken records of all inputs as one stream, their bytes as they were, instead of describing them.",
     .store = [](Settings& s, const Given&) { s.inspect.cut = true; }},
    {.programs = kInspect,
     .category = Category::kTask,
     .name = "export",
     .value = "FILE",
     .completion = Completion::kFile,
     .help = "write the tensors of the taken memories to FILE (safetensors)",
     .manual = "Write the tensors of the taken memories to\n.Ar FILE\nas safetensors, named\n"
               ".Sm off\n.Ar document Cm / Ar segment Cm / Ar layer Cm /key\n.Sm on\nand\n"
               ".Sm off\n.Ar document Cm / Ar segment Cm / Ar layer Cm /value ;\n.Sm on\nkeys are not rotated.",
     .store = [](Settings& s, const Given& g) { s.inspect.export_path = file_name(g); }},
    {.programs = kInspect,
     .category = Category::kTask,
     .name = "document",
     .value = "ID",
     .repeats = true,
     .affects_bytes = true,
     .help = "take records of the document ID only; may be repeated",
     .manual = "Take the records of the document\n.Ar ID\nonly.\nMay be given several times.",
     .store = [](Settings& s, const Given& g) { s.inspect.documents.push_back(g.text); }},
    {.programs = kInspect,
     .category = Category::kTask,
     .name = "segments",
     .value = "A-B",
     .affects_bytes = true,
     .help = "take segments A to B only, counted from 0",
     .manual = "Take the segments from\n.Ar A\nto\n.Ar B\nof each document only, counted from 0, both included.\n"
               "Either may be left out, and a number alone is one segment.",
     .store =
         [](Settings& s, const Given& g) {
           if (g.text.empty()) throw Error(ErrorKind::kUsage, "bad value of " + g.option, "", "expected A-B, A-, -B or A");
           Selection({}, g.text);  // refuses a bad range before anything is opened
           s.inspect.segments = g.text;
         }},

    {.programs = kDecode | kScore,
     .category = Category::kTask,
     .name = "overflow",
     .value = "WHAT",
     .choices = "refuse|oldest",
     .shown_default = "refuse",
     .completion = Completion::kChoices,
     .help = "when memories exceed the model's positions",
     .manual = "What happens when there are more memories than the model has positions for:\n.Cm refuse\nends with the numbers "
               "and status 4,\n"
               ".Cm oldest\nlets the oldest memories go.",
     .store =
         [](Settings& s, const Given& g) {
           s.decode.drop_oldest = s.score.drop_oldest = parse_choice(g.option, g.text, g.choices) == "oldest";
         }},
    {.programs = kDecode | kScore,
     .category = Category::kTask,
     .name = "retrieve",
     .value = "N",
     .affects_bytes = true,
     .help = "also read raw the N segments that are nearest to the query",
     .manual = "Also read, raw and behind the memories, the\n.Ar N\nsegments whose memories the query attends to most; see\n.Sx Retrieval .\nWithout it "
               "nothing is read again, but by contexts that retrieve, which take one segment.",
     .store = [](Settings& s, const Given& g) { s.decode.retrieve = s.score.retrieve = static_cast<std::uint32_t>(parse_whole(g.option, g.text, 1, kMostRetrieved)); }},
    {.programs = kCompress,
     .category = Category::kTask,
     .name = "keep-tokens",
     .affects_bytes = true,
     .help = "let memories carry the token ids of their segments",
     .manual = "Let every memory carry the token ids of its segment, so that\n.Xr uio-decode 1\ncan read segments again raw.\nThe text can be had from such a blob.",
     .store = [](Settings& s, const Given&) { s.compress.keep_tokens = true; }},
    {.programs = kTextPrograms | kTrain,
     .category = Category::kTask,
     .name = "lines",
     .help = "each line of the input is a document",
     .manual = "Make each line a document, whose id is the file's name, a colon and the number of the line.",
     .store = [](Settings& s, const Given&) { s.lines = true; }},
    {.programs = kTextPrograms | kTrain,
     .category = Category::kTask,
     .name = "jsonl",
     .help = "each line is a JSON object with \"id\", and \"text\" or \"prompt\" and \"response\"",
     .manual = "Read JSON Lines: each line is an object with the document's\n.Cm id\nand its\n.Cm text ,\n"
               "or, for training on instructions, its\n.Cm prompt\nand\n.Cm response ,\nor its\n.Cm parts ,\n"
               "a list of objects with\n.Cm text\nand\n.Cm weight .",
     .store = [](Settings& s, const Given&) { s.jsonl = true; }},
    {.programs = kTextPrograms,
     .category = Category::kTask,
     .name = "replace-invalid",
     .affects_bytes = true,
     .help = "replace bytes that are not UTF-8 by U+FFFD instead of refusing them",
     .manual = "Replace bytes that are not valid UTF-8 by U+FFFD.\nWithout it such a document is refused with the offset of "
               "its first invalid byte.",
     .store = [](Settings& s, const Given&) { s.segment.replace_invalid = s.score.replace_invalid = true; }},
    {.programs = kSegment,
     .category = Category::kTask,
     .name = "boundaries",
     .value = "NAME",
     .choices = "fixed|content|paragraph",
     .shown_default = "fixed",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "where segments end: every N tokens, or where the text says so",
     .manual = "Where segments end.\n"
               ".Bl -tag -width paragraph -compact\n"
               ".It Cm fixed\nEvery\n.Ar N\ntokens, the length of a segment.\n"
               ".It Cm content\nWhere the tokens before the end say so, so that an edit changes the segments near it only.\n"
               ".It Cm paragraph\nThe same, at the end of a paragraph where one is in reach, else of a line.\n.El\n"
               "See\n.Sx Boundaries .",
     .store =
         [](Settings& s, const Given& g) {
           const std::string& name = parse_choice(g.option, g.text, g.choices);
           s.segment.boundaries = name == "content"     ? Boundaries::kContent
                                  : name == "paragraph" ? Boundaries::kParagraph
                                                        : Boundaries::kFixed;
         }},
    {.programs = kCompress | kScore,
     .category = Category::kTask,
     .name = "form",
     .value = "NAME",
     .choices = "kv|hidden",
     .shown_default = "kv",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "what a memory holds: keys and values, or hidden states",
     .manual = "What a memory holds:\n.Cm kv ,\nthe keys and values that the decoder reads, or\n.Cm hidden ,\nthe hidden "
               "states that they are made from.\nWhere likelihoods are measured, memories of the context\n.Cm memory\nare read as if they had been kept "
               "that way.",
     .store =
         [](Settings& s, const Given& g) {
           s.compress.form = s.score.form = parse_choice(g.option, g.text, g.choices) == "kv" ? Form::kKv : Form::kHidden;
         }},
    {.programs = kCompress | kScore,
     .category = Category::kTask,
     .name = "precision",
     .value = "NAME",
     .choices = "exact|int8|int4",
     .shown_default = "exact",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "how exactly a memory is kept",
     .manual = "How exactly a memory is kept.\n.Bl -tag -width exact -compact\n.It Cm exact\nEvery bit as it was computed.\n.It Cm "
               "int8\nWhole numbers of 8 bits with scales shared by up to 32 numbers of a channel (keys, hidden states) or of a "
               "token (values).\n.It Cm int4\nThe same with 4 bits.\n.El\nMemories in blobs of the last two state their error, which\n"
               ".Xr uio-inspect 1\nshows.",
     .store =
         [](Settings& s, const Given& g) { s.compress.precision = s.score.precision = precision_of(parse_choice(g.option, g.text, g.choices)); }},
    {.programs = kDecode,
     .category = Category::kTask,
     .name = "batch",
     .value = "N",
     .shown_default = "1",
     .help = "with --jsonl, answer N requests side by side",
     .manual = "With\n.Fl \\-jsonl ,\nanswer up to\n.Ar N\nrequests side by side, which reads the weights once for all of them.\n"
               "So many lines are read before the first answer is written: a program that waits for an answer before it asks "
               "again needs the default.\nSums are rounded in another order than for one request, so that nearly equal tokens "
               "may be chosen differently.",
     .store = [](Settings& s, const Given& g) { s.decode.batch = whole(g, 1, 65536); }},
    {.programs = kCompress,
     .category = Category::kTask,
     .name = "batch",
     .value = "N",
     .shown_default = "1",
     .help = "compress up to N segments of the same length at once",
     .manual = "Compress up to\n.Ar N\nsegments of the same length, one behind the other, at once.\n"
               "Other values than 1 may change the last bits of very small models' memories, and a memory is then found in the cache only "
               "where it stands at the same place of as many.",
     .store = [](Settings& s, const Given& g) { s.compress.batch = whole(g, 1, 65536); }},
    {.programs = kCompress,
     .category = Category::kTask,
     .name = "index",
     .value = "KIND",
     .choices = "flat|ivf|hnsw|sq8|ivfpq",
     .completion = Completion::kChoices,
     .affects_bytes = true,
     .help = "make an index of the keys of a blob of memory layers: of FILE with -o, else of each operand",
     .manual = "Make an index of the keys in a blob of memory layers, beside it, for\n.Fl \\-search Cm index .\nWith\n.Fl o Ar FILE\nit is that of the blob that is "
               "written, which is stored\n.Pq Fl \\-level Cm 0 ;\nwithout it each operand is a finished blob, and nothing else is written.\nSee\n.Sx Index .",
     .store = [](Settings& s, const Given& g) { s.compress.index = parse_choice(g.option, g.text, g.choices); }},
    {.programs = kCompress,
     .category = Category::kTask,
     .name = "cache-dir",
     .value = "DIR",
     .completion = Completion::kDirectory,
     .help = "keep memories in DIR, and take those that are there",
     .manual = "Keep the memories that are made in\n.Ar DIR ,\nwhich is created when it is missing, and take those that are there instead of making "
               "them again.\nWhat is written is the same to the byte.\nThe default is\n.Ev UIO_MEMORY_CACHE ,\nelse nothing is kept.\nSee\n.Sx Cache .",
     .store =
         [](Settings& s, const Given& g) {
           s.compress.memory_cache = file_name(g);
           s.no_cache = false;
         }},
    {.programs = kCompress,
     .category = Category::kTask,
     .name = "no-cache",
     .help = "keep no memories, whatever $UIO_MEMORY_CACHE says",
     .manual = "Neither keep memories nor take any, whatever\n.Ev UIO_MEMORY_CACHE\nsays.\nOf this and\n.Fl \\-cache\\-dir ,\nthe last one wins.",
     .store =
         [](Settings& s, const Given&) {
           s.compress.memory_cache.clear();
           s.no_cache = true;
         }},
    {.programs = kCompress,
     .category = Category::kTask,
     .name = "cache-size",
     .value = "SIZE",
     .shown_default = "4G",
     .help = "let the cache hold SIZE bytes; K, M, G and T are powers of 1024",
     .manual = "Let the cache hold\n.Ar SIZE\nbytes; a number may be followed by\n.Cm K , M , G\nor\n.Cm T ,\npowers of 1024.\n"
               "When it holds more, the memories that were not used for longest go.",
     .store = [](Settings& s, const Given& g) { s.compress.cache_bytes = parse_size(g.option, g.text); }},
    {.programs = kCompress,
     .category = Category::kTask,
     .short_name = 'n',
     .name = "dry-run",
     .help = "print what would be written, taken and computed, and do nothing",
     .manual = "Read the segments and print, as one line of JSON on standard output, how many bytes would be written, how much memory taken and how much "
               "computed; then do nothing.\nNeither\n.Fl o\nnor the cache is touched.\nSee\n.Sx Dry run .",
     .store = [](Settings& s, const Given&) { s.compress.dry_run = true; }},
};

}  // namespace

std::span<const Option> task_rows() { return kRows; }

}  // namespace uio::cli
