"""S4D: On the Parameterization and Initialization of Diagonal State Space Models (Gu et al., arXiv
2206.11893), bidirectional, S4D-Lin initialisation.

Each channel is a linear system with `d_state` / 2 pairs of conjugate complex states, discretised by
zero-order hold with the channel's own step dt:
    s_n = exp(dt A) s_{n-1} + (exp(dt A) - 1) / A u_n,   y_n = 2 Re(C s_n) + D u_n,
    A_j = -1/2 + i pi j at the start
It is computed as a convolution with K_l = 2 Re(sum_j C_j (exp(dt A_j) - 1) / A_j exp(dt A_j l)),
once forwards and, with another C, once backwards. GELU and a gated linear unit then mix the
channels.

kernel_lr gives A and dt a learning rate of their own, without weight decay, as the authors' option
lr does. alpha scales Im A at the start, which tunes the bias towards low frequencies (Yu et al.,
arXiv 2410.02035); their second option, a learned exponent of the spectrum, is not here.

Differences from the authors' code (state-spaces/s4@2ed46fc, models/s4/s4d.py, which has one
direction, and models/s4/s4.py, which has both): without kernel_lr, A and dt learn and decay as all
other parameters; without dropout nothing is dropped between GELU and the linear unit; padding is
zeroed, so that it adds nothing to a state. model.mlp=false leaves out this trunk's MLP, which
theirs has not.
"""

import math

import torch
from torch import Tensor, nn

from models.convolution import GatedConvolution, both_ways, sum_of_powers
from models.learning import learns


class S4D(GatedConvolution):
    def __init__(
        self,
        d_model: int,
        *,
        d_state: int,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        alpha: float | None = None,
        kernel_lr: float | None = None,
        dropout: float | None = None,
        tied_dropout: bool | None = None,
    ):
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise ValueError(f"d_state={d_state}: choose an even number")
        if not 0 < dt_min <= dt_max:
            raise ValueError(f"dt_min={dt_min}, dt_max={dt_max}: choose 0 < dt_min <= dt_max")
        S = d_state // 2
        log_dt = torch.rand(d_model) * (math.log(dt_max) - math.log(dt_min)) + math.log(dt_min)
        imag = (
            (1.0 if alpha is None else alpha) * math.pi * torch.arange(float(S)).repeat(d_model, 1)
        )
        slow = {} if kernel_lr is None else {"lr": kernel_lr, "weight_decay": 0.0}
        self.log_dt = learns(nn.Parameter(log_dt), **slow)
        self.log_a_real = learns(nn.Parameter(torch.full((d_model, S), math.log(0.5))), **slow)
        self.a_imag = learns(nn.Parameter(imag), **slow)
        self.c = nn.Parameter(torch.randn(2, d_model, S, 2) * 0.5**0.5)  # directions; re, im
        self.finish(d_model, dropout, bool(tied_dropout))

    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        a = torch.complex(-self.log_a_real.exp(), self.a_imag)
        dt_a = a * self.log_dt.exp()[:, None]
        weight = torch.view_as_complex(self.c) * torch.expm1(dt_a) / a  # (2, D, S)
        return both_ways(2 * sum_of_powers(weight, dt_a, length), length)
