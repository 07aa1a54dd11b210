// The letters of tensor shapes, once for all of lib/model, lib/memory and lib/score:
//   B batch (segments side by side), T tokens, S keys, M memory tokens of a segment, L segment length in tokens,
//   D hidden size, H query heads, G KV heads (H is a multiple), d head size, F feed-forward size, V vocabulary, N layers.
#pragma once
