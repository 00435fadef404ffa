"""Rethinking Attention with Performers (Choromanski et al., arXiv 2009.14794): FAVOR+.

exp(q . k) = E_w[exp(w . q - |q|^2 / 2) exp(w . k - |k|^2 / 2)], w ~ N(0, I), so that attention
becomes linear with `features` = M positive random features:
    phi(x)_m = exp(w_m . x - |x|^2 / 2 - c) + eps,   x = q or k over K^(1/4)
where the w_m are orthogonal in groups of K and c keeps exp in range: the largest exponent, for a
query of its own features, for keys of the features of all real keys of its head. Both cancel but
for eps. The more features, the closer to softmax attention.

Differences from the authors' code: the features are drawn once, at the start, and saved with the
weights (they redraw them while training); masked keys leave the denominator too; their c is the
largest w . x alone, which gives eps exp(|x|^2 / 2) times the weight.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, at_least
from models.linear_transformer import linear_attention


def orthogonal_features(M: int, K: int) -> Tensor:
    """(M, K): rows of length like a Gaussian vector's, orthogonal to those of the same group."""
    q, r = torch.linalg.qr(torch.randn(-(-M // K), K, K))
    # uniform over rotations only with R's diagonal positive (Mezzadri 2007): as LAPACK leaves it,
    # directions are biased
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    return q.transpose(1, 2).flatten(0, 1)[:M] * torch.randn(M, K).norm(dim=1, keepdim=True)


class PerformerAttention(MultiHeadAttention):
    eps = 1e-4

    def __init__(self, d_model: int, *, n_heads: int, features: int, d_qkv: int | None = None):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        at_least(1, features=features)
        self.register_buffer(
            "features", orthogonal_features(features, self.qkv.out_features // 3 // n_heads)
        )

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        w = self.features.T.to(q.dtype) * q.shape[-1] ** -0.25
        # a query's own |q|^2 / 2 stands in its c too, and cancels
        q, k, half_norms = q @ w, k @ w, k.square().sum(-1, keepdim=True) / (2 * k.shape[-1] ** 0.5)
        phi_q = (q - q.detach().amax(dim=-1, keepdim=True)).exp()
        real = mask[:, None, :, None]
        row = (k.detach().amax(dim=-1, keepdim=True) - half_norms.detach()).masked_fill(
            ~real, -torch.inf
        )
        shift = half_norms + row.amax(dim=-2, keepdim=True)
        phi_k = (k - shift.masked_fill(~real, torch.inf)).exp()  # 0 at padding
        return linear_attention(phi_q, phi_k, v, mask, add=self.eps)
