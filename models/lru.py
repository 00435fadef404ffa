"""Linear Recurrent Unit: Resurrecting Recurrent Neural Networks for Long Sequences (Orvieto et al.,
arXiv 2303.06349), bidirectional.

    s_n = lambda * s_{n-1} + gamma * (B u_n),   y_n = Re(C s_n) + d * u_n
with a complex diagonal lambda = exp(-exp(nu) + i exp(theta)), |lambda| < 1. At the start lambda is
in a ring, and gamma = sqrt(1 - |lambda|^2). The states are computed as a convolution of B u with
the powers of lambda. The same recurrence also runs backwards, with another C. GELU and a gated
linear unit follow, as in the paper.

Differences from the authors' description: all parameters have one learning rate; the mixer is part
of this trunk's block, which has an MLP; padding is zeroed. No code was released with the paper.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_least
from models.convolution import recurrence
from models.parts import zero_padding


class LRU(nn.Module):
    padding_seen = "none"

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 2 * math.pi,
    ):
        super().__init__()
        at_least(1, d_state=d_state)
        if not 0 < r_min <= r_max < 1:
            raise ValueError(f"r_min={r_min}, r_max={r_max}: choose 0 < r_min <= r_max < 1")
        # |lambda|^2 is uniform in [r_min^2, r_max^2], the phase in [0, max_phase]
        radius2 = torch.rand(d_state) * (r_max**2 - r_min**2) + r_min**2
        self.nu = nn.Parameter(torch.log(-0.5 * torch.log(radius2)))
        self.theta = nn.Parameter(torch.log(max_phase * torch.rand(d_state).clamp(min=1e-4)))
        self.log_gamma = nn.Parameter(0.5 * torch.log(1 - radius2))
        self.b = nn.Linear(d_model, 2 * d_state, bias=False)  # real, then imaginary parts
        self.c = nn.Linear(4 * d_state, d_model, bias=False)  # for both directions
        nn.init.normal_(self.b.weight, std=(2 * d_model) ** -0.5)
        nn.init.normal_(self.c.weight, std=d_state**-0.5)
        self.d = nn.Parameter(torch.randn(d_model))
        self.out = nn.Linear(d_model, 2 * d_model)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = zero_padding(x, mask)
        u = self.b(x)
        with torch.autocast(x.device.type, enabled=False):
            states = self.states(u.to(torch.promote_types(u.dtype, torch.float32)))
        y = torch.addcmul(self.c(states.to(u.dtype)), x, self.d)
        return F.glu(self.out(F.gelu(y)))

    def states(self, u: Tensor) -> Tensor:
        """Maps B u (B, N, 2 S) to states (B, N, 4 S): all real parts, then all imaginary parts."""
        S = len(self.nu)
        u = torch.complex(*u.transpose(1, 2).split(S, dim=1)) * self.log_gamma.exp()[:, None]
        log_lambda = torch.complex(-self.nu.exp(), self.theta.exp())
        s = recurrence(u, log_lambda).transpose(1, 2)
        return torch.cat([s.real, s.imag], dim=-1)
