"""The Sparse Transformer's fixed pattern (Child et al., arXiv 1904.10509), with both parts in one
softmax ("merged heads") and in both directions:

    o_i = sum_j softmax_j(q_i . k_j / sqrt(K)) v_j,
    j with floor(j / l) = floor(i / l)  or  j mod l >= l - c

that is, the query's own block of l positions, and the last c positions of every block as the
block's summary. With l about sqrt(N), as in the paper, the cost grows as N^1.5. l >= N is softmax
attention.

Differences from the authors' code (openai/sparse_attention@199cdd3, attention.py): attention is not
causal, since LRA classifies whole sequences; all heads have the same summary, where theirs can give
each head another part of the block. LRA's own baseline (google-research/long-range-arena@a2e5057,
lra_benchmarks/models/sparse_transformer/sparse_attention.py) has l = 50, c = 10, is causal, counts
the first position of each block as a summary too, and masks a dense N x N matrix; here only the
allowed keys are multiplied.
"""

import math

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, attend_blocks, blocks


class SparseAttention(MultiHeadAttention):
    """The fixed pattern: `block` is l (null = about the square root of seq_len), `summary` is c."""

    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        seq_len: int,
        summary: int,
        block: int | None = None,
        d_qkv: int | None = None,
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        self.block = round(math.sqrt(seq_len)) if block is None else block
        if not 0 < summary <= self.block:
            raise ValueError(f"summary={summary}: choose from 1 to the block of {self.block}")
        self.summary = summary

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        N, c = q.shape[2], self.summary
        size = min(self.block, N)
        q, k, v = (blocks(x, size, 2) for x in (q, k, v))  # (B, H, C, size, K)
        own = blocks(mask, size, 1)  # (B, C, size)
        C = own.shape[1]
        if C == 1:
            allowed = own[:, None, :, None]
        else:

            def with_summaries(x):  # (B, H, C, size, K) -> (B, H, C, size + C c, K)
                ends = x[:, :, :, -c:].flatten(2, 3)[:, :, None]
                return torch.cat([x, ends.expand(-1, -1, C, -1, -1)], dim=3)

            k, v = with_summaries(k), with_summaries(v)
            others = ~torch.eye(C, dtype=torch.bool, device=q.device).repeat_interleave(c, 1)
            ends = own[:, :, -c:].flatten(1)[:, None] & others  # (B, C, C c), without a block's own
            allowed = torch.cat([own, ends], dim=2)[:, None, :, None]
        return attend_blocks(q, k, v, allowed).flatten(2, 3)[:, :, :N]
