#!/usr/bin/env python3
"""Makes the tiny model of this folder and the figures that every implementation must give on it.

    python3 -m venv /tmp/oracle
    /tmp/oracle/bin/pip install torch transformers==4.57.6 sentencepiece protobuf safetensors numpy
    /tmp/oracle/bin/python tests/golden/model/generate.py

A Llama of 3 layers with grouped queries and a head size of its own, random weights from a seed; a SentencePiece tokenizer with byte
fallback; `adapter` (staged slots, M own rows, LoRA of rank 2) and `adapter-causal` (causal slots, one shared row, no LoRA, L not a
multiple of M). text.txt was written for this project. expected.json comes from the float64 program below, which was written from
the description of the method and shares no code with uio; context `full` is checked against transformers before anything is written.
"""

import io
import json
import os

import numpy as np
import sentencepiece
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, HIDDEN, FEED, LAYERS, HEADS, GROUPS, SIZE, POSITIONS = 320, 32, 24, 3, 4, 2, 12, 256
EPSILON, THETA = 1e-5, 10000.0
DOCUMENT_BYTES, FULL_BYTES = 520, 300  # of text.txt; `full` must fit into the positions
MEMORIES_SHOWN = 1
SEED = 38
PROMPT = "Mira asked the sea"
GENERATED = 80

CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=FEED,
              num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=GROUPS, head_dim=SIZE,
              max_position_embeddings=POSITIONS, rms_norm_eps=EPSILON, rope_theta=THETA, hidden_act="silu", attention_bias=False,
              mlp_bias=False, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, torch_dtype="float32")
ADAPTERS = {
    "adapter": dict(segment_length=32, memory_length=4, lora_rank=2, lora_alpha=6, memory_mask="staged", memory_positions="staged"),
    "adapter-causal": dict(segment_length=40, memory_length=7, lora_rank=0, lora_alpha=0, memory_mask="causal", memory_positions="causal"),
}


# --- making ----------------------------------------------------------------------------------------------------------


def make_tokenizer(text):
    # Beside the text, a few sentences of the kind that other tests write, so that they do not fall to bytes.
    more = ["Once upon a time, on day 1, they went to the park.", "They saw a big dog and 2 little birds.", "Then they all went home."]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in text.split("\n") if line] + 3 * more), model_writer=model, model_type="bpe",
        vocab_size=VOCABULARY, byte_fallback=True, character_coverage=0.999, normalization_rule_name="identity",
        remove_extra_whitespaces=False, num_threads=1, minloglevel=2)
    with open("tokenizer.model", "wb") as file:
        file.write(model.getvalue())
    return model.getvalue()


def make_model(random):
    def matrix(out, into, sharp=1.0):
        return (sharp * random.standard_normal((out, into)) / into**0.5).astype(np.float32)

    def norm():
        return (1 + 0.3 * random.standard_normal(HIDDEN)).astype(np.float32)

    # Embedding rows of length about 2: tied logits then spread enough for greedy choices to be clear.
    weights = {"model.embed_tokens.weight": 2 * matrix(VOCABULARY, HIDDEN), "model.norm.weight": norm()}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        weights[prefix + "input_layernorm.weight"] = norm()
        weights[prefix + "post_attention_layernorm.weight"] = norm()
        weights[prefix + "self_attn.q_proj.weight"] = matrix(HEADS * SIZE, HIDDEN, 1.6)
        weights[prefix + "self_attn.k_proj.weight"] = matrix(GROUPS * SIZE, HIDDEN, 1.6)
        weights[prefix + "self_attn.v_proj.weight"] = matrix(GROUPS * SIZE, HIDDEN, 1.5)
        weights[prefix + "self_attn.o_proj.weight"] = matrix(HIDDEN, HEADS * SIZE, 1.5)
        weights[prefix + "mlp.gate_proj.weight"] = matrix(FEED, HIDDEN)
        weights[prefix + "mlp.up_proj.weight"] = matrix(FEED, HIDDEN)
        weights[prefix + "mlp.down_proj.weight"] = matrix(HIDDEN, FEED)
    save_file(weights, "model.safetensors", metadata={"format": "pt"})
    with open("config.json", "w") as file:
        json.dump(CONFIG, file, indent=1)
        file.write("\n")
    return {name: tensor.astype(np.float64) for name, tensor in weights.items()}


