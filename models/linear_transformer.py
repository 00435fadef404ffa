"""Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention (Katharopoulos et
al., arXiv 2006.16236).

    o_i = phi(q_i)^T sum_j phi(k_j) v_j^T / phi(q_i)^T sum_j phi(k_j),   phi(x) = elu(x) + 1

Nothing is approximated: it is attention with another similarity than exp(q . k). No differences
from the authors' code but the mask.
"""

import torch.nn.functional as F
from torch import Tensor

from models.attention import MultiHeadAttention


class LinearAttention(MultiHeadAttention):
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        phi_k = (F.elu(k) + 1) * mask[:, None, :, None].to(k.dtype)
        return linear_attention(F.elu(q) + 1, phi_k, v)


def linear_attention(phi_q: Tensor, phi_k: Tensor, v: Tensor, eps: float = 1e-6) -> Tensor:
    """phi_q, phi_k (B, H, N, M) not negative, 0 at masked keys, v (B, H, N, K) -> (B, H, N, K)."""
    context = phi_k.transpose(-1, -2) @ v  # (B, H, M, K)
    total = phi_q @ phi_k.sum(dim=-2)[..., None]  # (B, H, N, 1)
    return phi_q @ context / total.clamp(min=eps)
