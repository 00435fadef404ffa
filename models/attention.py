"""Multi-head attention: the projections and heads are shared, and each mechanism writes `attend`.

Softmax attention is the Transformer baseline (Vaswani et al., arXiv 1706.03762):
    attend(q, k, v) = softmax(q k^T / sqrt(K)) v
It runs on the fastest kernel at hand (models/softmax.py), so that the other mechanisms are compared
with a fast baseline.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache, wraps

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from models.dropout import Dropout
from models.softmax import softmax_attention


class Projections(nn.Module):
    """The linear layers to the queries, keys and values of all heads, and back to the width D."""

    padding_seen = "none"
    # True: queries and keys are rotated by their positions; None: they cannot be
    rotary: bool | None = False

    def __init__(self, d_model: int, *, n_heads: int, d_qkv: int | None = None):
        super().__init__()
        name = "d_model" if d_qkv is None else "d_qkv"
        d_qkv = d_model if d_qkv is None else d_qkv  # the width over all heads
        must_divide(d_qkv, n_heads, name)
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_qkv)
        self.out = nn.Linear(d_qkv, d_model)

    def heads(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Splits (B, N, 3 H K) into q, k and v, each (B, H, N, K)."""
        q, k, v = rearrange(qkv, "b n (three h k) -> three b h n k", three=3, h=self.n_heads)
        return (rotated(q), rotated(k), v) if self.rotary else (q, k, v)


class MultiHeadAttention(Projections, ABC):
    """A mixer (x, mask) -> x, with x (B, N, D) and mask bool (B, N), True at a real token.

    Real tokens come first: every row of a mask is a run of True and then a run of False.
    """

    @abstractmethod
    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Returns the heads' outputs (B, H, N, K) for q, k, v (B, H, N, K) and mask (B, N)."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.heads(self.qkv(x))
        return self.out(merge_heads(self.attend(q, k, v, mask)))


def must_divide(width: int, n_heads: int, name: str = "d_model") -> None:
    if width % n_heads:
        raise ValueError(f"model.{name}={width} is not a multiple of model.n_heads={n_heads}")


def at_least(least: float, **settings) -> None:
    for name, value in settings.items():
        if not value >= least:
            raise ValueError(f"{name}={value}: choose {least} or more")


def in_float32(attend: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes an `attend` that half precision would ruin compute in float32 or wider, also under
    autocast. The result returns to the dtype of q."""

    @wraps(attend)
    def wide(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        dtype = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            return attend(self, q.to(dtype), k.to(dtype), v.to(dtype), mask).to(q.dtype)

    return wide


def rotated(x: Tensor) -> Tensor:
    """Turns each pair of channels (j, j + K / 2) of x (B, H, N, K) by n / 10000^(2 j / K) at
    position n, so that q k^T depends on distances alone (RoFormer, arXiv 2104.09864; the pairs are
    those of GPT-NeoX's code)."""
    N, K = x.shape[-2:]
    if K % 2:
        raise ValueError(f"model.positions=rotary needs heads of even width, not {K}")
    # the compiler sees through no cache
    cos, sin = (turns if torch.compiler.is_compiling() else _kept_turns)(N, K, x.device)
    a, b = x.float().chunk(2, dim=-1) if x.dtype == torch.bfloat16 else x.chunk(2, dim=-1)
    cos, sin = cos.to(a.dtype), sin.to(a.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


def turns(N: int, K: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the cosines and sines of all positions, each (N, K / 2) in float64."""
    rate = 10000 ** (-torch.arange(0, K, 2, dtype=torch.float64, device=device) / K)
    angle = torch.arange(N, dtype=torch.float64, device=device)[:, None] * rate
    return angle.cos(), angle.sin()


@lru_cache(maxsize=32)
def _kept_turns(N: int, K: int, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # also where evaluation comes first, for training after it
        return turns(N, K, device)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    return rearrange(x, "b n (h k) -> b h n k", h=n_heads)


def merge_heads(x: Tensor) -> Tensor:
    return rearrange(x, "b h n k -> b n (h k)")


class SoftmaxAttention(MultiHeadAttention):
    """The softmax attention, with dropout on its weights."""

    only_first = False  # True: returns the output of the first position alone, (B, 1, D)

    def __init__(
        self, d_model: int, *, n_heads: int, d_qkv: int | None = None, dropout: float = 0.0
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if not self.only_first:
            return super().forward(x, mask)
        d_qkv = self.out.in_features
        weights, biases = (t.split([d_qkv, 2 * d_qkv]) for t in (self.qkv.weight, self.qkv.bias))
        q = split_heads(F.linear(x[:, :1], weights[0], biases[0]), self.n_heads)
        kv = F.linear(x, weights[1], biases[1])
        k, v = rearrange(kv, "b n (two h k) -> two b h n k", two=2, h=self.n_heads)
        k = rotated(k) if self.rotary else k  # q is at position 0, which does not turn
        return self.out(merge_heads(self.attend(q, k, v, mask)))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return softmax_attention(q, k, v, mask, dropout=self.dropout)


class ExplicitAttention(SoftmaxAttention):
    """The softmax attention that keeps the N x N matrix of weights in memory, as before fused
    kernels. The papers of 2020-2023 compare their mechanisms with this form. Only lra.efficiency
    uses it."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        weights = scores.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(-1)
        return self.dropout(weights) @ v


def at_each_length(attend: Callable[..., Tensor], inputs: tuple[Tensor, ...], mask: Tensor):
    """Runs `attend` on one sequence at a time, (1, H, n, K) of its own length n; padding gets 0.

    The gradient of unbind is one pass over a batch; that of a slice would be one pass an example.
    """
    N, outputs = mask.shape[1], []
    for n, *sequence in zip(mask.sum(1).tolist(), *(x.unbind() for x in inputs), strict=True):
        o = attend(*(x[None] if n == N else x[None, :, :n] for x in sequence))
        outputs.append(o if n == N else F.pad(o, (0, 0, 0, N - n)))
    return torch.cat(outputs)


def attend_blocks(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
    """Attends from each block of queries to its own set of keys, by softmax on the fused kernel.

    q (B, H, C, n, K), k and v (B, H, C, m, K) -> (B, H, C, n, K). `allowed` is bool and broadcasts
    to (B, H, C, n, m); its axis of queries is n or 1 long. A query that may see nothing gets 0.
    """
    B, H, C, n, _ = q.shape
    heads, queries = allowed.shape[1], allowed.shape[3]
    allowed = allowed.expand(B, heads, C, queries, k.shape[3])
    q, k, v, allowed = (rearrange(x, "b h c n k -> (b c) h n k") for x in (q, k, v, allowed))
    o = softmax_attention(q, k, v, allowed)
    return rearrange(o, "(b c) h n k -> b h c n k", c=C)


def blocks(x: Tensor, size: int, dim: int) -> Tensor:
    """Splits axis `dim` into (C, size), padded at its end with zeros (False) to fill a block."""
    missing = -x.shape[dim] % size
    if missing:
        dim = dim % x.ndim
        x = F.pad(x, (0, 0) * (x.ndim - 1 - dim) + (0, missing))
    return x.unflatten(dim, (-1, size))
