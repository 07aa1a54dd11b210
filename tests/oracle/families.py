#!/usr/bin/env python3
"""Compares uio-score with transformers on random tiny models of every family and rotary scaling. Never run by CI.

    python3 -m venv /tmp/oracle
    /tmp/oracle/bin/pip install torch transformers==4.57.6 sentencepiece safetensors
    /tmp/oracle/bin/python tests/oracle/families.py [--bin build/bin] [--keep DIR] [--only NAME] [--dtype f32]

The tokenizer is that of ../shared/data/models/stories260K. Each case is saved by transformers itself (so its config.json is
what users have), read back in float64 from the stored weights, and compared at every position of context `full`.
Prints one line a case; status 1 if a case deviates by more than its bound.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(ROOT, "..", "shared", "data")
BOUND = 1e-3

BASE = dict(vocab_size=512, hidden_size=64, intermediate_size=112, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)

LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=128)


def case(family, tokens=400, dtype=torch.float32, shard=None, edit=None, **config):
    return dict(family=family, tokens=tokens, dtype=dtype, shard=shard, edit=edit, config=dict(BASE, **config))


def old_rope_key(config):
    """What checkpoints of 2023 say: `type` for `rope_type`."""
    config["rope_scaling"] = {"type" if k == "rope_type" else k: v for k, v in config["rope_scaling"].items()}


def new_rope_key(config):
    """What transformers 5 writes: rope_parameters with rope_theta inside."""
    scaling = dict(config.pop("rope_scaling") or {"rope_type": "default"}, rope_theta=config.pop("rope_theta", 10000.0))
    config["rope_parameters"] = scaling


def without(*keys):
    def edit(config):
        for key in keys:
            config.pop(key, None)
    return edit


CASES = {
    "llama": case("Llama"),
    "llama-mha": case("Llama", num_key_value_heads=4),
    "llama-mqa": case("Llama", num_key_value_heads=1),
    "llama-default-kv-heads": case("Llama", num_key_value_heads=4, edit=without("num_key_value_heads")),
    "llama-one-layer": case("Llama", num_hidden_layers=1),
    "llama-bias": case("Llama", attention_bias=True, mlp_bias=True),
    "llama-attention-bias": case("Llama", attention_bias=True),
    "llama-head-dim": case("Llama", head_dim=24),
    "llama-head-dim-2": case("Llama", head_dim=2),
    "llama-odd-vocabulary": case("Llama", vocab_size=521, hidden_size=60, intermediate_size=101, num_attention_heads=3, num_key_value_heads=1),
    "llama-theta": case("Llama", rope_theta=500000.0),
    "llama-v5-config": case("Llama", rope_theta=5000.0, edit=new_rope_key),
    "llama-linear": case("Llama", rope_scaling=dict(rope_type="linear", factor=3.0), edit=old_rope_key),
    "llama-dynamic-below": case("Llama", tokens=100, max_position_embeddings=128, rope_scaling=dict(rope_type="dynamic", factor=4.0)),
    "llama-dynamic-beyond": case("Llama", max_position_embeddings=128, rope_scaling=dict(rope_type="dynamic", factor=4.0)),
    "llama-dynamic-old-key": case("Llama", max_position_embeddings=200, rope_scaling=dict(rope_type="dynamic", factor=2.5), edit=old_rope_key),
    "llama-dynamic-original": case("Llama", max_position_embeddings=256,
                                   rope_scaling=dict(rope_type="dynamic", factor=2.0, original_max_position_embeddings=64)),
    "llama-yarn": case("Llama", rope_scaling=YARN),
    "llama-yarn-other-ratio": case("Llama", rope_scaling=dict(YARN, factor=2.0)),
    "llama-yarn-no-original": case("Llama", max_position_embeddings=128, rope_scaling=dict(rope_type="yarn", factor=4.0)),
    "llama-yarn-beta": case("Llama", rope_scaling=dict(YARN, beta_fast=16.0, beta_slow=2.0)),
    "llama-yarn-attention-factor": case("Llama", rope_scaling=dict(YARN, attention_factor=1.3)),
    "llama-yarn-mscale": case("Llama", rope_scaling=dict(YARN, mscale=1.5, mscale_all_dim=0.7)),
    "llama-yarn-mscale-alone": case("Llama", rope_scaling=dict(YARN, mscale=1.5)),
    "llama-yarn-no-truncate": case("Llama", rope_scaling=dict(YARN, truncate=False)),
    "llama3": case("Llama", rope_theta=500000.0, rope_scaling=LLAMA3),
    "llama3-narrow": case("Llama", head_dim=32, rope_scaling=dict(LLAMA3, factor=4.0, low_freq_factor=0.5, high_freq_factor=8.0)),
    "llama-tied": case("Llama", tie_word_embeddings=True),
    "llama-tied-bf16": case("Llama", tie_word_embeddings=True, dtype=torch.bfloat16),
    "llama-tied-f16": case("Llama", tie_word_embeddings=True, dtype=torch.float16),
    "llama-bf16": case("Llama", dtype=torch.bfloat16),
    "llama-f16": case("Llama", dtype=torch.float16),
    "llama-sharded": case("Llama", shard="100KB"),
    "llama-sharded-bf16": case("Llama", shard="60KB", dtype=torch.bfloat16),
    "mistral": case("Mistral", sliding_window=None),
    "mistral-default-window": case("Mistral", edit=without("sliding_window")),
    "mistral-window": case("Mistral", sliding_window=37),
    "mistral-window-1": case("Mistral", sliding_window=1),
    "mistral-head-dim": case("Mistral", sliding_window=None, head_dim=24),
    "mistral-eight-groups": case("Mistral", sliding_window=None, num_attention_heads=16, num_key_value_heads=8, edit=without("num_key_value_heads")),
    "qwen2": case("Qwen2"),
    "qwen2-window": case("Qwen2", use_sliding_window=True, sliding_window=48, max_window_layers=1),
    "qwen2-window-no-types": case("Qwen2", use_sliding_window=True, sliding_window=48, max_window_layers=2, edit=without("layer_types")),
    "qwen2-window-types": case("Qwen2", use_sliding_window=True, sliding_window=48, max_window_layers=3,
                               layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    "qwen2-window-unused": case("Qwen2", use_sliding_window=False, sliding_window=16, max_window_layers=0),
    "qwen2-tied-bf16": case("Qwen2", tie_word_embeddings=True, dtype=torch.bfloat16),
    "qwen2-yarn": case("Qwen2", rope_theta=1000000.0, rope_scaling=YARN),
    "qwen2-dynamic": case("Qwen2", max_position_embeddings=128, rope_scaling=dict(rope_type="dynamic", factor=4.0)),
    "qwen3": case("Qwen3", head_dim=24),
    "qwen3-default-head-dim": case("Qwen3", head_dim=128, edit=without("head_dim")),
    "qwen3-bias": case("Qwen3", head_dim=24, attention_bias=True),
    "qwen3-window": case("Qwen3", head_dim=16, use_sliding_window=True, sliding_window=33, max_window_layers=1),
    "qwen3-tied": case("Qwen3", head_dim=32, tie_word_embeddings=True, rope_theta=1000000.0),
}


def fill(model, seed):
    """Weights large enough that attention is sharp and every bias and norm matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            if name.endswith(".bias"):
                value = 0.4 * noise
            elif "norm" in name:
                value = 1 + 0.3 * noise
            elif "embed_tokens" in name or "lm_head" in name:
                value = noise / tensor.shape[1] ** 0.5 * 2
            else:
                sharp = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
                value = sharp * noise / tensor.shape[1] ** 0.5
            tensor.copy_(value)


