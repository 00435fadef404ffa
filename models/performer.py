"""Rethinking Attention with Performers (Choromanski et al., arXiv 2009.14794): FAVOR+.

exp(q . k) = E_w[exp(w . q - |q|^2 / 2) exp(w . k - |k|^2 / 2)], w ~ N(0, I), so that attention
becomes linear with `features` = M positive random features:
    phi(x)_m = M^(-1/2) (exp(w_m . x - |x|^2 / 2 - c) + eps),   x = q or k over K^(1/4)
where the w_m are orthogonal in groups of K and c is a maximum that keeps exp in range: for a query
over its own features, for keys over the features of all real keys of its head. Both cancel but for
eps. The more features, the closer to softmax attention.

Differences from the authors' code: the features are drawn once, at the start, and saved with the
weights (they redraw them while training); masked keys leave the denominator too.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention
from models.linear_transformer import linear_attention


def orthogonal_features(M: int, K: int) -> Tensor:
    """(M, K): rows of length like a Gaussian vector's, orthogonal to those of the same group."""
    q, r = torch.linalg.qr(torch.randn(-(-M // K), K, K))
    # uniform over rotations only with R's diagonal positive (Mezzadri 2007): as LAPACK leaves it,
    # directions are biased
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    return q.transpose(1, 2).flatten(0, 1)[:M] * torch.randn(M, K).norm(dim=1, keepdim=True)


class PerformerAttention(MultiHeadAttention):
    def __init__(self, d_model: int, *, n_heads: int, features: int, d_qkv: int | None = None):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        self.register_buffer(
            "features", orthogonal_features(features, self.qkv.out_features // 3 // n_heads)
        )

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        real = mask[:, None, :, None]
        phi_q = self.exponents(q)
        phi_q = self.phi(phi_q, phi_q.amax(dim=-1, keepdim=True))
        phi_k = self.exponents(k).masked_fill(~real, -torch.inf)
        phi_k = self.phi(phi_k, phi_k.amax(dim=(-2, -1), keepdim=True)) * real.to(k.dtype)
        return linear_attention(phi_q, phi_k, v)

    def exponents(self, x: Tensor) -> Tensor:
        """(B, H, N, K) -> (B, H, N, M)."""
        x = x * x.shape[-1] ** -0.25
        return x @ self.features.T.to(x.dtype) - x.square().sum(-1, keepdim=True) / 2

    def phi(self, exponents: Tensor, largest: Tensor, eps: float = 1e-4) -> Tensor:
        features = (exponents - largest.detach()).exp() + eps
        return features * self.features.shape[0] ** -0.5
