"""Synthesizer: Rethinking Self-Attention in Transformer Models (Tay et al., arXiv 2005.00743).

Attention weights without products of tokens: o = softmax(S) v with synthetic scores S (N, N),
    dense       S_i = W_2 relu(W_1 x_i), from each token alone
    random      S = R, learned
    factorised  S = R_1 R_2^T, learned, of rank `rank`
The mechanism is dense: it has N^2 weights with any of these scores.

Dense and factorised scores are products of a query (relu(W_1 x), R_1) and a learned key (W_2, R_2)
for each position, so they run on the fused attention kernel and are never stored.

Differences from LRA's code by the same first author (google-research/long-range-arena@a2e5057,
lra_benchmarks/models/synthesizer/synthesizer_attention.py):
- Each head has its own W_2, which theirs shares, and W_1, values and outputs have biases. Theirs
  reshapes the heads' scores without transposing them, so that a query has those of another token.
- Scores are the synthetic ones alone; its default adds them to those of dot products.
- Attention weights are not dropped, and weights start as this trunk's do.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import merge_heads, must_divide, split_heads
from models.softmax import softmax_attention


class SynthesizerMixer(nn.Module):
    padding_seen = "none"

    def __init__(
        self, d_model: int, *, n_heads: int, seq_len: int, scores: str, rank: int | None = None
    ):
        super().__init__()
        must_divide(d_model, n_heads)
        self.n_heads, self.scores = n_heads, scores
        N, K = seq_len + 1, d_model // n_heads  # one more position, for CLS
        self.value, self.out = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        if scores == "dense":
            self.hidden = nn.Linear(d_model, d_model)
            self.keys = nn.Parameter(torch.randn(n_heads, N, K) * K**-0.5)
        elif scores == "random":
            self.random = nn.Parameter(torch.randn(n_heads, N, N))
        elif scores == "factorised":
            if rank is None or rank < 1:
                raise ValueError(f"rank={rank}: choose the rank of the factorised scores")
            self.queries = nn.Parameter(torch.randn(n_heads, N, rank) * rank**-0.25)
            self.keys = nn.Parameter(torch.randn(n_heads, N, rank) * rank**-0.25)
        else:
            raise ValueError(f"scores={scores}: choose dense, random or factorised")

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        B, N = mask.shape
        v = split_heads(self.value(x), self.n_heads)
        # Queries and keys of zeros leave only the mask, which carries the random scores.
        if self.scores == "random":
            o = F.scaled_dot_product_attention(
                v.new_zeros(v.shape),
                v.new_zeros(v.shape),
                v,
                attn_mask=self.random[:, :N, :N].masked_fill(~mask[:, None, None], -torch.inf),
            )
        else:
            if self.scores == "dense":
                q = split_heads(self.hidden(x).relu(), self.n_heads)
            else:
                q = self.queries[:, :N].expand(B, -1, -1, -1)
            o = softmax_attention(q, self.keys[:, :N].expand(B, -1, -1, -1), v, mask, scale=1.0)
        return self.out(merge_heads(o))
