"""S5: Simplified State Space Layers for Sequence Modeling (Smith et al., arXiv 2208.04933),
bidirectional.

One system with d_state states reads and writes all channels:
    s_n = exp(Lambda dt) s_{n-1} + (exp(Lambda dt) - 1) / Lambda B u_n,   y_n = 2 Re(C s_n) + d u_n
Lambda is diagonal, and one of each pair of conjugates is kept. At the start it is the normal part
of HiPPO-LegS of d_state / blocks states, once for each block; B and C start in its eigenbasis. Each
state has its own step dt. The same states also run backwards, with another C. Then, by `gate`:
    half1: g sigmoid(W g) with g = gelu(y);   half2: y sigmoid(W g);   full: (V g) sigmoid(W g)

Differences from the authors' code (lindermanlab/S5@3c18fdb, s5/ssm.py): the states are computed as
a convolution (models/convolution.py: recurrence) and not by a scan; random numbers are normal, not
truncated; padding is zeroed; without kernel_lr all parameters learn and decay alike, and with it
Lambda and dt have a rate of their own without decay, and B too, or with decay (b_learns=decays), or
as all other parameters (fast); the mixer is part
of this trunk's block (model.mlp=false leaves out the MLP that theirs has not).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_least
from models.convolution import default_device, recurrence
from models.dropout import Dropout
from models.learning import learns
from models.parts import zero_padding

C_INITS = ("lecun", "rows", "complex")
B_LEARNS = ("slow", "decays", "fast")
GATES = ("half1", "half2", "full")


def normal_hippo(d_state: int) -> tuple[Tensor, Tensor]:
    """Returns the eigenvalues (d_state / 2,) of one of each pair and their eigenvectors
    (d_state, d_state / 2) of HiPPO-LegS's normal part, in complex128."""
    n = torch.arange(d_state, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    skew = torch.triu(root[:, None] * root, 1) / 2
    imaginary, v = torch.linalg.eigh(-1j * (skew - skew.T))
    kept = imaginary > 0
    return -0.5 + 1j * imaginary[kept], v[:, kept]


def start(d_model: int, d_state: int, blocks: int, c_init: str) -> tuple[Tensor, Tensor, Tensor]:
    """Returns Lambda (S,), B (S, D) and C (2 directions, D, S) at the start, S = d_state / 2."""
    one, v = normal_hippo(d_state // blocks)
    a, v = one.repeat(blocks), torch.block_diag(*[v] * blocks)  # (S,), (d_state, S)
    b = v.conj().T @ (torch.randn(d_state, d_model) * d_state**-0.5).to(v.dtype)
    if c_init == "complex":
        c = torch.randn(2, d_model, len(a), 2, dtype=torch.float64) * 0.5**0.5
        return a, b, torch.view_as_complex(c)
    # in the authors' code lecun takes all rows for one, and draws smaller numbers
    scale = (d_state if c_init == "rows" else d_state * d_model) ** -0.5
    c = torch.randn(2, d_model, d_state, 2, dtype=torch.float64) * scale
    return a, b, torch.view_as_complex(c) @ v


class S5(nn.Module):
    padding_seen = "none"

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int,
        blocks: int,
        c_init: str = "rows",
        gate: str = "half2",
        clip: bool = False,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        kernel_lr: float | None = None,
        b_learns: str = "slow",
        dropout: float | None = None,
        tied_dropout: bool = False,
    ):
        super().__init__()
        at_least(1, blocks=blocks)
        if d_state < 2 or d_state % (2 * blocks):
            raise ValueError(f"d_state={d_state}: choose a multiple of 2 x {blocks} blocks")
        if c_init not in C_INITS:
            raise ValueError(f"c_init={c_init}: choose {', '.join(C_INITS)}")
        if gate not in GATES:
            raise ValueError(f"gate={gate}: choose {', '.join(GATES)}")
        if b_learns not in B_LEARNS:
            raise ValueError(f"b_learns={b_learns}: choose {', '.join(B_LEARNS)}")
        if not 0 < dt_min <= dt_max:
            raise ValueError(f"dt_min={dt_min}, dt_max={dt_max}: choose 0 < dt_min <= dt_max")
        self.gate, self.clip = gate, clip
        there = default_device()
        with torch.device("cpu"):  # also where only shapes are wanted
            a, b, c = start(d_model, d_state, blocks, c_init)
        slow = {} if kernel_lr is None else {"lr": kernel_lr, "weight_decay": 0.0}
        self.a_real = learns(nn.Parameter(a.real.float().to(there)), **slow)
        self.a_imag = learns(nn.Parameter(a.imag.float().to(there)), **slow)
        log_dt = torch.rand(len(a)) * math.log(dt_max / dt_min) + math.log(dt_min)
        self.log_dt = learns(nn.Parameter(log_dt), **slow)
        own = {"slow": slow, "decays": {"lr": kernel_lr}, "fast": {}}[b_learns]
        self.b = learns(nn.Parameter(torch.view_as_real(b).float().to(there)), **own)
        self.c = nn.Parameter(torch.view_as_real(c).float().to(there))  # (2 directions, D, S, 2)
        self.d = nn.Parameter(torch.randn(d_model))
        self.dropout = Dropout(dropout or 0.0, tied=tied_dropout)
        self.out = nn.Linear(d_model, d_model * (2 if gate == "full" else 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = zero_padding(x, mask)
        with torch.autocast(x.device.type, enabled=False):
            y = self.mixed(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)
        g = self.dropout(F.gelu(y))
        if self.gate == "full":
            return F.glu(self.out(g))
        return (g if self.gate == "half1" else y) * self.out(g).sigmoid()

    def mixed(self, x: Tensor) -> Tensor:
        """Maps x (B, N, D) to y (B, N, D)."""
        real = self.a_real.clamp(max=-1e-4) if self.clip else self.a_real
        a = torch.complex(real, self.a_imag)
        log_ratio = a * self.log_dt.exp()
        b = (torch.expm1(log_ratio) / a)[:, None] * torch.view_as_complex(self.b)
        # complex products of real sequences as real products
        u = torch.complex(*(x @ torch.cat([b.real, b.imag]).T).transpose(1, 2).chunk(2, dim=1))
        s = recurrence(u, log_ratio).transpose(1, 2)  # (B, N, 2 S)
        c = 2 * torch.cat([*self.c], dim=1)  # (D, 2 S, 2)
        y = torch.cat([s.real, s.imag], -1) @ torch.cat([c[..., 0], -c[..., 1]], dim=1).T
        return torch.addcmul(y, x, self.d)
