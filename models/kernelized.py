"""Kernelized Attention, the exact form that Skyformer approximates (Chen et al., arXiv 2111.00035).

    o_i = sum_j exp(-|q_i - k_j|^2 / (2 sqrt(K))) v_j
a Gaussian kernel in place of the softmax, and no normalisation. It is dense: N^2 weights.
Half precision is computed in float32, as in the authors' code: the exponents cancel. No differences
from it but padded queries, which give 0 here.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, at_each_length, in_float32


class KernelizedAttention(MultiHeadAttention):
    @in_float32
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        if q.device.type == "cpu" and not torch.compiler.is_compiling():
            return at_each_length(lambda q, k, v: gaussian_kernel(q, k) @ v, (q, k, v), mask)
        return gaussian_kernel(q, k) @ (v * mask[:, None, :, None].to(v.dtype))


def gaussian_kernel(x: Tensor, y: Tensor) -> Tensor:
    """x (.., N, K), y (.., M, K) -> (.., N, M)."""
    x, y = x * x.shape[-1] ** -0.25, y * y.shape[-1] ** -0.25
    # x . y - |x|^2 / 2 - |y|^2 / 2 as one product, so that (N, M) is written twice and no more
    x = torch.cat([x, -x.square().sum(-1, keepdim=True) / 2, torch.ones_like(x[..., :1])], dim=-1)
    y = torch.cat([y, torch.ones_like(y[..., :1]), -y.square().sum(-1, keepdim=True) / 2], dim=-1)
    return (x @ y.transpose(-1, -2)).exp()
