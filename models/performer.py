"""Rethinking Attention with Performers (Choromanski et al., arXiv 2009.14794): FAVOR+.

exp(q . k) = E_w[exp(w . q - |q|^2 / 2) exp(w . k - |k|^2 / 2)], w ~ N(0, I), so that attention
becomes linear with `features` = M positive random features:
    phi(x)_m = exp(w_m . x - |x|^2 / 2 - c) + eps,   x = q or k over K^(1/4)
The w_m are orthogonal in groups of K, and c keeps exp in range. For a query, c is the largest
exponent of its own features; for keys, the largest exponent over all real keys of the head. Both
cancel but for eps. The more features, the closer FAVOR+ comes to softmax attention.

Differences from the authors' code (google-research/google-research@0c1bbe5, performer/
fast_attention/jax/fast_attention.py):
- The features are drawn once, at the start, and saved with the weights; theirs draws them at every
  call, in evaluation too.
- Padding is masked, in numerator and denominator; theirs ignores the mask.
- Their c is the largest w . x alone, which gives eps exp(|x|^2 / 2) times the weight.
- eps is 1e-4, where theirs is 1e-6.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, at_least
from models.linear_transformer import linear_attention


def orthogonal_features(M: int, K: int) -> Tensor:
    """Draws (M, K): rows as long as Gaussian vectors, orthogonal within each group of K rows."""
    q, r = torch.linalg.qr(torch.randn(-(-M // K), K, K))
    # Q is uniform over rotations only if R's diagonal is positive (Mezzadri 2007). With the signs
    # that LAPACK leaves, the directions are biased.
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
        # A query's |q|^2 / 2 is in its own c too, and cancels.
        q, k, half_norms = q @ w, k @ w, k.square().sum(-1, keepdim=True) / (2 * k.shape[-1] ** 0.5)
        phi_q = (q - q.detach().amax(dim=-1, keepdim=True)).exp()
        real = mask[:, None, :, None]
        # The shift of a key: its own |k|^2 / 2, and the largest exponent of all real keys.
        row = (k.detach().amax(dim=-1, keepdim=True) - half_norms.detach()).masked_fill(
            ~real, -torch.inf
        )
        shift = half_norms + row.amax(dim=-2, keepdim=True)
        phi_k = (k - shift.masked_fill(~real, torch.inf)).exp()  # 0 at padding
        return linear_attention(phi_q, phi_k, v, mask, add=self.eps)