def build(name, spec, directory):
    torch.manual_seed(0)
    config = getattr(transformers, spec["family"] + "Config")(**spec["config"])
    model = getattr(transformers, spec["family"] + "ForCausalLM")(config)
    fill(model, sum(name.encode()))
    model.to(spec["dtype"]).save_pretrained(directory, **({"max_shard_size": spec["shard"]} if spec["shard"] else {}))
    # Read back what was stored, in float64. Casting `model` would not do: its rotary frequencies have been rounded with its weights.
    model = type(model).from_pretrained(directory, dtype=torch.float64).eval()
    if spec["edit"]:  # says the same in other words
        path = os.path.join(directory, "config.json")
        with open(path) as file:
            stored = json.load(file)
        spec["edit"](stored)
        with open(path, "w") as file:
            json.dump(stored, file, indent=1)
    shutil.copy(os.path.join(SHARED, "models", "stories260K", "tokenizer.model"), directory)
    return model


def score(program, directory, text, dtype):
    result = subprocess.run([program, "-m", directory, "--dtype", dtype, "--context", "full", "--per-token", text], capture_output=True)
    if result.returncode:
        return None, None, result.stderr.decode().strip()
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    lines = [line for line in lines if "position" in line]
    return [line["token"] for line in lines], torch.tensor([line["logprob"] for line in lines], dtype=torch.float64), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "bin"))
    parser.add_argument("--keep", help="leave the models here")
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--dtype", default="f32")
    options = parser.parse_args()
    work = options.keep or tempfile.mkdtemp()
    os.makedirs(work, exist_ok=True)
    with open(os.path.join(SHARED, "text", "tinystories-sample", "tinystories_sample.txt"), "rb") as file:
        sample = file.read(4000)
    import sentencepiece
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=os.path.join(SHARED, "models", "stories260K", "tokenizer.model"))

    bad = 0
    for name, spec in CASES.items():
        if options.only and options.only not in name:
            continue
        directory = os.path.join(work, name)
        model = build(name, spec, directory)
        # A text of about the wanted number of tokens.
        end = len(sample)
        while len(tokenizer.encode(sample[:end].decode("utf-8", "ignore"))) + 1 > spec["tokens"]:
            end -= 10
        text = os.path.join(work, name + ".txt")
        with open(text, "w") as file:
            file.write(sample[:end].decode("utf-8", "ignore"))
        tokens, got, failure = score(os.path.join(options.bin, "uio-score"), directory, text, options.dtype)
        if tokens is None:
            bad += 1
            print(f"{name:32s} FAILED {failure}")
            continue
        # The last token is predicted, not read: dynamic scaling looks at the length.
        ids = torch.tensor([[1] + tokens])
        with torch.no_grad():
            logits = model(ids[:, :-1]).logits[0].double()
        want = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
        worst = (got - want).abs().max().item()
        verdict = "ok" if worst <= BOUND else "DEVIATES"
        bad += verdict != "ok"
        print(f"{name:32s} {len(tokens):4d} tokens, mean nll {-want.mean():.3f}, largest difference {worst:.1e} {verdict}", flush=True)
    if not options.keep:
        shutil.rmtree(work)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
