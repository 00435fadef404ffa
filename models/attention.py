"""Multi-head attention: projections and heads are shared, a mechanism writes `attend`.

Softmax attention, the Transformer baseline (Vaswani et al., arXiv 1706.03762):
    attend(q, k, v) = softmax(q k^T / sqrt(K)) v
It runs torch's fused scaled_dot_product_attention, so that the baseline is the fast one.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class MultiHeadAttention(nn.Module, ABC):
    """A mixer (x, mask) -> x; x (B, N, D), mask bool (B, N), True = a real token.

    Real tokens come first: every row of a mask is a run of True and then a run of False.
    """

    def __init__(self, d_model: int, *, n_heads: int, d_qkv: int | None = None):
        super().__init__()
        name = "d_model" if d_qkv is None else "d_qkv"
        d_qkv = d_model if d_qkv is None else d_qkv  # of all heads together
        if d_qkv % n_heads:
            raise ValueError(f"model.{name}={d_qkv} is no multiple of model.n_heads={n_heads}")
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_qkv)
        self.out = nn.Linear(d_qkv, d_model)

    @abstractmethod
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """q, k, v (B, H, N, K), mask (B, N) -> (B, H, N, K)."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = rearrange(
            self.qkv(x), "b n (three h k) -> three b h n k", three=3, h=self.n_heads
        )
        return self.out(rearrange(self.attend(q, k, v, mask), "b h n k -> b n (h k)"))


class SoftmaxAttention(MultiHeadAttention):
    """dropout falls on the attention weights; on CPU any value above 0 leaves the fused kernel."""

    def __init__(
        self, d_model: int, *, n_heads: int, d_qkv: int | None = None, dropout: float = 0.0
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        self.dropout = dropout

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        dropout = self.dropout * self.training
        if q.device.type != "cpu" or torch.compiler.is_compiling():
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask[:, None, None, :], dropout_p=dropout
            )
        # On CPU each sequence attends at its own length: the same values for real tokens (padded
        # queries, which nothing reads, get 0). On ListOps that leaves 31 % of the products: the
        # mean of n^2 over N^2 in the training split, N = 2,000.
        N, outputs = q.shape[2], []
        for q_i, k_i, v_i, n in zip(q, k, v, mask.sum(1).tolist(), strict=True):
            o = F.scaled_dot_product_attention(
                q_i[None, :, :n], k_i[None, :, :n], v_i[None, :, :n], dropout_p=dropout
            )
            outputs.append(F.pad(o, (0, 0, 0, N - n)))
        return torch.cat(outputs)
