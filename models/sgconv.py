"""SGConv: What Makes Convolutional Models Great on Long Sequence Modeling? (Li et al., arXiv
2210.09298), bidirectional.

A kernel of each channel and direction is put together from parts w_0, w_1, ... of kernel_dim values
each, the part i stretched to 2^max(0, i - 1) times its length and weighed by decay^-i, so that near
positions have more parameters and larger weights. The whole is divided by its own norm at the
start. The layer around it is that of S4 (models/convolution.py: GatedConvolution).

Differences from the authors' code (ctlllll/SGConv@03de26b, gconv_standalone.py): the weights are
decay^-i, where theirs are decay^(parts - 1 - i): the norm takes the common factor out; a kernel is
stretched from all of its values at any length, where theirs leaves out the last ones of a shorter
sequence, whose neighbours they touch; of its modes only parts in a row are here, drawn from a
normal distribution (cat_randn), and without kernel_lr they learn as all other parameters; padding
is zeroed; the mixer is part of this trunk's block.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_least
from models.convolution import GatedConvolution, both_ways
from models.learning import learns


class SGConv(GatedConvolution):
    scale: Tensor

    def __init__(
        self,
        d_model: int,
        *,
        seq_len: int,
        kernel_dim: int,
        decay: float = 2.0,
        kernel_lr: float | None = None,
        dropout: float | None = None,
        tied_dropout: bool = False,
    ):
        super().__init__()
        at_least(1, kernel_dim=kernel_dim, decay=decay)
        self.decay = decay
        count = 1 + max(0, math.ceil(math.log2((seq_len + 1) / kernel_dim)))
        parts = torch.randn(count, 2, d_model, kernel_dim)  # directions second
        self.parts = learns(nn.Parameter(parts), lr=kernel_lr)
        self.register_buffer("scale", torch.ones(2, d_model, 1))
        with torch.no_grad():
            self.scale.copy_(self.whole().norm(dim=-1, keepdim=True).reciprocal())
        self.finish(d_model, dropout, tied_dropout)

    def whole(self) -> Tensor:
        """Returns the kernels of both directions, (2, D, kernel_dim 2^(parts - 1))."""
        stretched = [
            F.interpolate(part, scale_factor=2.0 ** max(0, i - 1), mode="linear") / self.decay**i
            for i, part in enumerate(self.parts)
        ]
        return torch.cat(stretched, dim=-1) * self.scale

    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        return both_ways(self.whole(), length)
