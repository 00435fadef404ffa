"""Mega: Moving Average Equipped Gated Attention (Ma et al., arXiv 2209.10655), bidirectional.

With x = norm(input) and m = silu(EMA(x) + omega x), where EMA is a damped moving average of
`ema_dim` modes for each channel:
    EMA(x)_n = sum_l sum_h gamma_h p_h beta_h q_h^l x_{n-l},  p = sigmoid(delta),
               q = 1 - p sigmoid(alpha);   the same forwards and backwards
    z = silu(m W_z);   q = z * kappa_q + mu_q,   k = z * kappa_k + mu_k
    v = silu(x W_v),   r = silu(m W_r),   u = sigmoid(m W_u)
    o = f(q k^T + bias) v,   single-headed; bias depends on i - j
    h = silu(m W_h + (r * o) U_h);   output = input + u * (h - input)
f is softmax (of scores over sqrt(z_dim)) or the paper's laplace (of scores over the length).
Attention stays inside chunks of `chunk` positions (Mega-chunk), which makes it linear.

Differences from the authors' code (facebookresearch/mega@09f1a87, fairseq/modules/
moving_average_gated_attention.py): the feed-forward layer is this trunk's (GELU); chunks need not
divide the length; v is dropped at `dropout`, where theirs has a rate of its
own (hidden_dropout, 0 by default).
"""

import math
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_each_length, at_least, blocks
from models.block import Block
from models.convolution import LongKernels, sum_of_powers
from models.dropout import Dropout
from models.parts import zero_padding
from models.softmax import softmax_attention


class MovingAverage(LongKernels):
    """Computes m (B, N, D) from x (B, N, D), which is zero at padding."""

    def __init__(self, d_model: int, ema_dim: int):
        super().__init__()
        directions = (2, d_model, ema_dim)
        self.delta = nn.Parameter(torch.randn(directions) * 0.2)
        self.alpha = nn.Parameter(torch.randn(directions) * 0.2)
        signs = torch.ones(ema_dim)
        signs[1::2] = -1  # alternating, as in the authors' code
        self.beta = nn.Parameter(torch.randn(directions) * 0.02 + signs)
        self.gamma = nn.Parameter(torch.randn(directions))
        self.omega = nn.Parameter(torch.randn(d_model))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            average = self.convolved(x)
        return F.silu(torch.addcmul(average, x, self.omega))

    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        p = self.delta.sigmoid()
        log_q = torch.log1p(-p * self.alpha.sigmoid())
        weight = p * self.beta * self.gamma * self.gamma.shape[-1] ** -0.5
        after, before = sum_of_powers(weight, log_q, length)
        return after, before


