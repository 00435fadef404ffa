"""Fourier-BART's encoder as the released code computes it (He et al. 2023), written plainly from a
description: cosines from the definition, one layer after the other.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.oracles.fourier import dct, idct


def encoder(
    weights: dict[str, Tensor],
    ids: Tensor,
    lengths: Tensor,
    *,
    n_layers: int,
    n_heads: int,
    keep_ratio: float,
    filter_layers: list[int],
    restore: str,
) -> Tensor:
    """Maps ids (B, N) with padding behind `lengths` to states: (B, M, D), or (B, N, D) restored."""
    w = {name.removeprefix("model.encoder."): value for name, value in weights.items()}

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    N = ids.shape[1]
    padding = torch.arange(N) >= lengths[:, None]
    x = w["embed_tokens.weight"][ids] + w["embed_positions.weight"][2 : N + 2]
    x = norm(x, "layernorm_embedding") * ~padding[..., None]
    stored = []
    for layer in range(n_layers):
        name = f"layers.{layer}"
        if layer in filter_layers:
            stored.append(x)
            x = idct(dct(x)[:, : math.ceil(x.shape[1] * keep_ratio)])
            padding = torch.zeros(x.shape[:2], dtype=torch.bool)  # nothing is masked from here on
        heads = []
        K = x.shape[-1] // n_heads
        q, k, v = (linear(x, f"{name}.self_attn.{part}_proj") for part in "qkv")
        for h in range(n_heads):
            part = slice(h * K, (h + 1) * K)
            scores = q[..., part] @ k[..., part].mT / math.sqrt(K)
            scores = scores.masked_fill(padding[:, None], -math.inf)
            heads.append(scores.softmax(-1) @ v[..., part])
        x = norm(
            x + linear(torch.cat(heads, -1), f"{name}.self_attn.out_proj"),
            f"{name}.self_attn_layer_norm",
        )
        x = x + linear(F.gelu(linear(x, f"{name}.fc1")), f"{name}.fc2")
        if layer == n_layers - 1 and restore == "nearest":
            length = stored[0].shape[1]
            for states in [*stored[1:], x]:
                stored[0] = stored[0] + F.interpolate(states.mT, size=length, mode="nearest").mT
            x = stored[0]
        x = norm(x, f"{name}.final_layer_norm")
    return x
