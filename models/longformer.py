"""Longformer: The Long-Document Transformer (Beltagy, Peters, Cohan, arXiv 2004.05150).

Attention has a sliding window, and the first `global_tokens` positions are global:
    o_i = sum_j softmax_j(q_i . k_j / sqrt(K)) v_j,   |i - j| <= window / 2  or  j global
    o_g = sum_j softmax_j(q'_g . k'_j / sqrt(K)) v'_j  over all j, for a global g
where q', k', v' come from separate projections. A window of 2 N or more without global tokens is
softmax attention.

Here a block of window / 2 queries sees its own block and the two beside it.

Differences from the authors' code (allenai/longformer@06187c8, longformer/longformer.py): the first
position is global even with mean pooling, where it is not CLS; all layers have one window, without
dilation; the global projections start at random, while their conversion script copies the local
projections. LRA's baseline (google-research/long-range-arena@a2e5057, lra_benchmarks/models/
longformer/longformer_attention.py) masks a dense N x N matrix, and no configuration of it has a
global position; its window is 512.
"""

import torch
from torch import Tensor, nn

from models.attention import MultiHeadAttention, at_least, attend_blocks, blocks, merge_heads
from models.softmax import softmax_attention


class LongformerAttention(MultiHeadAttention):
    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        window: int,
        global_tokens: int = 1,
        d_qkv: int | None = None,
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        if window < 2 or window % 2:
            raise ValueError(f"window={window}: choose an even number, half of it on each side")
        at_least(0, global_tokens=global_tokens)
        self.half, self.global_tokens = window // 2, global_tokens
        if global_tokens:
            self.global_qkv = nn.Linear(d_model, self.qkv.out_features)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.heads(self.qkv(x))
        o = self.attend(q, k, v, mask)
        if self.global_tokens:
            q, k, v = self.heads(self.global_qkv(x))
            first = softmax_attention(q[:, :, : self.global_tokens], k, v, mask)
            o = torch.cat([first, o[:, :, self.global_tokens :]], dim=2)
        return self.out(merge_heads(o))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attends to the window and the global keys; `forward` then replaces the global rows."""
        N, G = q.shape[2], self.global_tokens
        # In blocks of half a window, a window is inside a query's own block and the two beside it.
        size = min(self.half, N)
        global_k, global_v, global_mask = k[:, :, :G], v[:, :, :G], mask[:, :G]
        q, k, v = (blocks(x, size, 2) for x in (q, k, v))  # (B, H, C, size, K)
        C = q.shape[2]
        position = torch.arange(C * size, device=q.device).view(C, size)
        # A key of the window is real, at most `half` away, and not already counted as global.
        local = mask & (torch.arange(N, device=q.device) >= G)
        local = around(blocks(local, size, 1), 1)  # (B, C, 3 size)
        near = (position[:, :, None] - around(position, 0)[:, None]).abs() <= self.half
        allowed = local[:, None, :, None] & near  # (B, 1, C, size, 3 size)
        k, v = around(k, 2), around(v, 2)  # (B, H, C, 3 size, K)
        if G:
            G = global_k.shape[2]
            k = torch.cat([global_k[:, :, None].expand(-1, -1, C, -1, -1), k], dim=3)
            v = torch.cat([global_v[:, :, None].expand(-1, -1, C, -1, -1), v], dim=3)
            seen = global_mask[:, None, None, None].expand(-1, 1, C, size, G)
            allowed = torch.cat([seen, allowed], dim=4)
        return attend_blocks(q, k, v, allowed).flatten(2, 3)[:, :, :N]


def around(x: Tensor, dim: int) -> Tensor:
    """Puts each block between its neighbours or zeros: (.., C, size, ..) -> (.., C, 3 size, ..)."""
    edge = torch.zeros_like(x.narrow(dim, 0, 1))
    before = torch.cat([edge, x.narrow(dim, 0, x.shape[dim] - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, x.shape[dim] - 1), edge], dim)
    return torch.cat([before, x, after], dim + 1)
