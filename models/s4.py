"""S4: Efficiently Modeling Long Sequences with Structured State Spaces (Gu et al., arXiv
2111.00396), bidirectional, HiPPO-LegS.

Each channel is a linear system with d_state states, discretised bilinearly with its own step dt:
    A = Lambda - P P*,   Abar = (1 - dt A / 2)^-1 (1 + dt A / 2),   Bbar = (1 - dt A / 2)^-1 dt B
    y_n = 2 Re(C Abar^l Bbar) summed over the kept half of conjugate pairs, convolved, + d x
At the start A is HiPPO-LegS: A + P P^T has the real part -1/2 and is diagonalised once; the
imaginary part of B is cut to +-2. The kernel
K_l = C Abar^l Bbar, l < L, is computed from its transform at the roots of unity omega:
    K^ = 2 (c(C~ B) - (1 + omega) c(C~ P) c(P* B) / (1 + (1 + omega) c(P* P))),
    c(v) = sum_n dt v_n / (2 (1 - omega) - dt Lambda_n (1 + omega)),   C~ = C (1 - Abar^L)
C~ is what is learned. `ssms` sets of A, B and P are shared by d_model / ssms channels each.

With omega = exp(-i theta), both 1 - omega and 1 + omega are exp(-i theta / 2) times a real number
or i times one, so that a conjugate pair needs one division and no pole lies at omega = -1.

Differences from the authors' code (state-spaces/s4@e757cef, models/s4/s4.py): dt = exp(log dt),
where their LRA settings take softplus; L is the model's length from the start, where theirs
doubles; padding is zeroed; without kernel_lr all parameters learn and decay alike; the mixer is
part of this trunk's block (model.mlp=false leaves out the MLP that theirs has not).
"""

import math

import torch
from torch import Tensor, nn

from models.attention import at_least
from models.convolution import GatedConvolution, both_ways, default_device
from models.learning import learns


