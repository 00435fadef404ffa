"""Dropout whose random numbers cost little on CPU."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zeroes a share p of x and scales the rest by 1 / (1 - p).

    On CPU torch draws a 64-bit Bernoulli variable per element, which takes a fifth of a training
    step here. This class draws 16 bits: p is rounded to a multiple of 2^-16, and the scale follows
    from the rounded p.
    """

    def __init__(self, p: float, *, inplace: bool = False, tied: bool = False):
        """inplace: overwrites x on CPU. Only for an x that no gradient needs, such as the output of
        a GELU, whose gradient needs its input alone. tied: one draw for all positions of a
        sequence, x (B, N, D)."""
        super().__init__()
        if not 0 <= p <= 0.9999:
            raise ValueError(f"dropout={p}: choose a probability from 0 to 0.9999")
        self.p, self.inplace, self.tied = p, inplace, tied
        self.dropped = round(p * 2**16)  # of 2^16 equally likely words
        self.scale = 2**16 / (2**16 - self.dropped)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.tied:
            return x * F.dropout(x.new_ones(x.shape[0], 1, *x.shape[2:]), self.p)
        if not on_cpu(x):
            return F.dropout(x, self.p)
        return Drop.apply(x, stays(x.shape, self.dropped), self.scale, self.inplace)

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """Returns residual + dropout(x), in one pass over both on CPU."""
        plain = self.tied or not on_cpu(x) or x.dtype != residual.dtype
        if not self.training or self.p == 0 or plain:
            return residual + self(x)
        return AddDropped.apply(residual, x, stays(x.shape, self.dropped), self.scale)


class Drop(torch.autograd.Function):
    """x or 0. The gradient needs which elements stay, one byte for each."""

    @staticmethod
    def forward(ctx, x: Tensor, stay: Tensor, scale: float, inplace: bool) -> Tensor:
        ctx.save_for_backward(stay)
        ctx.scale = scale
        factors = factors_of(stay, scale, x.dtype)
        if not inplace:
            return factors.mul_(x)
        ctx.mark_dirty(x)
        return x.mul_(factors)

    @staticmethod
    def backward(ctx, g: Tensor):
        (stay,) = ctx.saved_tensors
        return factors_of(stay, ctx.scale, g.dtype).mul_(g), None, None, None


class AddDropped(torch.autograd.Function):
    """residual + (x or 0)."""

    @staticmethod
    def forward(ctx, residual: Tensor, x: Tensor, stay: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(stay)
        ctx.scale = scale
        return torch.addcmul(residual, x, stay.to(x.dtype), value=scale)

    @staticmethod
    def backward(ctx, g: Tensor):
        (stay,) = ctx.saved_tensors
        return g, factors_of(stay, ctx.scale, g.dtype).mul_(g), None, None


def factors_of(stay: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Returns scale or 0 as floats: on CPU multiplication by a bool takes three times as long."""
    return stay.to(dtype).mul_(scale)


def on_cpu(x: Tensor) -> bool:
    """Tells whether code written for torch on CPUs runs: not what torch.compile makes of it."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def stays(shape: torch.Size, dropped: int) -> Tensor:
    """Returns False where an element is one of `dropped` in 2^16, else True.

    numpy's SFC64 draws a word in a quarter of the time of torch's Mersenne twister. torch's
    generator, which the training step seeds, gives its seed.
    """
    seed = int(torch.empty((), dtype=torch.int64).random_())
    numbers = np.random.Generator(np.random.SFC64(seed))
    size = shape.numel()
    words = numbers.integers(0, 2**64, dtype=np.uint64, size=(size + 3) // 4)  # for four elements
    return torch.from_numpy(words.view(np.int16)[:size]).view(shape) >= dropped - 2**15
