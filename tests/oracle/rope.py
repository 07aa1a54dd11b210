#!/usr/bin/env python3
"""Prints the rotary frequencies that transformers computes, as the rows of tests/unit/model/rope_test.cc. Never run by CI.

    /tmp/oracle/bin/python tests/oracle/rope.py     (the environment of families.py)
"""

import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=128)
DYNAMIC = dict(rope_type="dynamic", factor=3.0)

# name, theta, head size, positions, length in use, rope_scaling
CASES = [
    ("default", 10000.0, 12, 512, 0, None),
    ("default, other base", 500000.0, 8, 512, 0, None),
    ("linear", 10000.0, 12, 512, 0, dict(rope_type="linear", factor=2.5)),
    ("dynamic, below the pretrained length", 10000.0, 12, 128, 100, DYNAMIC),
    ("dynamic, at it", 10000.0, 12, 128, 128, DYNAMIC),
    ("dynamic, one beyond", 10000.0, 12, 128, 129, DYNAMIC),
    ("dynamic, far beyond", 10000.0, 12, 128, 384, DYNAMIC),
    ("dynamic, original length ignored", 10000.0, 12, 128, 300, dict(DYNAMIC, original_max_position_embeddings=32)),
    ("llama3", 10000.0, 16, 1024, 0, LLAMA3),
    ("llama3, other band", 500000.0, 16, 1024, 0, dict(LLAMA3, factor=4.0, low_freq_factor=0.5, high_freq_factor=8.0)),
    ("yarn", 10000.0, 16, 512, 0, YARN),
    ("yarn, original length not said", 10000.0, 16, 256, 0, dict(rope_type="yarn", factor=2.0)),
    ("yarn, other band", 10000.0, 16, 512, 0, dict(YARN, beta_fast=8.0, beta_slow=0.5)),
    ("yarn, not truncated", 10000.0, 16, 512, 0, dict(YARN, truncate=False)),
    ("yarn, attention factor", 10000.0, 16, 512, 0, dict(YARN, attention_factor=1.25)),
    ("yarn, mscale and mscale_all_dim", 10000.0, 16, 512, 0, dict(YARN, mscale=1.5, mscale_all_dim=0.7)),
    ("yarn, mscale alone", 10000.0, 16, 512, 0, dict(YARN, mscale=1.5)),
    ("yarn, factor 1", 10000.0, 16, 128, 0, dict(YARN, factor=1.0)),
]


def main():
    transformers.logging.set_verbosity_error()
    for name, theta, size, positions, length, scaling in CASES:
        config = transformers.LlamaConfig(hidden_size=4 * size, num_attention_heads=4, head_dim=size, rope_theta=theta,
                                          max_position_embeddings=positions, rope_scaling=dict(scaling) if scaling else None)
        kind = scaling["rope_type"] if scaling else "default"
        inverse, factor = ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len=length or None)
        text = "null" if scaling is None else str(scaling).replace("'", '\\"').replace("False", "false")
        figures = ", ".join(f"{value:.7g}" for value in inverse.tolist())
        print(f'    {{"{name}", {theta:g}, {size}, {positions}, {length}, "{text}", {factor:.7g}, {{{figures}}}}},')


if __name__ == "__main__":
    main()
