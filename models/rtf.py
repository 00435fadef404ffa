"""RTF: State-Free Inference of State-Space Models: the Transfer Function Approach (Parnichkun et
al., arXiv 2405.06147), bidirectional.

A channel's kernel is that of a rational transfer function of order d_state,
    H(z) = h_0 + (b_1 z^-1 + .. + b_S z^-S) / (1 + a_1 z^-1 + .. + a_S z^-S),
evaluated at the L roots of unity, so that it costs two Fourier transforms and no complex parameter.
It is a kernel of length L that wraps around; b takes that up. The layer around it is that of S4
(models/convolution.py: GatedConvolution). At the start a = b = 0. Channels share `denominators`
sets of a.

Differences from the authors' code (ruke1ire/RTF@03bcc88, rtf.py): the layer around the kernel adds
d x, as S4's does and theirs does not; an odd L is not made even;
without kernel_lr a, b and h_0 learn and decay as all other parameters; padding is zeroed; the mixer
is part of this trunk's block (model.mlp=false leaves out the MLP that theirs has not).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_least
from models.convolution import GatedConvolution, both_ways
from models.learning import learns


class RTF(GatedConvolution):
    def __init__(
        self,
        d_model: int,
        *,
        seq_len: int,
        d_state: int,
        denominators: int = 1,
        montel: bool = False,
        kernel_lr: float | None = None,
        dropout: float | None = None,
        tied_dropout: bool = False,
    ):
        """montel: divides a by sum(|a|) + |s|, s learned, which keeps the poles inside the unit
        circle."""
        super().__init__()
        at_least(1, d_state=d_state, denominators=denominators)
        if d_model % denominators:
            raise ValueError(f"denominators={denominators}: choose a divisor of {d_model}")
        self.length = max(seq_len, d_state) + 1  # one more position, for CLS
        slow = {} if kernel_lr is None else {"lr": kernel_lr, "weight_decay": 0.0}
        self.a = learns(nn.Parameter(torch.zeros(2, denominators, d_state)), **slow)
        self.b = learns(nn.Parameter(torch.zeros(2, d_model, d_state)), **slow)
        self.h = learns(nn.Parameter(torch.randn(2, d_model)), **slow)
        self.s = learns(nn.Parameter(torch.rand(2, denominators, 1)), **slow) if montel else None
        self.finish(d_model, dropout, tied_dropout)

    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        a = self.a
        if self.s is not None:
            a = a / (a.abs().sum(-1, keepdim=True) + self.s.abs() + 1e-6)
        below = torch.fft.rfft(F.pad(a, (1, 0), value=1.0), n=self.length)
        above = torch.fft.rfft(F.pad(self.b, (1, 0)), n=self.length)
        below = below.repeat_interleave(above.shape[1] // below.shape[1], dim=1)
        kernel = torch.fft.irfft(above / below + self.h[..., None], n=self.length)
        return both_ways(kernel, length)
