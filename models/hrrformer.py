"""Hrrformer: Recasting Self-Attention with Holographic Reduced Representations (Alam et al., arXiv
2305.19534).

With circular convolution * over the channels of a head, and q~ its approximate inverse
(q~_c = q_-c):
    beta = sum_j k_j * v_j,   v^_i = q~_i * beta,   w = softmax_i(cos(v_i, v^_i)),   o_i = w_i v_i
All pairs of a head are one vector beta; each token asks whether its own value is found there.

Differences from the authors' code (FutureComputing4AI/Hrrformer@bff6db3, listops/
hrrformer_mgpu.py): padding is left out of beta, where theirs leaves it out of the softmax alone;
the projections have biases; a norm comes before attention, as in all blocks of this trunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import MultiHeadAttention, in_float32
from models.parts import zero_padding


class HolographicAttention(MultiHeadAttention):
    @in_float32
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        K = q.shape[-1]
        k = zero_padding(k.transpose(1, 2), mask).transpose(1, 2)
        spectra = torch.fft.rfft(torch.stack([q, k, v]))
        bound = (spectra[1] * spectra[2]).sum(2, keepdim=True)  # (B, H, 1, K // 2 + 1)
        found = torch.fft.irfft(spectra[0].conj() * bound, n=K)
        scores = F.cosine_similarity(v, found, dim=-1)  # (B, H, N)
        weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1)
        return weights[..., None] * v
