"""Kernelized Attention, the exact form that Skyformer approximates (Chen et al., arXiv 2111.00035).

    o_i = sum_j exp(-|q_i - k_j|^2 / (2 sqrt(K))) v_j
a Gaussian kernel in place of the softmax, and no normalisation. It is dense: N^2 weights.
No differences from the authors' code but padded queries, which give 0 here.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, at_each_length


class KernelizedAttention(MultiHeadAttention):
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        if q.device.type == "cpu" and not torch.compiler.is_compiling():
            return at_each_length(lambda q, k, v: gaussian_kernel(q, k) @ v, (q, k, v), mask)
        return gaussian_kernel(q, k) @ (v * mask[:, None, :, None].to(v.dtype))


def gaussian_kernel(x: Tensor, y: Tensor) -> Tensor:
    """x (.., N, K), y (.., M, K) -> (.., N, M)."""
    x, y = x * x.shape[-1] ** -0.25, y * y.shape[-1] ** -0.25
    norms = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (x @ y.transpose(-1, -2) - norms / 2).exp()
