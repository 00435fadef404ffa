"""Convolutions as long as the sequence, and linear recurrences computed as such."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.dropout import Dropout, on_cpu
from models.parts import zero_padding


def default_device() -> torch.device:
    """Returns the device on which a module that is built now has its parameters."""
    return torch.empty(0).device


class LongKernels(nn.Module, ABC):
    """A module that convolves with kernels of its own, as long as the sequence."""

    _shared: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def kernels(self, length: int) -> tuple[Tensor, Tensor]:
        """Returns the kernels of both directions, each (D, length). A shorter kernel is the start
        of a longer one."""

    def convolved(self, x: Tensor) -> Tensor:
        N = x.shape[1]
        if self._shared is None:
            return long_convolution(x, *self.kernels(N))
        after, before = self._shared
        return long_convolution(x, after[:, :N], before[:, :N])

    @contextmanager
    def up_to(self, length: int) -> Iterator[None]:
        """Computes the kernels once for all sequences, of which `length` is the longest, that go
        through the module inside."""
        with torch.autocast("cpu", enabled=False):
            self._shared = self.kernels(length)
        try:
            yield
        finally:
            self._shared = None


class GatedConvolution(LongKernels):
    """The layer around a long convolution that state-space models share:

    GLU(W dropout(gelu(K * x + d x))), with x zero at padding. A subclass makes its kernels, and
    calls `finish` at the end of its constructor.
    """

    padding_seen = "none"

    def finish(self, d_model: int, dropout: float | None, tied_dropout: bool = False) -> None:
        self.d = nn.Parameter(torch.randn(d_model))
        self.dropout = Dropout(dropout or 0.0, tied=tied_dropout)
        self.out = nn.Linear(d_model, 2 * d_model)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = zero_padding(x, mask)
        with torch.autocast(x.device.type, enabled=False):
            y = self.convolved(x)
        y = self.dropout(F.gelu(torch.addcmul(y, x, self.d)))
        return F.glu(self.out(y))


def both_ways(kernels: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Returns kernels (2, D, L) as `kernels` does, cut or filled with zeros to a length.

    Both directions would count the position itself: backwards starts at the next one.
    """
    forwards, backwards = F.pad(kernels, (0, max(0, length - kernels.shape[-1])))[..., :length]
    return forwards, F.pad(backwards, (1, 0))[:, :-1]


def recurrence(u: Tensor, log_ratio: Tensor) -> Tensor:
    """Returns the states of s_n = exp(log_ratio) s_{n-1} + u_n, run forwards, then backwards.

    u (B, S, N) and log_ratio (S,) are complex -> (B, 2 S, N). Computed as a convolution with the
    powers of exp(log_ratio).
    """
    S, N = u.shape[1:]
    powers = torch.exp(log_ratio[:, None] * torch.arange(N, device=u.device))  # (S, N)
    size = fft_size(2 * N - 1)
    spectrum = torch.fft.fft(u, n=size)  # (B, S, size)
    forwards = torch.fft.fft(powers, n=size)
    # Backwards, the kernel at -l is lambda^l: this is the transform of the reversed powers.
    backwards = torch.fft.fft(powers.conj(), n=size).conj()
    both = torch.cat([spectrum * forwards, spectrum * backwards], dim=1)
    return torch.fft.ifft(both)[..., :N]


def long_convolution(x: Tensor, after: Tensor, before: Tensor) -> Tensor:
    """Convolves x (B, N, D) with two kernels (D, N) -> (B, N, D), computed in float32 or wider:

    y_n = sum_{l >= 0} after_l x_{n - l} + sum_{l >= 0} before_l x_{n + l}
    """
    dtype, N = x.dtype, x.shape[1]
    x = x.to(torch.promote_types(dtype, torch.float32))  # on CPU torch has no FFT in half
    # Around a circle of `size` positions, x_{n + l} is what is size - l positions back.
    gap = after.new_zeros(len(after), fft_size(2 * N - 1) - (2 * N - 1))
    kernel = [after[:, :1] + before[:, :1], after[:, 1:], gap, before[:, 1:].flip(1)]
    return CircularConvolution.apply(x, torch.cat(kernel, dim=1)).to(dtype)


