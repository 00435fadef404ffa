"""Informer: Beyond Efficient Transformer for Long Sequence Time-Series Forecasting (Zhou et al.,
arXiv 2012.07436): ProbSparse attention.

Few queries have attention far from uniform. Algorithm 1 samples U keys and measures each query with
    M(q) = max_j q . k_j / sqrt(K) - mean_j q . k_j / sqrt(K),   j in the sample
The u queries with the largest M get softmax attention; all others get the mean of all values.
u >= N is softmax attention.

Here u = U = `features`, the budget of all approximations under `matched`; the paper has c ln N.
Differences from the authors' code (zhouhaoyi/Informer2020@0de4923, models/attn.py):
- M(q) subtracts the mean over the sample, as the paper says. Theirs divides the sum over the sample
  by the number of all keys, so that nearly the maximum alone decides: of Gaussian queries and keys
  at N = 1,024, 11 of 16 or 54 of 64 selected queries are the same. It also leaves sqrt(K) out,
  which changes no order.
- All queries share one sample of keys, as Algorithm 1 says; theirs draws a sample for each query.
- Padding is neither sampled, selected nor averaged.
- The sample is drawn again at each training step; evaluation uses a sample that is saved with the
  weights.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, at_least
from models.softmax import softmax_attention


class ProbSparseAttention(MultiHeadAttention):
    def __init__(self, d_model: int, *, n_heads: int, features: int, d_qkv: int | None = None):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        at_least(2, features=features)  # with one key, M(q) = 0 for every query
        self.register_buffer("draw", torch.rand(features))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        real = mask[:, None, :, None]
        n = mask.sum(1, keepdim=True)
        draw = torch.rand_like(self.draw) if self.training else self.draw
        index = (draw * n).long()  # (B, U): uniform over the real tokens
        with torch.no_grad():  # the selection has no gradient
            sample = k.take_along_dim(index[:, None, :, None], dim=2)  # (B, H, U, K)
            scores = q @ sample.transpose(-1, -2)
            measure = scores.amax(-1) - scores.mean(-1)
            measure = measure.masked_fill(~mask[:, None], -torch.inf)  # (B, H, N)
            top = measure.topk(min(len(draw), q.shape[2])).indices[..., None]  # (B, H, u, 1)
        selected = softmax_attention(q.take_along_dim(top, dim=2), k, v, mask)
        mean = (v * real.to(v.dtype)).sum(2, keepdim=True) / n[:, None, None].clamp(min=1)
        return mean.expand_as(v).scatter(2, top.expand_as(selected), selected)