class GatedAttention(nn.Module):
    """Maps (x, mask, residual) to the gated mixture of the residual and attention's output."""

    padding_seen = "none"

    def __init__(
        self,
        d_model: int,
        *,
        seq_len: int,
        z_dim: int,
        v_dim: int,
        ema_dim: int,
        attention: str = "softmax",
        chunk: int | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        if attention not in ("softmax", "laplace"):
            raise ValueError(f"attention={attention}: choose softmax or laplace")
        at_least(1, z_dim=z_dim, v_dim=v_dim, ema_dim=ema_dim)
        if chunk is not None:
            at_least(1, chunk=chunk)
        self.z_dim, self.v_dim, self.attention, self.chunk = z_dim, v_dim, attention, chunk
        self.average = MovingAverage(d_model, ema_dim)
        self.value = nn.Linear(d_model, v_dim)
        self.base = nn.Linear(d_model, z_dim + v_dim + 2 * d_model)
        self.out = nn.Linear(v_dim, d_model)
        for linear in (self.value, self.base, self.out):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        self.kappa = nn.Parameter(torch.randn(2, z_dim) * 0.02)
        self.mu = nn.Parameter(torch.zeros(2, z_dim))
        self.longest = chunk or seq_len + 1  # one more position, for CLS
        self.bias = nn.Parameter(torch.randn(2 * self.longest - 1) * 0.02)  # indexed by j - i
        self.dropout = Dropout(dropout)

    def up_to(self, length: int) -> AbstractContextManager[None]:
        return self.average.up_to(length)

    def forward(self, x: Tensor, mask: Tensor, residual: Tensor) -> Tensor:
        D = x.shape[-1]
        v = self.dropout(F.silu(self.value(x)))
        m = self.dropout(self.average(zero_padding(x, mask)))
        u, zr, h = self.base(m).split([D, self.z_dim + self.v_dim, D], dim=-1)
        z, r = F.silu(zr).split([self.z_dim, self.v_dim], dim=-1)
        q, k = (z * kappa + mu for kappa, mu in zip(self.kappa, self.mu, strict=True))
        o = self.attend(q[:, None], k[:, None], v[:, None], mask)[:, 0]
        h = self.dropout(F.silu(h + self.out(o * r)))
        return residual + u.sigmoid() * (h - residual)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attends with q, k, v (B, 1, N, .) -> (B, 1, N, v_dim)."""
        N = q.shape[2]
        if self.chunk is None and self.attention == "softmax":
            scale, bias = self.z_dim**-0.5, self.toeplitz(N)
            return softmax_attention(q, k, v, mask, scale=scale, bias=bias)
        if self.chunk is None:
            # On CPU each sequence attends at its own length, which leaves out the padding.
            if q.device.type == "cpu" and not torch.compiler.is_compiling():
                return at_each_length(lambda q, k, v: self.weights(q, k, None) @ v, (q, k, v), mask)
            return self.weights(q, k, mask[:, None, None]) @ v
        size = min(self.chunk, N)
        q, k, v = (blocks(x, size, 2) for x in (q, k, v))  # (B, 1, C, size, .)
        weights = self.weights(q, k, blocks(mask, size, 1)[:, None, :, None])
        return (weights @ v).flatten(2, 3)[:, :, :N]

    def toeplitz(self, n: int) -> Tensor:
        """Returns the matrix bias[j - i], (n, n): each row is a window of the vector."""
        centre = self.longest - 1
        return self.bias[centre - (n - 1) : centre + n].unfold(0, n, 1).flip(0)

    def weights(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """Returns f(q k^T + bias): q, k (.., n, z_dim), mask (.., 1, n) -> (.., n, n)."""
        n = q.shape[-2]
        bias = self.toeplitz(n)
        scores = q @ k.transpose(-1, -2)
        if self.attention == "softmax":
            scores = scores * self.z_dim**-0.5 + bias
            if mask is not None:  # nothing reads the uniform weights of an empty chunk
                scores = scores.masked_fill(~mask, -1e9)
            return scores.softmax(dim=-1)
        length = n if mask is None else mask.sum(-1, keepdim=True).clamp(min=1)
        weights = laplace(scores / length + bias)
        return weights if mask is None else weights * mask.to(weights.dtype)


def laplace(x: Tensor) -> Tensor:
    """Returns the paper's smooth substitute for relu^2, the distribution function of a Gaussian."""
    mean, deviation = math.sqrt(0.5), math.sqrt(0.25 / math.pi)
    return 0.5 * (1 + torch.erf((x - mean) / (deviation * math.sqrt(2))))


class MegaBlock(Block):
    padding_seen = None

    def __init__(self, d_model: int, *, prenorm: bool = True, **block):
        super().__init__(d_model, prenorm=prenorm, **block)
        if not prenorm:
            raise ValueError(
                "model.prenorm=false: Mega's gate, which takes the place of the sum, "
                "reads a normed input"
            )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.mixer(self.before(x, mask), mask, residual=x)
        if self.only_first:
            x, mask = x[:, :1], mask[:, :1]
        return self.feed_forward(x, mask), mask