def make_adapter(name, random):
    config = dict(format="uio-adapter", version=1, method="uio", **ADAPTERS[name], encoder_targets=["q_proj", "v_proj"],
                  transfer_targets=["k_proj", "v_proj"])
    rank, is_shared = config["lora_rank"], name == "adapter-causal"
    weights = {"memory_tokens": (0.6 * random.standard_normal((1 if is_shared else config["memory_length"], HIDDEN))).astype(np.float32)}
    outputs = {"q_proj": HEADS * SIZE, "k_proj": GROUPS * SIZE, "v_proj": GROUPS * SIZE}
    for part, targets in (("encoder", config["encoder_targets"]), ("transfer", config["transfer_targets"])):
        for layer in range(LAYERS if rank else 0):
            for target in targets:
                prefix = f"{part}.layers.{layer}.self_attn.{target}."
                weights[prefix + "lora_A.weight"] = (random.standard_normal((rank, HIDDEN)) / HIDDEN**0.5).astype(np.float32)
                weights[prefix + "lora_B.weight"] = (0.3 * random.standard_normal((outputs[target], rank))).astype(np.float32)
    os.makedirs(name, exist_ok=True)
    save_file(weights, os.path.join(name, "adapter_model.safetensors"))
    with open(os.path.join(name, "adapter_config.json"), "w") as file:
        json.dump(config, file, indent=1)
        file.write("\n")
    return config, {key: tensor.astype(np.float64) for key, tensor in weights.items()}


# --- the reference, float64 ------------------------------------------------------------------------------------------


def rms_norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * weight


def rotate(x, positions):
    """x [T, heads, d] at integer positions [T]; component j turns with j + d/2."""
    half = SIZE // 2
    angle = np.asarray(positions, dtype=np.float64)[:, None] * THETA ** (-2.0 * np.arange(half) / SIZE)[None, :]
    cosine, sine = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cosine - b * sine, b * cosine + a * sine], -1)


