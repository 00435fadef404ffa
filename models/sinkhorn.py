"""Sparse Sinkhorn Attention (Tay et al., arXiv 2002.11296).

The sequence is cut into C blocks. A sorting network gives each block, from the mean of its tokens,
scores for all blocks. Sinkhorn's iteration makes their matrix S (C, C) nearly doubly stochastic, a
soft permutation. A query attends to its own block and to the block that S brings there:
    S = sinkhorn((W_2 relu(W_1 mean(X_block)) + Gumbel noise) / temperature)
    o_i = softmax(q_i [k_block, (S k)_block]^T / sqrt(K)) [v_block, (S v)_block]
One block is softmax attention (over every key twice).

This follows the paper, but for means instead of sums of tokens (a factor that W_1 learns), no noise
in evaluation, and blocks without tokens, which take no part in the sorting.

LRA's code by the same first author (google-research/long-range-arena@a2e5057, lra_benchmarks/
models/sinkhorn_transformer/sinkhorn_attention.py) is another mechanism: a block is every C-th
position; one linear layer scores the sum of its keys; a softmax takes the place of Sinkhorn's
iterations (where they are chosen there is one), with temperature 1 and no noise; the outputs of two
softmaxes, over the own block and over the block brought, are added, where the paper has one over
both.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from models.attention import Projections, at_least, attend_blocks, blocks, merge_heads


class SinkhornAttention(Projections):
    """A mixer with its own `forward`, because the permutation comes from x."""

    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        seq_len: int,
        block: int,
        iterations: int = 8,
        temperature: float = 0.75,
        d_qkv: int | None = None,
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        at_least(1, block=block, iterations=iterations)
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: choose a number above 0")
        self.block, self.iterations, self.temperature = block, iterations, temperature
        C = -(-(seq_len + 1) // block)  # one more position, for CLS
        self.sort = nn.Sequential(
            nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, n_heads * C)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.heads(self.qkv(x))
        o = self.attend(q, k, v, mask, self.permutation(x, mask))
        return self.out(merge_heads(o))

    def permutation(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns S (B, H, C, C) for x (B, N, D), 0 where a block has no token."""
        size = min(self.block, x.shape[1])
        real = blocks(mask, size, 1)[..., None].to(x.dtype)  # (B, C, size, 1)
        means = (blocks(x, size, 1) * real).sum(2) / real.sum(2).clamp(min=1)  # (B, C, D)
        C = means.shape[1]
        scores = rearrange(self.sort(means), "b c (h m) -> b h c m", h=self.n_heads)[..., :C]
        if self.training:
            scores = scores - torch.empty_like(scores).exponential_().log()  # Gumbel noise
        used = real[:, None, :, 0, 0] > 0  # (B, 1, C): a block's first token
        return sinkhorn(scores / self.temperature, used, self.iterations).to(x.dtype)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, S: Tensor) -> Tensor:
        N = q.shape[2]
        size = min(self.block, N)
        real = blocks(mask, size, 1)[:, None]  # (B, 1, C, size)
        # S mixes blocks, so padding is zeroed before it could reach a sorted key or value.
        zeros = mask[:, None, :, None].to(k.dtype)
        q, k, v = blocks(q, size, 2), blocks(k * zeros, size, 2), blocks(v * zeros, size, 2)
        k, v = (with_sorted(x, S) for x in (k, v))
        # A sorted key is real if any real key went into it.
        brought = S.detach() @ real.to(S.dtype) > 0
        allowed = torch.cat([real.expand_as(brought), brought], dim=-1)[:, :, :, None]
        return attend_blocks(q, k, v, allowed).flatten(2, 3)[:, :, :N]


def with_sorted(x: Tensor, S: Tensor) -> Tensor:
    """Joins to each block the block that S brings there: x (B, H, C, size, K), S (B, H, C, C) ->
    (B, H, C, 2 size, K). In memory the heads are inside the length, as attention wants them."""
    brought = (S @ x.flatten(3)).view_as(x)
    return torch.cat([x.movedim(1, 3), brought.movedim(1, 3)], dim=2).movedim(3, 1)


def sinkhorn(scores: Tensor, used: Tensor, iterations: int) -> Tensor:
    """Returns exp(scores) (B, H, C, C) with rows, then columns, made to sum to 1, `iterations`
    times. Only the rows and columns in `used` (B, 1, C) take part; all other entries are 0."""
    pairs = used[..., :, None] & used[..., None, :]
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    for _ in range(iterations):
        for dim in (-1, -2):
            scores = scores.masked_fill(~pairs, -1e9).log_softmax(dim)
    return scores.exp() * pairs
