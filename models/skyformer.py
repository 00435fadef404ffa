"""Skyformer: Remodel Self-Attention with Gaussian Kernel and Nystrom Method (Chen et al., arXiv
2111.00035).

The Nystrom method approximates kernelized attention, C v with C_ij = kappa(q_i, k_j) a Gaussian
kernel (models/kernelized.py). With `landmarks` = m rows w sampled from the queries and keys of an
example,
    o = kappa(q, w) M^-1 kappa(w, k) v,   M = kappa(w, w) + gamma I
The inverse comes from Nystromformer's iteration on D^(-1/2) M D^(-1/2), where D holds the row sums
of M. With every query and key a landmark and gamma = 0, this is kernelized attention itself.

Differences from the authors' code (pkuzengqi/Skyformer@cfe8c8c, src/models/
attention_skyformer.py):
- Landmarks are drawn without replacement, half of them from the queries, half from the keys; theirs
  draws with replacement. Training draws them again at each step, like theirs, but evaluation uses a
  draw that is saved with the weights, so that a prediction is always the same.
- Queries and keys are scaled by K^(-1/4), as the paper says; theirs by 32^(-1/4) whatever the width
  K of a head.
- The iteration starts from Z_0 = A^T / (|A|_1 |A|_inf) of its own matrix; theirs divides A^T by the
  largest column sum of the whole batch.
- Half precision is computed in float32, like theirs.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, at_least, in_float32
from models.kernelized import gaussian_kernel
from models.nystromformer import pseudo_inverse


class SkyformerAttention(MultiHeadAttention):
    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        seq_len: int,
        landmarks: int,
        gamma: float = 0.1,
        iterations: int = 6,
        d_qkv: int | None = None,
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        if landmarks < 2 or landmarks % 2:
            raise ValueError(f"landmarks={landmarks}: choose an even number")
        at_least(0, gamma=gamma)
        at_least(1, iterations=iterations)
        self.landmarks, self.gamma, self.iterations = landmarks, gamma, iterations
        # A number for each query and key position, and for CLS; the largest choose the landmarks.
        self.register_buffer("draw", torch.rand(2, seq_len + 1))

    @in_float32
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        draw = torch.rand_like(self.draw) if self.training else self.draw
        m = min(self.landmarks // 2, mask.shape[1])
        chosen, used = [], []
        for x, order in zip((q, k), draw[:, : mask.shape[1]], strict=True):
            score, index = order.masked_fill(~mask, -1.0).topk(m)  # (B, m)
            chosen.append(x.take_along_dim(index[:, None, :, None], dim=2))
            used.append(score >= 0)
        w, used = torch.cat(chosen, dim=2), torch.cat(used, dim=1)[:, None]  # (B, H, m, K), (B,1,m)
        pairs = used[..., None] & used[..., None, :]
        identity = torch.eye(w.shape[2], dtype=q.dtype, device=q.device)
        # With fewer tokens than landmarks, an unused landmark has a row of the identity.
        between = torch.where(pairs, gaussian_kernel(w, w), 0.0) + self.gamma * identity
        between = torch.where(used[..., None], between, identity)
        scale = between.sum(-1, keepdim=True).rsqrt()  # D^(-1/2): (B, H, m, 1)
        inverse = pseudo_inverse(scale * between * scale.transpose(-1, -2), self.iterations)
        inverse = scale * inverse * scale.transpose(-1, -2)
        from_tokens = gaussian_kernel(q, w) * used[:, :, None].to(q.dtype)
        context = gaussian_kernel(w, k) @ (v * mask[:, None, :, None].to(v.dtype))
        return from_tokens @ (inverse @ context)
