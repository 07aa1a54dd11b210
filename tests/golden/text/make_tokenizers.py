#!/usr/bin/env python3
"""Makes the tiny tokenizers of this folder and the ids that SentencePiece's own Python package gives for hard texts.

    python3 -m venv /tmp/spm && /tmp/spm/bin/pip install sentencepiece && /tmp/spm/bin/python make_tokenizers.py

texts.jsonl holds the texts. Each folder NAME holds tokenizer.model and vectors.jsonl, one line a text: {"ids", "ends"}, where
"ends" are the ends of the pieces in bytes as SentencePiece reports them (a byte-fallback run: all at its begin or its end).
The training text is generated below.
"""

import io
import json
import os
import random
import sentencepiece as spm

HERE = os.path.dirname(os.path.abspath(__file__))

SENTENCES = """
A tokenizer turns text into numbers, and a good one can turn the numbers back into the very same text.
The harbour was quiet before sunrise; only the gulls and the old ferry's bell could be heard over the water.
She counted the lanterns twice, wrote the number on her sleeve, and walked on towards the mill.
Segments are cut after a fixed number of tokens, and every byte of the document belongs to exactly one of them.
"Where does the road go?" asked the boy. "It goes wherever you carry the map," said the man with the cart.
In winter the river freezes from the banks inwards, so the middle is the last place to trust and the first to thaw.
Bread, salt, candles, rope: the list was short, but the walk to the market was not.
Nobody had opened the green door since the carpenter left, and nobody remembered which key was meant for it.
If a pipe breaks, the writer must stop; if a file is cut, the reader must say so and say where.
They measured the field with a knotted cord and found it three paces longer than the deed allowed.
for (int i = 0; i < n; ++i) { sum += table[i] * weight[i]; }  // the plain loop is the reference
def read_all(path):
    with open(path, 'rb') as source:
        return source.read()
The clock in the hall strikes eleven when it means ten, and everyone in the house has learned to subtract.
Rain fell on the roof all night like someone sorting peas, and in the morning the garden had moved a little downhill.
""".strip().split("\n")

RULES = [  # a handful of what NFKC does, so that the compiled rules stay small
    ("\ufb03", "ffi"), ("\ufb01", "fi"), ("e\u0301", "\u00e9"), ("\u3000", " "), ("\u00a0", " "), ("\t", " "),
    ("\n", " "), ("\r", " "), ("\uff21", "A"), ("\u00bd", "1\u20442"), ("\u00a8", " \u0308"), ("\u200b", ""),
]

ALPHABET = [
    " ", "  ", "   ", "\n", "\r\n", "\t", "\u2581", "a", "e", "th", "the", " the", "ing", "er", ".", ",", "\"", "1", "23",
    "\u00e9", "e\u0301", "\u0301", "\ufb03", "\ufb01", "\u3000", "\u00a0", "\u00bd", "\u00a8", "\u200b", "\uff21", "\u4f60",
    "\u597d", "\U0001f642", "\U0001f469\u200d\U0001f680", "\u0000", "\ufeff", "<s>", "</s>", "<unk>", "<0x0A>", "\U0010ffff",
    "[SEP]", "::", ":::", "\u00a0x", "\u0085",
]

MODELS = {
    "bpe-bytes": dict(model_type="bpe", vocab_size=480, byte_fallback=True, normalization_rule_name="identity",
                      remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, user_defined_symbols=["[SEP]", "::"]),
    "bpe-rules": dict(model_type="bpe", vocab_size=160, byte_fallback=False, remove_extra_whitespaces=True, rules=True),
    "bpe-keep": dict(model_type="bpe", vocab_size=420, byte_fallback=True, remove_extra_whitespaces=False, rules=True,
                     add_dummy_prefix=False),
    "unigram-bytes": dict(model_type="unigram", vocab_size=400, byte_fallback=True, normalization_rule_name="identity",
                          remove_extra_whitespaces=False),
    "unigram-rules": dict(model_type="unigram", vocab_size=130, byte_fallback=False, remove_extra_whitespaces=True, rules=True,
                          user_defined_symbols=["::", ":::"]),
    "char": dict(model_type="char", vocab_size=80, byte_fallback=False, normalization_rule_name="identity",
                 remove_extra_whitespaces=True, bos_id=-1),
}


def training_text(rng):
    words = " ".join(SENTENCES).split(" ")
    lines = list(SENTENCES)
    for _ in range(400):
        lines.append(" ".join(rng.choice(words) for _ in range(rng.randrange(4, 14))))
    return lines


def texts(rng):
    fixed = ["", " ", "  ", "\n", "a", " a", "a ", "the harbour", "  the  harbour  ", "\u2581", "\u2581the", "the\u2581",
             "<s>", "<unk></s>", "e\u0301", "\ufb03", "\u3000the", "\u200b", "\u4f60\u597d\u4f60\u597d", "\U0001f642\U0001f642",
             "line\r\nline\r\n", "\ufeffthe", "nul\u0000nul", "[SEP]the[SEP]", ":::::", "aaaaaaaaaaaaaaaaaaaaaaaa",
             "\n".join(SENTENCES[:6])]
    soups = ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(2, 24))) for _ in range(48)]
    return fixed + soups


def main():
    rng = random.Random(20240611)
    lines = training_text(rng)
    checks = texts(rng)
    os.chdir(HERE)
    rules = "rules.tsv"  # its name ends up in the model: no path
    with open(rules, "w", encoding="utf-8") as out:
        for key, value in sorted(RULES):
            codes = [" ".join(f"{ord(c):X}" for c in side) for side in (key, value)]
            out.write("\t".join(codes) + "\n")
    with open(os.path.join(HERE, "texts.jsonl"), "w", encoding="utf-8") as out:
        out.writelines(json.dumps(text) + "\n" for text in checks)
    for name, options in MODELS.items():
        options = dict(options)
        if options.pop("rules", False):
            options["normalization_rule_tsv"] = rules
        model = io.BytesIO()
        spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, character_coverage=1.0,
                                       hard_vocab_limit=False, num_threads=1, minloglevel=2, **options)
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        with open(os.path.join(HERE, name, "tokenizer.model"), "wb") as out:
            out.write(model.getvalue())
        processor = spm.SentencePieceProcessor(model_proto=model.getvalue())
        with open(os.path.join(HERE, name, "vectors.jsonl"), "w", encoding="utf-8") as out:
            for text in checks:
                pieces = spm_pieces(processor, text)
                row = {"ids": [p.id for p in pieces], "ends": [p.end for p in pieces]}
                out.write(json.dumps(row, separators=(",", ":")) + "\n")
    os.remove(rules)


def spm_pieces(processor, text):
    try:
        return processor.encode(text, return_type="proto").pieces
    except TypeError:  # before 0.2.2
        from sentencepiece import sentencepiece_pb2
        spt = sentencepiece_pb2.SentencePieceText()
        spt.ParseFromString(processor.encode(text, out_type="serialized_proto"))
        return spt.pieces


if __name__ == "__main__":
    main()
