"""The Fourier Transformer's encoder as the released code computes it (He et al. 2023), written
plainly from a description: cosines from the definition, one layer after the other, without a mask.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def dct(x: Tensor) -> Tensor:
    """Returns the orthonormal DCT-II over axis 1 of (B, N, D)."""
    N = x.shape[1]
    out = []
    for k in range(N):
        scale = math.sqrt((1 if k == 0 else 2) / N)
        cosine = [math.cos(math.pi * (n + 0.5) * k / N) for n in range(N)]
        out.append(scale * sum(c * x[:, n] for n, c in enumerate(cosine)))
    return torch.stack(out, dim=1)


def idct(y: Tensor) -> Tensor:
    """Returns the orthonormal DCT-III over axis 1, the inverse of dct."""
    N = y.shape[1]
    out = []
    for n in range(N):
        total = 0
        for k in range(N):
            scale = math.sqrt((1 if k == 0 else 2) / N)
            total = total + scale * math.cos(math.pi * (n + 0.5) * k / N) * y[:, k]
        out.append(total)
    return torch.stack(out, dim=1)


def encoder(weights: dict[str, Tensor], ids: Tensor, *, n_layers, n_heads, keep_ratio) -> Tensor:
    """Maps ids (B, N) without padding to logits (B, C), with CLS pooling."""
    w = weights

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = w["embedding.tokens.weight"][ids]
    x = torch.cat([w["embedding.cls"].expand(len(ids), 1, -1), x], dim=1)
    x = x + w["embedding.positions"][: x.shape[1]]
    for layer in range(n_layers):
        name = f"blocks.{layer}"
        y = norm(x, f"{name}.norm1")
        if layer == 0:
            T = y.shape[1]
            cls, y = y[:, :1], y[:, 1:]
            y = idct(dct(y)[:, : math.ceil(T * keep_ratio)])
            y = torch.cat([cls, y], dim=1)
            x = y  # the residual is the shortened sequence itself
        q, k, v = linear(y, f"{name}.mixer.qkv").chunk(3, dim=-1)
        K = q.shape[-1] // n_heads
        heads = []
        for h in range(n_heads):
            part = slice(h * K, (h + 1) * K)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(K)
            heads.append(scores.softmax(-1) @ v[..., part])
        x = x + linear(torch.cat(heads, dim=-1), f"{name}.mixer.out")
        hidden = F.gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.0"))
        x = x + linear(hidden, f"{name}.mlp.3")
    pooled = norm(x, "norm")[:, 0]
    return linear(F.relu(linear(pooled, "head.0")), "head.2")
