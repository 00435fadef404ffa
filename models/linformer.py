"""Linformer: Self-Attention with Linear Complexity (Wang et al., arXiv 2006.04768).

Keys and values are projected along the sequence, from N to `features` = k positions:
    o = softmax(Q (E K)^T / sqrt(K)) F V,   E, F (k, N) learned
With k = N and E = F = identity it is softmax attention.

share: key_value has E = F, one projection for all heads of a layer; heads has E and F, shared by
the heads; none has both for each head. Differences from the paper's code: padding is zeroed in
front of the projection (their E K mixes it in, and no mask can take it out again); a shorter
sequence uses the first columns of E. k is cut to seq_len where that is smaller.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import MultiHeadAttention, at_least


class LinformerAttention(MultiHeadAttention):
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
        # N(0, 1 / features), as in the paper's Theorem 2; one column more, for CLS
        self.projection = nn.Parameter(torch.randn(*shapes[share], features, seq_len + 1))
        self.projection.data *= features**-0.5

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        N = q.shape[2]
        e, f = self.projection[0, :, :, :N], self.projection[-1, :, :, :N]  # (1 or H, features, N)
        real = mask[:, None, :, None].to(k.dtype)
        return F.scaled_dot_product_attention(q, shorten(k * real, e), shorten(v * real, f))


def shorten(x: Tensor, projection: Tensor) -> Tensor:
    """x (B, H, N, K), projection (1 or H, M, N) -> (B, H, M, K)."""
    if projection.shape[0] == 1:  # one large product instead of one for each head
        return F.linear(x.transpose(-1, -2), projection[0]).transpose(-1, -2)
    return projection @ x
