"""cosFormer: Rethinking Softmax in Attention (Qin et al., arXiv 2202.08791).

    s_ij = relu(q_i) . relu(k_j) cos(pi / 2 (i - j) / n),   o_i = sum_j s_ij v_j / sum_j s_ij
which is linear in the length n, since cos(a - b) = cos a cos b + sin a sin b.

Differences from the authors' code (OpenNLPLab/cosFormer@17e3d7c, cosformer.py): padding is masked,
where theirs attends to it; n is the number of real tokens of the example, not the padded length,
with which the weights would depend on how much padding follows.
"""

import math

import torch
from torch import Tensor

from models.attention import MultiHeadAttention
from models.linear_transformer import linear_attention


class CosformerAttention(MultiHeadAttention):
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        dtype = torch.promote_types(q.dtype, torch.float32)
        position = torch.arange(1, q.shape[2] + 1, device=q.device, dtype=dtype)
        angle = math.pi / 2 * position / mask.sum(1, keepdim=True).clamp(min=1)  # (B, N)
        cos, sin = (x[:, None, :, None].to(q.dtype) for x in (angle.cos(), angle.sin()))
        q, k = (torch.cat([x.relu() * cos, x.relu() * sin], dim=-1) for x in (q, k))
        return linear_attention(q, k, v, mask)
