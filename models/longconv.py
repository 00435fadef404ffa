"""LongConv: Simple Hardware-Efficient Long Convolutions for Sequence Modeling (Fu et al., arXiv
2302.06646), bidirectional.

The kernels are the parameters, as long as the sequence, and are squashed at every step:
    K = sign(k) max(|k| - squash, 0)
so that most of their values are zero; some of the others are dropped in training. The layer around
them is that of S4 (models/convolution.py: GatedConvolution). Parameters grow with the length.

Differences from the authors' code (HazyResearch/safari@bf27ebe, src/models/sequence/long_conv.py):
kernels decay as all other parameters, and without kernel_lr learn as these; padding is zeroed; the
mixer is part of this trunk's block (model.mlp=false leaves out the MLP that theirs has not).
"""

import torch
from torch import Tensor, nn

from models.attention import at_least
from models.convolution import GatedConvolution, both_ways
from models.dropout import Dropout
from models.learning import learns


class LongConv(GatedConvolution):
    def __init__(
        self,
        d_model: int,
        *,
        seq_len: int,
        squash: float,
        kernel_dropout: float = 0.0,
        kernel_std: float = 0.002,
        kernel_lr: float | None = None,
        dropout: float | None = None,
        tied_dropout: bool = False,
    ):
        super().__init__()
        at_least(0, squash=squash, kernel_std=kernel_std)
        self.squash = squash
        kernel = torch.randn(2, d_model, seq_len + 1) * kernel_std  # directions first
        self.kernel = learns(nn.Parameter(kernel), lr=kernel_lr)
        self.kernel_dropout = Dropout(kernel_dropout)
        self.finish(d_model, dropout, tied_dropout)

    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        kernel = self.kernel.sign() * (self.kernel.abs() - self.squash).relu()
        return both_ways(self.kernel_dropout(kernel), length)