def hippo(d_state: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns Lambda, P and B of HiPPO-LegS in the basis that makes A + P P^T diagonal, complex
    (d_state / 2,) each: one of every pair of conjugates."""
    n = torch.arange(d_state, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    a = -torch.tril(root[:, None] * root, -1) - torch.diag(n + 1)
    p = (n + 0.5).sqrt()
    normal = a + p[:, None] * p  # -1/2 plus a skew-symmetric matrix
    imaginary, v = torch.linalg.eigh(-1j * (normal + 0.5 * torch.eye(d_state)))
    kept = imaginary < 0
    v = v[:, kept]
    to = v.conj().T
    return -0.5 + 1j * imaginary[kept], to @ p.to(v.dtype), to @ root.to(v.dtype)


def cut(c: Tensor, dt: Tensor, a: Tensor, p: Tensor, length: int) -> Tensor:
    """Returns C (1 - Abar^length) for C (2, D, S), dt (D,) and one system's Lambda and P (S,)."""
    a, p = (torch.cat([x, x.conj()]) for x in (a, p))
    eye = torch.eye(len(a), dtype=a.dtype)
    half = dt[:, None, None] / 2 * (torch.diag(a) - p[:, None] * p.conj())  # (D, 2 S, 2 S)
    power = torch.linalg.matrix_power(torch.linalg.solve(eye - half, eye + half), length)
    whole = torch.cat([c, c.conj()], dim=-1)
    return c - torch.einsum("zdn,dnm->zdm", whole, power)[..., : c.shape[-1]]


class S4(GatedConvolution):
    def __init__(
        self,
        d_model: int,
        *,
        seq_len: int,
        d_state: int,
        ssms: int = 1,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        kernel_lr: float | None = None,
        dropout: float | None = None,
        tied_dropout: bool = False,
    ):
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise ValueError(f"d_state={d_state}: choose an even number")
        if not 0 < dt_min <= dt_max:
            raise ValueError(f"dt_min={dt_min}, dt_max={dt_max}: choose 0 < dt_min <= dt_max")
        at_least(1, ssms=ssms)
        if d_model % ssms:
            raise ValueError(f"ssms={ssms}: choose a divisor of model.d_model={d_model}")
        self.length = seq_len + 1  # one more position, for CLS
        there = default_device()
        slow = {} if kernel_lr is None else {"lr": kernel_lr, "weight_decay": 0.0}
        with torch.device("cpu"):  # also where only shapes are wanted
            a, p, b = hippo(d_state)
            b = torch.complex(b.real, b.imag.clamp(-2, 2))
            log_dt = torch.rand(d_model) * math.log(dt_max / dt_min) + math.log(dt_min)
            c = torch.randn(2, d_model, d_state // 2, 2, dtype=torch.float64) * 0.5**0.5
            dt = log_dt.double().exp()
            c = cut(torch.view_as_complex(c), dt, a, p, self.length)

        def of_all(x: Tensor) -> nn.Parameter:
            """Returns (ssms, d_state / 2), with a last axis for real and imaginary parts."""
            x = torch.view_as_real(x) if x.is_complex() else x
            return learns(nn.Parameter(x.to(there).float().repeat(ssms, *[1] * x.ndim)), **slow)

        self.log_dt = learns(nn.Parameter(log_dt.to(there)), **slow)
        self.log_a_real, self.a_imag = of_all((-a.real).log()), of_all(a.imag)
        self.b, self.p = of_all(b), of_all(p)
        self.c = nn.Parameter(torch.view_as_real(c).float().to(there))  # C~; directions first
        self.finish(d_model, dropout, tied_dropout)

    def system(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns dt (D, 1) and Lambda, B and P, complex (D, d_state / 2), of all channels."""
        D = len(self.log_dt)
        a = torch.complex(-self.log_a_real.exp(), self.a_imag)
        of = [a, torch.view_as_complex(self.b), torch.view_as_complex(self.p)]
        a, b, p = (x.repeat_interleave(D // len(x), dim=0) for x in of)
        return self.log_dt.exp()[:, None], a, b, p

    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        L = self.length
        dt, a, b, p = self.system()
        c = torch.view_as_complex(self.c)
        theta = torch.arange(L // 2 + 1, device=dt.device, dtype=dt.dtype) * (2 * math.pi / L)
        g = 2 * (theta / 2).cos()  # 1 + omega = exp(-i theta / 2) g
        u, w = 4 * (theta / 2).sin(), dt[..., None] * g  # 2 (1 - omega) = exp(-i theta / 2) i u
        # 1 / ((i u - Lambda w) (i u - conj(Lambda) w)) = (re - i im) / size, (D, S, frequencies)
        re = a.abs().square()[..., None] * w.square() - u.square()
        im = -2 * u * w * a.real[..., None]
        size = (re.square() + im.square()).reciprocal()
        re, im = re * size, -im * size
        # c(v) of a pair of conjugates: dt (2 Re(v) i u - 2 Re(v conj(Lambda)) w) times that
        v = torch.stack([*(c * b), *(c * p), p.conj() * b, p.conj() * p])  # (6, D, S)
        factors = 2 * torch.cat([v.real, (v * a.conj()).real]).transpose(0, 1)  # (D, 12, S)
        at, to = ((factors @ part).unflatten(1, (2, 6)) for part in (re, im))  # (D, 2, 6, F)
        real = -(u * to[:, 0] + w * at[:, 1])
        imag = u * at[:, 0] - w * to[:, 1]
        cauchy = torch.complex(real, imag) * dt[..., None]
        cb, cp, pb, pp = cauchy[:, :2], cauchy[:, 2:4], cauchy[:, 4:5], cauchy[:, 5:]
        turn = torch.polar(torch.full_like(theta, 2.0), theta / 2)
        spectrum = turn * (cb - g * cp * pb / (1 + g * pp))
        return both_ways(torch.fft.irfft(spectrum, n=L).transpose(0, 1), length)
