#!/usr/bin/env python3
"""Writes chat.jsonl: what `transformers` makes of one turn of a chat with the tokenizers of this folder.

    python make_chat.py llama2=FILE llama3=FILE mistral=FILE mistral-markers=FILE chatml=FILE     (transformers==4.57.1, sentencepiece)

Each FILE holds the chat template of a published model of the family: Llama-2-7b-chat, Meta-Llama-3-8B-Instruct, Mistral-7B-Instruct-v0.1,
Mistral-Nemo-Instruct-2407 (system and user turns), Qwen3-8B. Templates are not kept here. Where a system's message is not allowed by the template
it is left out. A line is {"family", "tokenizer", "added", "system", "user", "ids"}: `added` are special tokens that the tokenizer gets beside
its own, with the next ids.
"""

import json
import os
import sys
import tempfile

from transformers import LlamaTokenizer, PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = {
    "llama2": ("bpe-bytes", []),
    "mistral": ("bpe-bytes", []),
    "mistral-markers": ("byte-bpe-qwen2", ["<s>", "</s>", "[INST]", "[/INST]"]),
    "llama3": ("byte-bpe-llama3", ["<|start_header_id|>", "<|end_header_id|>"]),
    "chatml": ("byte-bpe-qwen2", []),
}
TURNS = [
    (None, "the quick brown fox"),
    (None, "  \n the river \t\n"),
    (None, ""),
    (None, "12 e\u0301 \u4f60\u597d"),
    ("You are a helpful assistant.", "Who is there?"),
    (" Be short. \n", " the end\n"),
]


def load(folder, added):
    path = os.path.join(HERE, folder)
    if os.path.exists(os.path.join(path, "tokenizer.model")):
        return LlamaTokenizer(os.path.join(path, "tokenizer.model"), legacy=True)
    with open(os.path.join(path, "tokenizer.json"), encoding="utf-8") as file:
        config = json.load(file)
    for content in added:
        config["added_tokens"].append({"id": max(one["id"] for one in config["added_tokens"]) + 1, "content": content, "single_word": False,
                                       "lstrip": False, "rstrip": False, "normalized": False, "special": True})
    with tempfile.TemporaryDirectory() as scratch:
        name = os.path.join(scratch, "tokenizer.json")
        with open(name, "w", encoding="utf-8") as file:
            json.dump(config, file)
        names = {one["content"] for one in config["added_tokens"]}
        bos = next((one for one in ("<s>", "<|begin_of_text|>") if one in names), None)
        return PreTrainedTokenizerFast(tokenizer_file=name, bos_token=bos, eos_token="</s>" if "</s>" in names else None)


def main():
    with open(os.path.join(HERE, "chat.jsonl"), "w", encoding="utf-8") as out:
        for argument in sys.argv[1:]:
            row, name = argument.split("=", 1)
            folder, added = ROWS[row]
            with open(name, encoding="utf-8") as file:
                template = file.read()
            tokenizer = load(folder, added)
            for system, user in TURNS:
                messages = [] if system is None else [{"role": "system", "content": system}]
                messages.append({"role": "user", "content": user})
                try:
                    ids = tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=True, tokenize=True)
                except Exception as error:  # raise_exception of the template
                    print(f"{row}: left out: {error}", file=sys.stderr)
                    continue
                out.write(json.dumps({"family": row.split("-")[0], "tokenizer": folder, "added": added, "system": system, "user": user, "ids": ids}) + "\n")


if __name__ == "__main__":
    main()
