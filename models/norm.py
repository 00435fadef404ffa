"""The norms of a block: of each position over its channels, or of each channel over a batch.

A norm maps x (B, N, D) and mask (B, N) to (B, N, D).
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x)


class RMSNorm(nn.RMSNorm):
    """Zhang and Sennrich, arXiv 1910.07467: x / sqrt(mean(x^2) + eps) * weight."""

    def __init__(self, d_model: int):
        super().__init__(d_model, eps=1e-5)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x)


class BatchNorm(nn.Module):
    """Normalises each channel by its mean and variance over the real positions of the whole batch.

    torch's BatchNorm1d would count padding, so that an example would be normalised by the lengths
    of its batch-mates. Ranks share their statistics. In evaluation the running averages serve,
    which move by `momentum` a training step, the variance unbiased as in torch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, d_model: int, *, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.register_buffer("running_mean", torch.zeros(d_model))
        self.register_buffer("running_var", torch.ones(d_model))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, var = self.running_mean, self.running_var
        if self.training:
            real = mask[..., None].to(x.dtype)
            n = _over_ranks(real.sum()).clamp(min=1)
            mean = _over_ranks((x * real).sum((0, 1))) / n
            var = _over_ranks(((x - mean).square() * real).sum((0, 1))) / n
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                unbiased = var * n / (n - 1).clamp(min=1)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        scale = (var + self.eps).rsqrt() * self.weight
        return torch.addcmul(self.bias - mean * scale, x, scale)


def _over_ranks(total: Tensor) -> Tensor:
    """Returns the sum over all ranks, with its gradient."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        from torch.distributed.nn.functional import all_reduce

        return all_reduce(total)
    return total


KINDS = {"layer": LayerNorm, "batch": BatchNorm, "rms": RMSNorm}


def norm(kind: str, d_model: int) -> nn.Module:
    if kind not in KINDS:
        raise ValueError(f"norm={kind}: choose {', '.join(KINDS)}")
    return KINDS[kind](d_model)
