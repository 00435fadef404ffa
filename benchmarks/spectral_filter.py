"""python -m benchmarks.spectral_filter

Compares spectral_filter, forward and backward, with the same map computed as in the released code:
even-odd reorder, a full complex FFT, cosines built at every call, truncation, a complex inverse FFT
at the short length, with transposes around both. The two alternate; a time is the median of the
rounds.
"""

import math
import statistics
import sys
import time

import torch
from torch import Tensor

from benchmarks import settings
from lra.cli import Key, number, run
from lra.machine import cores
from models.fourier import spectral_filter

KEYS = {"rounds": Key("15", "of which the median counts")}
SIZES = [
    ((8, 2048, 512), 410),
    ((32, 1024, 64), 205),
    ((32, 2000, 64), 400),
    ((16, 4096, 64), 820),
    ((8, 4096, 256), 820),
    ((4, 16384, 128), 1639),
]


def _angles(N: int, x: Tensor) -> tuple[Tensor, Tensor]:
    angle = -torch.arange(N, dtype=x.dtype, device=x.device) * math.pi / (2 * N)
    return torch.cos(angle), torch.sin(angle)


def full_dct(x: Tensor) -> Tensor:
    """Returns the orthonormal DCT-II over the last axis, by a complex FFT of the full length."""
    N = x.shape[-1]
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1))
    cosine, sine = _angles(N, x)
    c = 2 * (spectrum.real * cosine - spectrum.imag * sine)
    return torch.cat([c[..., :1] / math.sqrt(4 * N), c[..., 1:] / math.sqrt(2 * N)], dim=-1)


def full_idct(c: Tensor) -> Tensor:
    """Returns the inverse DCT, by a complex inverse FFT."""
    N = c.shape[-1]
    c = torch.cat([c[..., :1] * math.sqrt(4 * N), c[..., 1:] * math.sqrt(2 * N)], dim=-1) / 2
    mirrored = torch.cat([c[..., :1] * 0, -c.flip(-1)[..., :-1]], dim=-1)
    cosine, sine = _angles(N, c)
    real, imaginary = c * cosine + mirrored * sine, mirrored * cosine - c * sine
    v = torch.fft.ifft(torch.complex(real, imaginary)).real
    x = torch.zeros_like(v)
    x[..., ::2] += v[..., : N - N // 2]
    x[..., 1::2] += v.flip(-1)[..., : N // 2]
    return x


def released(x: Tensor, keep: int) -> Tensor:
    low = full_dct(x.transpose(1, 2))[..., :keep].transpose(1, 2)
    return full_idct(low.transpose(1, 2)).transpose(1, 2)


def main() -> None:
    rounds = number(settings(KEYS), "rounds")
    torch.set_num_threads(cores())
    print(f"{cores()} threads, forward + backward, median of {rounds}, alternating")
    for shape, keep in SIZES:
        x = torch.randn(shape, requires_grad=True)
        gradient = torch.randn(shape[0], keep, shape[2])
        seconds = {released: [], spectral_filter: []}
        difference = (released(x, keep) - spectral_filter(x, keep)).abs().max().item()
        for _ in range(rounds + 2):
            for way, times in seconds.items():
                x.grad = None
                start = time.perf_counter()
                way(x, keep).backward(gradient)
                times.append(time.perf_counter() - start)
        theirs, ours = (statistics.median(times[2:]) for times in seconds.values())
        print(
            f"B, N, D = {shape}, keep {keep}: released {1000 * theirs:.0f} ms, ours "
            f"{1000 * ours:.0f} ms, {theirs / ours:.1f} times faster, difference {difference:.0e}"
        )


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
