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
        N, D = x.shape[1:]
        dtype = torch.promote_types(x.dtype, torch.float32)  # torch has no FFT in half on CPU
        x, result = x.to(dtype) * (mask[..., None].to(dtype) * (N * D) ** -0.5), x.dtype
        return RealFFT2.apply(x).to(result)


class RealFFT2(torch.autograd.Function):
    """Re(F_N x F_D) of real x (B, N, D). As a matrix on x it is symmetric, cos x cos - sin x sin,
    so that its gradient is itself: half the work of autograd's, which would go back complex."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        D = x.shape[-1]
        # x is real: columns above D / 2 mirror those below, with the rows backwards
        y = torch.fft.rfft2(x).real  # (B, N, D // 2 + 1)
        mirrored = y[..., 1 : (D + 1) // 2].flip(1, 2).roll(1, dims=1)
        return torch.cat([y, mirrored], dim=-1)

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        return RealFFT2.apply(g)
