#!/usr/bin/env python3
"""Makes the tiny tokenizer.json files of this folder and the ids that the `tokenizers` package gives for hard texts.

    python3 -m venv /tmp/tok && /tmp/tok/bin/pip install tokenizers==0.22.1 sentencepiece && /tmp/tok/bin/python make_byte_bpe.py

byte_bpe_texts.jsonl holds the texts. Each folder NAME holds tokenizer.json and vectors.jsonl, one line a text: its ids, special
tokens in text taken as text. The training text is that of make_tokenizers.py.
"""

import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import make_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
OTHER = r"[A-Z]?[\p{Ll}\p{M}]+|\p{Lu}{2,}(?=\s)|[^\s\p{L}]{1,2}|\s"  # a pattern of nobody's


def bytelevel(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


TOKENIZERS = {
    "gpt2": dict(pre=bytelevel(True), size=420, special=["<|endoftext|>"]),
    "neox": dict(pre=bytelevel(True), size=400, nfc=True, special=["<|endoftext|>"],
                 added=[AddedToken(" " * n, normalized=True) for n in (4, 3, 2)]),
    "llama3": dict(pre=pre_tokenizers.Sequence([split(LLAMA3), bytelevel(False)]), size=440, bos="<|begin_of_text|>",
                   special=["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], ignore_merges=True),
    "qwen2": dict(pre=pre_tokenizers.Sequence([split(QWEN2), bytelevel(False)]), size=400, nfc=True,
                  special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                  added=[AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)]),
    "stages": dict(pre=pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), split(r"[\r\n]", "merged_with_previous"),
                                                pre_tokenizers.Split("er", "merged_with_next"), split(OTHER, "contiguous", True),
                                                bytelevel(False)]), size=360, special=["<|endoftext|>"]),
}

ALPHABET = make_tokenizers.ALPHABET + [
    "'s", "'LL", "'\u017f", "'", "2024", "\u0663", "\u2167", "\u180e", "\u2003", "\r", "\u0344", "\u212b", "\u1e9b\u0323", "\uac00", "\u1100\u1161\u11a8",
    "\u0915\u093c", "\U00011935\U00011930", "\u07fd\u0301\u0323", "\U000323af", "<|endoftext|>", "<|eot_id|>", "<think>", "</think>", "<|im_start|>",
]


def texts(rng):
    fixed = ["", " ", "  ", "     the", "the     ", "\n\n the", "12345", "don't DON'T", "  \n  x", "<|endoftext|>", "a<think>b</think>c",
             "<|eot_id|><|im_end|>", "e\u0301e\u0301", "\u0301", "a" * 80, " " * 40, "\n".join(make_tokenizers.SENTENCES[:6])]
    return fixed + ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(2, 24))) for _ in range(64)]


def main():
    rng = random.Random(20240612)
    lines = make_tokenizers.training_text(rng)
    checks = texts(rng)
    with open(os.path.join(HERE, "byte_bpe_texts.jsonl"), "w", encoding="utf-8") as out:
        out.writelines(json.dumps(text) + "\n" for text in checks)
    for name, options in TOKENIZERS.items():
        tokenizer = Tokenizer(models.BPE(ignore_merges=options.get("ignore_merges", False)))
        if options.get("nfc"):
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = options["pre"]
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=options["size"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
        tokenizer.train_from_iterator(lines, trainer)
        tokenizer.add_special_tokens(options["special"])
        tokenizer.add_tokens(options.get("added", []))
        if "bos" in options:
            tokenizer.post_processor = processors.Sequence([
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single=f"{options['bos']} $A", special_tokens=[(options["bos"], tokenizer.token_to_id(options["bos"]))])])
        folder = os.path.join(HERE, "byte-bpe-" + name)
        os.makedirs(folder, exist_ok=True)
        tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)
        tokenizer.encode_special_tokens = True
        with open(os.path.join(folder, "vectors.jsonl"), "w", encoding="utf-8") as out:
            for text in checks:
                out.write(json.dumps(tokenizer.encode(text, add_special_tokens=False).ids, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
