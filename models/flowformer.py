"""Flowformer: Linearizing Transformers with Conservation Flows (Wu et al., arXiv 2202.06258).

With phi(x) = sigmoid(x) for q and k, and all sums over the real tokens:
    I_i = q_i sum_j k_j,               O_j = k_j sum_i q_i       the flows into i and out of j
    I'_i = q_i sum_j k_j / O_j,        O'_j = clamp(k_j sum_i q_i / I_i, -1, 1)
    o_i = sigmoid(I'_i) q_i / I_i sum_j k_j^T (n softmax_j(O'_j) v_j)
Values compete for the flow out of their positions, so that no exponential of q k^T is needed.

Difference from the authors' code (thuml/Flowformer@5414858, Flow_Attention.py): padding takes no
part, where theirs has no mask.
"""

import torch
from torch import Tensor

from models.attention import MultiHeadAttention, in_float32

EPS = 1e-6  # added to both factors of a flow, as in the authors' code


class FlowAttention(MultiHeadAttention):
    @in_float32
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        real = mask[:, None, :, None].to(q.dtype)
        q, k = q.sigmoid() * real, k.sigmoid() * real
        into, out = flow(q, k), flow(k, q)  # (B, H, N, 1)
        kept_into = flow(q, k / out)
        kept_out = flow(k, q / into).clamp(-1, 1)
        weight = kept_out.masked_fill(real == 0, -torch.inf).softmax(2) * real.sum(2, keepdim=True)
        o = (q / into) @ (k.transpose(-1, -2) @ (weight * v))
        return o * kept_into.sigmoid()


def flow(to: Tensor, of: Tensor) -> Tensor:
    """Returns to_i sum_j of_j, (B, H, N, K) twice -> (B, H, N, 1)."""
    return (to + EPS) @ (of.sum(2) + EPS)[..., None]
