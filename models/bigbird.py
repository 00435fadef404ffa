"""Big Bird: Transformers for Longer Sequences (Zaheer et al., arXiv 2007.14062), in the paper's
internal transformer construction (ITC).

The sequence is cut into blocks. A block of queries sees
    the first and the last block (global),
    itself and the block on each side (window),
    and `random_blocks` others, drawn once for each layer and head.
Queries of the first and the last block see everything. With as many random blocks as blocks, Big
Bird is softmax attention.

Differences from the authors' code (google-research/bigbird@0ec9d82, bigbird/core/attention.py):
- Random blocks come from the whole sequence. Theirs draws them near its start alone: from the first
  1,024 positions at lengths 1,024, 3,072 and 4,096, else from the first 2 random_blocks + 5 blocks.
- They are the allowed blocks with the largest fixed random numbers, which are saved with the
  weights, so that neither padding nor a shorter batch changes the draw.
- The last block is the last one of the example's own tokens, not of the padded length.

LRA's baseline (google-research/long-range-arena@a2e5057, lra_benchmarks/models/bigbird/
bigbird_attention.py) has blocks of 64, draws from the first 1,024 positions, and appends a block of
padding, which is then the global last block.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, attend_blocks, blocks
from models.softmax import softmax_attention


class BigBirdAttention(MultiHeadAttention):
    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        seq_len: int,
        block: int,
        random_blocks: int,
        d_qkv: int | None = None,
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        if block < 1 or random_blocks < 0:
            raise ValueError(
                f"block={block}, random_blocks={random_blocks}: choose 1 and 0 or more"
            )
        self.block, self.random_blocks = block, random_blocks
        C = -(-(seq_len + 1) // block)  # one more position, for CLS
        self.register_buffer("draw", torch.rand(n_heads, C, C))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        B, H, N, _ = q.shape
        size = min(self.block, N)
        last = (mask.sum(1) - 1).clamp(min=0) // size  # (B,): the last block with a token
        everything = mask[:, None, None]
        q, k_blocks, v_blocks = (blocks(x, size, 2) for x in (q, k, v))  # (B, H, C, size, K)
        C = q.shape[2]

        index, seen = self.neighbours(C, last)  # (B, H, C, S)
        k_seen = select(k_blocks, index)  # (B, H, C, S size, K)
        v_seen = select(v_blocks, index)
        real = blocks(mask, size, 1)[:, None].expand(-1, H, -1, -1)[..., None]
        allowed = (select(real, index)[..., 0] & seen.repeat_interleave(size, -1))[:, :, :, None]
        o = attend_blocks(q, k_seen, v_seen, allowed)

        # The first and the last block see everything: a second attention computes their queries.
        at_last = last[:, None] == torch.arange(C, device=q.device)  # (B, C)
        last_q = (q * at_last[:, None, :, None, None].to(q.dtype)).sum(2)
        ends = torch.cat([q[:, :, 0], last_q], dim=2)
        first_o, last_o = softmax_attention(ends, k, v, everything).chunk(2, dim=2)
        o = torch.where(at_last[:, None, :, None, None], last_o[:, :, None], o)
        return torch.cat([first_o[:, :, None], o[:, :, 1:]], dim=2).flatten(2, 3)[:, :, :N]

    def neighbours(self, C: int, last: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the S blocks that each block sees, and whether each counts: (B, H, C, S) both.

        A block that appears twice counts once.
        """
        H = self.draw.shape[0]
        last = last[:, None, None, None]
        row = torch.arange(C, device=last.device)[:, None]  # (C, 1)
        column = row.T
        inner = (column > 0) & (column < last)  # neither global nor padding: (B, 1, 1, C)
        window = torch.cat([row - 1, row, row + 1], dim=1).expand(len(last), 1, C, 3)
        ends = torch.cat([torch.zeros_like(last), last], -1).expand(-1, -1, C, -1)
        index = torch.cat([ends, window], -1)
        seen = torch.cat(
            [
                torch.ones_like(ends[..., :1], dtype=torch.bool),
                ends[..., 1:] > 0,
                (window > 0) & (window < last),
            ],
            -1,
        )
        # A block that may not be drawn gets -1, which is below every random number.
        free = inner & ((column - row).abs() > 1)  # (B, 1, C, C)
        draw = self.draw[:, :C, :C].masked_fill(~free, -1.0)  # (B, H, C, C)
        score, drawn = draw.topk(min(self.random_blocks, C))
        index = torch.cat([index.expand(-1, H, -1, -1), drawn], -1)
        seen = torch.cat([seen.expand(-1, H, -1, -1), score >= 0], -1)
        return index.clamp(0, C - 1), seen


def select(x: Tensor, index: Tensor) -> Tensor:
    """Gathers blocks: x (B, H, C, size, K), index (B, H, C, S) -> (B, H, C, S size, K)."""
    B, H, C = x.shape[:3]
    start = torch.arange(B * H, device=x.device).view(B, H, 1, 1) * C
    rows = x.reshape(B * H * C, -1).index_select(0, (index + start).flatten())
    return rows.view(B, H, C, -1, x.shape[-1])
