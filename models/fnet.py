"""FNet: Mixing Tokens with Fourier Transforms (Lee-Thorp et al., arXiv 2105.03824).

    y = Re(F_N x F_D), the discrete Fourier transforms along the sequence and along the width

It has no parameters, and no mask: a token sees the padded length. Differences from the authors'
code: padded positions are zeroed first, so that what stands in them is not mixed in; both
transforms are orthonormal, because this trunk normalises in front of the mixer (theirs after it)
and unscaled outputs, sqrt(N D) times as large, would drown the residual.
"""

import torch
from torch import Tensor, nn


class FourierMixing(nn.Module):
    def __init__(self, d_model: int):
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x * mask[..., None].to(x.dtype)
        half = x.dtype in (torch.float16, torch.bfloat16)  # torch has no FFT for these on CPU
        y = torch.fft.fft2(x.float() if half else x, norm="ortho").real
        return y.to(x.dtype)
