"""Softmax attention from its definition, one query at a time."""

import math

import torch
from torch import Tensor


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """(B, H, N, K) and mask (B, N) -> (B, H, N, K)."""
    out = torch.zeros_like(v)
    B, H, N, K = q.shape
    for b in range(B):
        real = [n for n in range(N) if mask[b, n]]
        for h in range(H):
            for n in range(N):
                scores = torch.stack([(q[b, h, n] * k[b, h, m]).sum() for m in real])
                weights = (scores / math.sqrt(K)).exp()
                weights = weights / weights.sum()
                out[b, h, n] = sum(w * v[b, h, m] for w, m in zip(weights, real, strict=True))
    return out