class CircularConvolution(torch.autograd.Function):
    """Convolves x (B, N, D), followed by zeros, with a kernel (D, size) around a circle.

    All transforms are real, in the gradient too, where autograd would take complex ones. On CPU
    they take a few examples at a time, which stay in the cache.
    """

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor) -> Tensor:
        factors, y = torch.fft.rfft(kernel), torch.empty_like(x)
        spectra = []
        for part in chunks(x, kernel):
            spectra.append(transform(x[part], kernel.shape[1]))
            put_back(spectra[-1] * factors, kernel.shape[1], y[part])
        ctx.save_for_backward(kernel, factors, *spectra)
        return y

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        kernel, factors, *spectra = ctx.saved_tensors
        size, d_x = kernel.shape[1], torch.empty_like(g)
        factors, d_factors = factors.conj().resolve_conj(), torch.zeros_like(factors)
        for part, spectrum in zip(chunks(g, kernel), spectra, strict=True):
            d = transform(g[part], size)
            d_factors += (spectrum.conj() * d).sum(0)
            put_back(d.mul_(factors), size, d_x[part])
        return d_x, torch.fft.irfft(d_factors, n=size)


def chunks(x: Tensor, kernel: Tensor) -> list[slice]:
    step = max(1, 2**19 // kernel.numel()) if on_cpu(x) else len(x)
    return [slice(start, start + step) for start in range(0, len(x), step)]


def transform(x: Tensor, size: int) -> Tensor:
    """Returns the real transform along N, padded with zeros: (B, N, D) -> (B, D, size // 2 + 1)."""
    B, N, D = x.shape
    padded = x.new_empty(B, D, size)  # so that the transform runs along contiguous memory
    padded[..., :N] = x.transpose(1, 2)
    padded[..., N:] = 0
    return torch.fft.rfft(padded)


def put_back(spectrum: Tensor, size: int, y: Tensor) -> None:
    """Writes the first positions of the inverse transform into y (B, N, D)."""
    # Cutting first is faster: a stride that is a power of two lets cache lines collide.
    x = torch.fft.irfft(spectrum, n=size)[..., : y.shape[1]].contiguous()
    y.copy_(x.transpose(1, 2))


def fft_size(length: int) -> int:
    """Returns the smallest 2^a 3^b 5^c with a > 0 that is at least `length`."""
    sizes = (
        2 * fives * threes << max(0, (-(-length // (2 * fives * threes)) - 1).bit_length())
        for fives in (1, 5, 25)
        for threes in (1, 3, 9)
    )
    return min(sizes)


def sum_of_powers(weight: Tensor, log_ratio: Tensor, length: int) -> Tensor:
    """Returns the real part of sum_s weight_s exp(log_ratio_s l) for l < length: (.., D, length).

    weight (.., D, S) and log_ratio (D, S) or (.., D, S) are real or complex. With l = a c + b,
    exp(r l) = exp(r a c) exp(r b). Each row is therefore a product of two small matrices, and no
    (D, S, length) tensor of exponentials is built.
    """
    c = 1 << (length.bit_length() // 2)
    coarse = torch.arange(-(-length // c), device=weight.device) * c
    fine = torch.arange(c, device=weight.device)
    left, right = powers(log_ratio, coarse), powers(log_ratio, fine)  # (.., D, S, rows or c)
    if weight.is_complex():  # the real part of a complex product, as one real product
        (cos, sin), re, im = left, weight.real[..., None], weight.imag[..., None]
        left = torch.cat([re * cos - im * sin, -(re * sin + im * cos)], dim=-2)
        right = torch.cat(right, dim=-2)
    else:
        left = weight[..., None] * left
    return (left.transpose(-1, -2) @ right).flatten(-2)[..., :length]


def powers(log_ratio: Tensor, exponents: Tensor):
    """Returns exp(log_ratio_s e) for all exponents e, (.., S, E); its real and its imaginary part
    if log_ratio is complex, because torch's exponential of complex numbers is slow on CPU."""
    if not log_ratio.is_complex():
        return torch.exp(log_ratio[..., None] * exponents)
    size, angle = torch.exp(log_ratio.real[..., None] * exponents), log_ratio.imag[..., None]
    return size * torch.cos(angle * exponents), size * torch.sin(angle * exponents)
