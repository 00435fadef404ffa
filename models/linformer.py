"""Linformer: Self-Attention with Linear Complexity (Wang et al., arXiv 2006.04768).

Keys and values are projected along the sequence, from N to `features` = k positions:
    o = softmax(Q (E K)^T / sqrt(K)) F V,   E, F (k, N) learned
With k = N and E = F = identity, Linformer is softmax attention.

`share` chooses the projections of a layer: key_value has E = F for all heads; heads has E and F,
both shared by all heads; none has its own E and F for each head. A shorter sequence uses the first
columns of E.

Differences from the authors' code (facebookresearch/fairseq@00bc279, examples/linformer/
linformer_src/modules/multihead_linear_attention.py):
- Padding is zeroed before the projection; their E K mixes padding in, and no mask can remove it.
- The projection along the sequence comes after that along the width, as the formula has it; theirs
  comes before, so that the bias of K and V is not projected.
- E starts as N(0, 1/k) instead of Xavier-uniform. Theirs can share E between layers, and has no
  `none`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import Projections, at_least, merge_heads, split_heads
from models.softmax import softmax_attention


class LinformerAttention(Projections):
    """A mixer with its own `forward`, because a projection that the heads share is cheaper before
    W: E (x W + b) = (E x) W + (E 1) b applies W to `features` positions instead of N."""

    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        seq_len: int,
        features: int,
        share: str = "key_value",
        d_qkv: int | None = None,
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        shapes = {"key_value": (1, 1), "heads": (2, 1), "none": (2, n_heads)}
        if share not in shapes:
            raise ValueError(f"share={share}: choose key_value, heads or none")
        at_least(1, features=features)
        features = min(features, seq_len)
        # N(0, 1 / features), as in the paper's Theorem 2; one more column, for CLS
        self.projection = nn.Parameter(torch.randn(*shapes[share], features, seq_len + 1))
        self.projection.data *= features**-0.5

    rotary = None  # keys are summed over positions before they are made

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        q = split_heads(F.linear(x, weights[0], biases[0]), self.n_heads)
        k, v = self.keys_and_values(x, mask, weights[1:], biases[1:])
        return self.out(merge_heads(softmax_attention(q, k, v)))

    def keys_and_values(self, x: Tensor, mask: Tensor, weights, biases) -> list[Tensor]:
        """Returns E K and F V, each (B, H, features, K)."""
        real = mask[..., None].to(x.dtype)
        projections = self.projection[..., : x.shape[1]]  # (1 or 2, 1 or H, features, N)
        # A projection of its own for each head cannot come before the split into heads.
        if projections.shape[1] > 1:
            return [
                projection @ split_heads(F.linear(x, weight, bias) * real, self.n_heads)
                for projection, weight, bias in zip(projections, weights, biases, strict=True)
            ]
        columns = torch.cat([x * real, real], dim=-1).transpose(1, 2)  # x and 1: (B, D + 1, N)
        short = [F.linear(columns, projection[0]).transpose(1, 2) for projection in projections]
        short = [short[0], short[-1]]
        return [
            split_heads(F.linear(s[..., :-1], weight) + s[..., -1:] * bias, self.n_heads)
            for s, weight, bias in zip(short, weights, biases, strict=True)
        ]
