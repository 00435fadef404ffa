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

    def __init__(self, p: float, *, inplace: bool = False):
        """inplace: overwrites x on CPU. Only for an x that no gradient needs, such as the output of
        a GELU, whose gradient needs its input alone."""
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout={p}: choose a probability from 0 up to, not including, 1")
        self.p, self.inplace = p, inplace
        self.dropped = round(p * 2**16)  # of 2^16 equally likely words
        self.scale = 2**16 / (2**16 - self.dropped)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if not on_cpu(x):
            return F.dropout(x, self.p)
        keep = kept(x.shape, self.dropped, x.dtype).mul_(self.scale)
        return x.mul_(keep) if self.inplace else x * keep

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """Returns residual + dropout(x), in one pass over both on CPU."""
        if not self.training or self.p == 0 or not on_cpu(x):
            return residual + self(x)
        keep = kept(x.shape, self.dropped, x.dtype)
        return torch.addcmul(residual, x, keep, value=self.scale)


def on_cpu(x: Tensor) -> bool:
    """Tells whether code written for torch on CPUs runs: not what torch.compile makes of it."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def kept(shape: torch.Size, dropped: int, dtype: torch.dtype) -> Tensor:
    """Returns 1 where an element stays and 0 where it is one of `dropped` in 2^16.

    The result is a float, because multiplication by a bool is 30 times slower on CPU. numpy's SFC64
    draws a word in a quarter of the time of torch's Mersenne twister. torch's generator, which the
    training step seeds, gives its seed.
    """
    seed = int(torch.empty((), dtype=torch.int64).random_())
    numbers = np.random.Generator(np.random.SFC64(seed))
    size = shape.numel()
    words = numbers.integers(0, 2**64, dtype=np.uint64, size=(size + 3) // 4)  # for four elements
    bits = torch.from_numpy(words.view(np.int16)[:size]).view(shape)
    return torch.ge(bits, dropped - 2**15, out=torch.empty(shape, dtype=dtype))
