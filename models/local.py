"""Local attention, a baseline in Long Range Arena (Tay et al., arXiv 2011.04006).

Softmax attention stays inside disjoint blocks of `window` positions:
    o_i = sum_j softmax_j(q_i . k_j / sqrt(K)) v_j,   j with floor(j / window) = floor(i / window)
A window of N or more is softmax attention.

LRA's code (google-research/long-range-arena@a2e5057, lra_benchmarks/models/local/
local_attention.py) says the same and does another thing: its reshaping puts every C-th position
into a group, C the number of blocks, so that its attention is strided, while its padding mask is
cut into runs. Its window is 50, its projections have no biases, and attention weights are dropped.
"""

from torch import Tensor

from models.attention import MultiHeadAttention, at_least, attend_blocks, blocks


class LocalAttention(MultiHeadAttention):
    def __init__(self, d_model: int, *, n_heads: int, window: int, d_qkv: int | None = None):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        at_least(1, window=window)
        self.window = window

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        N = q.shape[2]
        size = min(self.window, N)
        q, k, v = (blocks(x, size, 2) for x in (q, k, v))  # (B, H, C, size, K)
        allowed = blocks(mask, size, 1)[:, None, :, None, :]  # (B, 1, C, 1, size)
        return attend_blocks(q, k, v, allowed).flatten(2, 3)[:, :, :N]