def attend(q, k, v, mask):
    """q [T, H, d], k and v [S, G, d], mask [T, S]; the output of all heads, [T, H·d]."""
    outputs = []
    for head in range(HEADS):
        group = head // (HEADS // GROUPS)
        scores = np.where(mask, q[:, head] @ k[:, group].T / SIZE**0.5, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        outputs.append(scores / scores.sum(-1, keepdims=True) @ v[:, group])
    return np.concatenate(outputs, -1)


class Reference:
    def __init__(self, weights, adapter_config=None, adapter=None):
        self.weights, self.config, self.adapter = weights, adapter_config, adapter

    def project(self, layer, name, rows, part=None):
        module = "mlp" if name in ("gate_proj", "up_proj", "down_proj") else "self_attn"
        out = rows @ self.weights[f"model.layers.{layer}.{module}.{name}.weight"].T
        key = f"{part}.layers.{layer}.{module}.{name}.lora_"
        if part and key + "A.weight" in self.adapter:
            scale = self.config["lora_alpha"] / self.config["lora_rank"]
            out = out + scale * (rows @ self.adapter[key + "A.weight"].T) @ self.adapter[key + "B.weight"].T
        return out

    def block(self, layer, x, attended):
        x = x + self.project(layer, "o_proj", attended)
        h = rms_norm(x, self.weights[f"model.layers.{layer}.post_attention_layernorm.weight"])
        gate = self.project(layer, "gate_proj", h)
        return x + self.project(layer, "down_proj", gate / (1 + np.exp(-gate)) * self.project(layer, "up_proj", h))

    def input_norm(self, layer, x):
        return rms_norm(x, self.weights[f"model.layers.{layer}.input_layernorm.weight"])

    def encode(self, ids):
        """Hidden memory of one whole segment, [N, M, D]."""
        length, slots = self.config["segment_length"], self.config["memory_length"]
        assert len(ids) == length
        rows = np.broadcast_to(self.adapter["memory_tokens"], (slots, HIDDEN))
        x = np.concatenate([self.weights["model.embed_tokens.weight"][ids], rows])
        staged = [(2 * (i + 1) * length + slots) // (2 * slots) for i in range(slots)]  # (i+1)·L/M, halves up
        positions = list(range(length)) + (staged if self.config["memory_positions"] == "staged" else list(range(length, length + slots)))
        mask = np.zeros((length + slots, length + slots), dtype=bool)
        mask[:length, :length] = np.tril(np.ones((length, length), dtype=bool))
        for slot in range(slots):
            if self.config["memory_mask"] == "staged":
                mask[length + slot, : staged[slot]] = True
                mask[length + slot, length + slot] = True
            else:
                mask[length + slot, : length + slot + 1] = True
        memory = []
        for layer in range(LAYERS):
            h = self.input_norm(layer, x)
            memory.append(h[length:])
            q = self.project(layer, "q_proj", h, "encoder").reshape(-1, HEADS, SIZE)
            k = self.project(layer, "k_proj", h, "encoder").reshape(-1, GROUPS, SIZE)
            v = self.project(layer, "v_proj", h, "encoder").reshape(-1, GROUPS, SIZE)
            x = self.block(layer, x, attend(rotate(q, positions), rotate(k, positions), v, mask))
        return np.stack(memory)

    def transfer(self, hidden):
        """Un-rotated keys and values, a pair of [N, M, G, d]."""
        return tuple(np.stack([self.project(layer, name, hidden[layer], "transfer").reshape(-1, GROUPS, SIZE) for layer in range(LAYERS)])
                     for name in ("k_proj", "v_proj"))

    def memory(self, ids):
        return self.transfer(self.encode(ids))

    def logits(self, memories, ids):
        """Of every raw token of `ids`, which lie behind the memories, positions from 0."""
        x = self.weights["model.embed_tokens.weight"][ids]
        before = sum(keys.shape[1] for keys, _ in memories)
        positions = np.arange(before + len(ids))
        mask = np.concatenate([np.ones((len(ids), before), dtype=bool), np.tril(np.ones((len(ids), len(ids)), dtype=bool))], 1)
        for layer in range(LAYERS):
            h = self.input_norm(layer, x)
            q = self.project(layer, "q_proj", h).reshape(-1, HEADS, SIZE)
            k = np.concatenate([keys[layer] for keys, _ in memories] + [self.project(layer, "k_proj", h).reshape(-1, GROUPS, SIZE)])
            v = np.concatenate([values[layer] for _, values in memories] + [self.project(layer, "v_proj", h).reshape(-1, GROUPS, SIZE)])
            x = self.block(layer, x, attend(rotate(q, positions[before:]), rotate(k, positions), v, mask))
        return rms_norm(x, self.weights["model.norm.weight"]) @ self.weights["model.embed_tokens.weight"].T


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def following(logits, ids):
    """log p of ids[1:] given the logits of ids[:-1], then of what comes after the last."""
    table = log_softmax(logits)
    return [table[i, token] for i, token in enumerate(ids)]


def walk(reference, ids, with_memory):
    """Segment by segment; the first token of a segment is predicted by the last position of the one before."""
    length = reference.config["segment_length"]
    scores, memories = [None], []
    for begin in range(0, len(ids), length):
        segment, targets = ids[begin : begin + length], ids[begin + 1 : begin + length + 1]
        if targets:
            scores += following(reference.logits(memories, segment)[: len(targets)], targets)
        if with_memory and len(segment) == length:
            memories.append(reference.memory(segment))
    return scores


def score_last(reference, ids, last, with_memory):
    """The last tokens are the local text; all before is context."""
    length, first = reference.config["segment_length"], len(ids) - last
    if not with_memory:
        return following(reference.logits([], [ids[0]] + ids[first:])[:-1], ids[first:])
    whole = first // length * length
    memories = [reference.memory(ids[at : at + length]) for at in range(0, whole, length)]
    local = ids[whole:]
    scores = following(reference.logits(memories, local)[:-1], local[1:])[max(0, first - whole - 1) :]
    if first == whole:  # nothing raw stands before the first target: as when walking, the end of the segment before predicts it
        before = ids[whole - length : whole]
        scores = [following(reference.logits(memories[:-1], before)[-1:], [ids[first]])[0]] + scores
    return scores


def generate(reference, memories, tail, prompt, count):
    """Greedy ids and the smallest gap between the two best logits. A whole raw segment is compressed, its raw tokens go."""
    memories, local, logits = list(memories), [], None

    def feed(token):
        nonlocal logits, local
        local.append(token)
        logits = reference.logits(memories, local)[-1]
        if len(local) == reference.config["segment_length"]:
            memories.append(reference.memory(local))
            local = []

    for token in tail + prompt:
        feed(token)
    made, margin = [], np.inf
    while True:
        second, best = np.sort(logits)[-2:]
        margin = min(margin, best - second)
        made.append(int(logits.argmax()))
        if len(made) == count:
            return made, margin
        feed(made[-1])


def check_with_transformers(ids, scores):
    import torch
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(".", dtype=torch.float64).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].numpy()
    difference = max(abs(a - b) for a, b in zip(following(logits[:-1], ids[1:]), scores[1:]))
    print(f"full, against transformers: largest difference {difference:.1e}")
    assert difference < 1e-4  # its rotary tables are float32


def rounded(values, digits=5):
    return [None if value is None else round(float(value), digits) for value in values]


def mean_nll(scores):
    return round(-float(np.mean(scores)), 6)


def without_prefix(model_bytes):
    """The tokenizer of text that does not stand at the start of a document."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model_bytes)
    proto.normalizer_spec.add_dummy_prefix = False
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


def main():
    os.chdir(HERE)
    random = np.random.default_rng(SEED)
    with open("text.txt", encoding="utf-8") as file:
        text = file.read()
    model_bytes = make_tokenizer(text)
    weights = make_model(random)
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model_bytes)
    encode = lambda n: [1] + tokenizer.encode(text.encode()[:n].decode())
    ids, short = encode(DOCUMENT_BYTES), encode(FULL_BYTES)
    adapters = {name: make_adapter(name, random) for name in ADAPTERS}

    first = Reference(weights, *adapters["adapter"])
    full = [None] + following(first.logits([], short)[:-1], short[1:])
    check_with_transformers(short, full)
    expected = {"document_bytes": DOCUMENT_BYTES, "ids": ids, "full_bytes": FULL_BYTES, "full": rounded(full), "adapters": {}}
    prompt = [1] + tokenizer.encode(PROMPT)
    for name, (config, adapter) in adapters.items():
        reference, length = Reference(weights, config, adapter), config["segment_length"]
        whole = len(ids) // length * length
        memories = [reference.memory(ids[at : at + length]) for at in range(0, whole, length)]
        alone, margin = generate(reference, [], [], prompt, GENERATED)
        continued, margin2 = generate(reference, memories, ids[whole:], without_prefix(model_bytes).encode(PROMPT), GENERATED)
        print(f"{name}: {len(memories)} memories and {len(ids) - whole} raw; margins {margin:.4f} {margin2:.4f}; "
              f"{len(set(alone))} and {len(set(continued))} different ids; mean log p: memory "
              f"{np.mean(walk(reference, ids, True)[1:]):.3f}, none {np.mean(walk(reference, ids, False)[1:]):.3f}")
        # Choose another seed when greedy choices are close, or run in a short circle.
        assert len(set(alone)) > 12 and len(set(continued)) > 12
        assert min(margin, margin2) > 1e-3 and 2 not in alone + continued
        expected["adapters"][name] = {
            "memory": rounded(walk(reference, ids, True)),
            "none": rounded(walk(reference, ids, False)),
            # Mean -log p. The context has a remainder, it has none, it is several segments; of the short document: less than one, BOS.
            "last": [{"bytes": size, "last": last, "memory": mean_nll(score_last(reference, document, last, True)),
                      "none": mean_nll(score_last(reference, document, last, False))}
                     for size, document, last in ((DOCUMENT_BYTES, ids, len(ids) - whole + 13), (DOCUMENT_BYTES, ids, len(ids) - whole),
                                                  (DOCUMENT_BYTES, ids, len(ids) - whole + 2 * length),
                                                  (FULL_BYTES, short, len(short) - length // 2), (FULL_BYTES, short, len(short) - 1))],
            # Of the first segments; keys un-rotated; [layer][KV head, slot, component].
            "memories": [{"keys": [rounded(keys[layer].transpose(1, 0, 2).ravel()) for layer in range(LAYERS)],
                          "values": [rounded(values[layer].transpose(1, 0, 2).ravel()) for layer in range(LAYERS)]}
                         for keys, values in memories[:MEMORIES_SHOWN]],
            "generate": {"prompt": PROMPT, "prompt_ids": prompt, "ids": alone, "after_document": continued,
                         "min_margin": round(float(min(margin, margin2)), 5)},
        }
    with open("expected.json", "w") as file:
        json.dump(expected, file, separators=(",", ":"))
        file.write("\n")
    for name in ["model.safetensors"] + [os.path.join(adapter, "adapter_model.safetensors") for adapter in ADAPTERS]:
        os.chmod(name, 0o644)


if __name__ == "__main__":
    main()
