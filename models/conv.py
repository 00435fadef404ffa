"""A plain convolution: each channel sees `width` positions around its own and nothing else.

A baseline of locality: a task on which a window of 61 positions does well does not measure long
range (Miralles-Gonzalez et al., arXiv 2501.14850, where it reaches 92 % of Mega on Image). The
layer around the convolution is that of S4 (models/convolution.py: GatedConvolution). No code was
compared; the convolution is computed by Fourier transforms, as the long ones are, since torch's
convolution of one channel at a time is slower on CPU.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_least
from models.convolution import GatedConvolution


class Conv(GatedConvolution):
    def __init__(
        self,
        d_model: int,
        *,
        width: int,
        dropout: float | None = None,
        tied_dropout: bool = False,
    ):
        super().__init__()
        at_least(1, width=width)
        if width % 2 == 0:
            raise ValueError(f"width={width}: choose an odd number, half of it on each side")
        self.weight = nn.Parameter(torch.randn(d_model, width) * width**-0.5)
        self.finish(d_model, dropout, tied_dropout)

    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        half = self.weight.shape[1] // 2
        after, before = self.weight[:, half:], self.weight[:, :half].flip(1)
        before = F.pad(before, (1, 0))  # the position itself is counted once
        return tuple(F.pad(k, (0, max(0, length - half - 1)))[:, :length] for k in (after, before))
