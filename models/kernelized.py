"""Kernelized Attention, the exact form that Skyformer approximates (Chen et al., arXiv 2111.00035).

    o_i = sum_j exp(-|q_i - k_j|^2 / (2 sqrt(K))) v_j
A Gaussian kernel takes the place of the softmax, without normalisation. The mechanism is dense: it
has N^2 weights. Half precision is computed in float32, as in the authors' code, because the
exponents cancel. Only padded queries, which nothing reads, differ from their code: on CPU they give
0 here.
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
    """Returns the kernel of each pair: x (.., N, K), y (.., M, K) -> (.., N, M)."""
    x, y = x * x.shape[-1] ** -0.25, y * y.shape[-1] ** -0.25
    # One product gives x . y - |x|^2 / 2 - |y|^2 / 2, so that (N, M) is written only twice.
    x = torch.cat([x, -x.square().sum(-1, keepdim=True) / 2, torch.ones_like(x[..., :1])], dim=-1)
    y = torch.cat([y, torch.ones_like(y[..., :1]), -y.square().sum(-1, keepdim=True) / 2], dim=-1)
    return (x @ y.transpose(-1, -2)).exp()
