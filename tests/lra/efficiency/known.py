"""Models whose cost is known beforehand."""

import time

import torch
from torch import nn

from models.attention import SoftmaxAttention


class Known(nn.Module):
    """Takes a known time forward, and holds memory until the end of the backward pass."""

    def __init__(self, seconds: float, megabytes: int, num_classes: int, **_):
        super().__init__()
        self.seconds, self.megabytes = seconds, megabytes
        self.logits = nn.Parameter(torch.zeros(num_classes))

    def forward(self, ids, lengths):
        end = time.perf_counter() + self.seconds
        held = torch.ones(self.megabytes * 250_000)  # 4 bytes each
        time.sleep(max(0.0, end - time.perf_counter()))
        return (self.logits + Hold.apply(self.logits, held)).expand(len(ids), -1)


class Hold(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, held):
        ctx.save_for_backward(held)
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0][0], None


class Churning(Known):
    """Allocates and frees 400 buffers of 1 to 2 MB, 40 at a time."""

    def forward(self, ids, lengths):
        for start in range(10):
            held = [torch.ones(250_000 + 6_250 * ((start + i) % 40)) for i in range(40)]
            del held
        return super().forward(ids, lengths)


class Hungry(Known):
    """Takes more and more memory."""

    def forward(self, ids, lengths):
        self.kept = [torch.ones(25_000_000) for _ in range(1000)]
        return super().forward(ids, lengths)


class SlowToTrain(Known):
    """Sleeps in training alone."""

    def forward(self, ids, lengths):
        return super().forward(ids, lengths) if self.training else self.logits.expand(len(ids), -1)


class Again(SoftmaxAttention):
    """The transformer's attention under another name."""
