"""FNet: Mixing Tokens with Fourier Transforms (Lee-Thorp et al., arXiv 2105.03824).

    y = Re(F_N x F_D), the discrete Fourier transforms along the sequence and along the width

FNet has no parameters and no mask: a token sees the padded length.

Differences from the authors' code (google-research/google-research@1d4d2f1, f_net/layers.py):
padded positions are zeroed first, so that their content is not mixed in; both transforms are
orthonormal, because this trunk normalises before the mixer (theirs normalises after it) and
unscaled outputs, sqrt(N D) times as large, would drown the residual.
"""

import torch
from torch import Tensor, nn


class FourierMixing(nn.Module):
    padding_seen = "amount"

    def __init__(self, d_model: int):
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        N, D = x.shape[1:]
        dtype = torch.promote_types(x.dtype, torch.float32)  # on CPU torch has no FFT in half
        x, result = x.to(dtype) * (mask[..., None].to(dtype) * (N * D) ** -0.5), x.dtype
        return RealFFT2.apply(x).to(result)


class RealFFT2(torch.autograd.Function):
    """The map Re(F_N x F_D) of a real x (B, N, D). Its matrix is symmetric, cos x cos - sin x sin,
    so the map is its own gradient. Autograd would go back through complex numbers, with twice the
    work."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        D = x.shape[-1]
        # x is real: the columns above D / 2 mirror the columns below, with the rows reversed
        y = torch.fft.rfft2(x).real  # (B, N, D // 2 + 1)
        mirrored = y[..., 1 : (D + 1) // 2].flip(1, 2).roll(1, dims=1)
        return torch.cat([y, mirrored], dim=-1)

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        return RealFFT2.apply(g)
