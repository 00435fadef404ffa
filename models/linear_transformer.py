"""Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention (Katharopoulos et
al., arXiv 2006.16236).

    o_i = phi(q_i)^T sum_j phi(k_j) v_j^T / phi(q_i)^T sum_j phi(k_j),   phi(x) = elu(x) + 1

Nothing is approximated: another similarity replaces exp(q . k).

Difference from the authors' code (idiap/fast-transformers@2aa1368, fast_transformers/attention/
linear_attention.py): the denominator is at least 1e-6, where theirs adds 1e-6 to it.
"""

import torch.nn.functional as F
from torch import Tensor

from models.attention import MultiHeadAttention


class LinearAttention(MultiHeadAttention):
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return linear_attention(F.elu(q) + 1, F.elu(k) + 1, v, mask)


def linear_attention(
    phi_q: Tensor, phi_k: Tensor, v: Tensor, mask: Tensor, *, add: float = 0.0, eps: float = 1e-6
) -> Tensor:
    """Attends with phi_q . phi_k as weights, -> (B, H, N, K).

    phi_q, phi_k (B, H, N, M) are not negative, v is (B, H, N, K) and mask is (B, N). `add` is a
    number that belongs to every feature; adding it to sums of features is cheaper. `eps` is the
    least sum of a row of weights.
    """
    # a column of ones beside v makes the denominator part of the same products
    v = F.pad(v, (0, 1), value=1.0) * mask[:, None, :, None].to(v.dtype)
    context = phi_k.transpose(-1, -2) @ v  # (B, H, M, K + 1)
    if add:
        context = context + add * v.sum(-2, keepdim=True)
    o = phi_q @ context
    if add:
        o = o + add * context.sum(-2, keepdim=True)
    return o[..., :-1] / o[..., -1:].clamp(min=eps)
