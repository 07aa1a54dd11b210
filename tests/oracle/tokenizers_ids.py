#!/usr/bin/env python3
"""Compares the ids of uio-segment with those of the `tokenizers` package, for tokenizer.json. Never run by CI.

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install tokenizers==0.22.1
    /tmp/oracle/bin/python tests/oracle/tokenizers_ids.py [--bin build/bin] [--strings 100000] [--books 5] [DIR...]

DIR holds a tokenizer.json; default: the folders of ../shared/data/tokenizers and of tests/golden/text that have one. Each is
asked for whole books of ../shared/data/books and for random strings: any Unicode, and soups of what tokenizers get wrong. Special
tokens in text stay text (encode_special_tokens). Prints one line a tokenizer; status 1 if any text differs.
"""

import argparse
import glob
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import tokenizers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(ROOT, "..", "shared", "data")

SOUP = [" ", " ", "  ", "   ", " " * 30, "\n", "\n\n", "\r\n", "\r", "\t", "\v", "\f", "\x85", "\u00a0", "\u180e", "\u2003", "\u2028",
        "\u3000", "\ufeff", "\u200b", "'s", "'S", "'\u017f", "'ll", "'Re", "'", "''", "\u2019s", "a", "the", " the", "The", "ing", "er", "I", "1", "12",
        "2024", "\u0663", "\u00bd", "\u2167", "\u4e00", ".", ",", "...", "--", "(", "\"", "/", "\\", "#", "_", "=", "\u00e9", "e\u0301", "\u0301", "\u0323",
        "\u0344", "\u0f73", "\u212b", "\u1e9b\u0323", "\ufb03", "\uac00", "\u1100\u1161\u11a8", "\u0915\u093c", "\u4f60\u597d", "\u3042\u3099",
        "\U0001f642", "\U0001f469\u200d\U0001f680", "\U0010ffff", "\0", "\u00df", "\u0130", "<|endoftext|>", "<|eot_id|>", "<|im_start|>", "<think>",
        "</think>", "<tool_call>", "<|", "|>", "\U00011930", "\U00011935\U00011930", "\u07fd\u0301\u0323", "\U000323af", "\U00011f50"]


def any_character(rng):
    while True:
        kind = rng.randrange(5)
        code = (rng.randrange(0x110000) if kind == 0 else rng.randrange(0x80) if kind == 1 else rng.randrange(0x3000) if kind == 2
                else rng.randrange(0x20000) if kind == 3 else rng.randrange(0x250))
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def random_string(rng):
    count = rng.randrange(1, 40)
    if rng.randrange(3) == 0:
        return "".join(rng.choice(SOUP) for _ in range(count))
    if rng.randrange(2) == 0:
        return "".join(any_character(rng) for _ in range(count))
    return "".join(rng.choice(SOUP) if rng.randrange(2) else any_character(rng) for _ in range(count))


def ids_of(binaries, folder, texts):
    """The ids of each text by uio-segment."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as lines:
        for i, text in enumerate(texts):
            lines.write(json.dumps({"id": str(i), "text": text}) + "\n")
        lines.flush()
        segment = subprocess.Popen([os.path.join(binaries, "uio-segment"), "-m", folder, "-l", "4096", "--jsonl", lines.name], stdout=subprocess.PIPE)
        inspect = subprocess.Popen([os.path.join(binaries, "uio-inspect"), "--tokens"], stdin=segment.stdout, stdout=subprocess.PIPE)
        found = [[] for _ in texts]
        for line in inspect.stdout:
            record = json.loads(line)
            if record["kind"] == "segment":
                found[int(record["id"])] += record["tokens"]
        if inspect.wait() or segment.wait():
            sys.exit("the programs failed")
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "bin"))
    parser.add_argument("--strings", type=int, default=100000)
    parser.add_argument("--books", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("folders", nargs="*")
    options = parser.parse_args()
    folders = options.folders or sorted(os.path.dirname(path) for where in (os.path.join(SHARED, "tokenizers"), os.path.join(ROOT, "tests/golden/text"))
                                        for path in glob.glob(os.path.join(where, "*/tokenizer.json")))
    books = [open(path, encoding="utf-8", newline="").read() for path in sorted(glob.glob(os.path.join(SHARED, "books/*.txt")))[:options.books]]
    rng = random.Random(options.seed)
    strings = [random_string(rng) for _ in range(options.strings)]
    texts = books + strings
    bad = 0
    for folder in folders:
        peer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        peer.encode_special_tokens = True
        found = ids_of(options.bin, folder, texts)
        # Where there is a BOS it is what an empty text has; the package is asked without it.
        empty = ids_of(options.bin, folder, [""])[0]
        wrong, count = [], 0
        for text, ids in zip(texts, found):
            ids = ids[len(empty):]
            wanted = peer.encode(text, add_special_tokens=False).ids
            count += len(ids)
            if ids != wanted:
                wrong.append(text)
        print(f"{os.path.basename(folder)}: {len(books)} books, {len(strings)} strings, {count} tokens: {len(wrong)} texts differ", flush=True)
        for text in wrong[:5]:
            shown = text[:80] if len(text) < 1000 else "(a book)"
            print("   ", ascii(shown), [hex(ord(c)) for c in shown if not unicodedata.category(c) != "Cn"])
        bad += len(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
