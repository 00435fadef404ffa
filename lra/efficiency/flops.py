"""Floating-point operations of a step, and the rate at which this process multiplies matrices.

Matrix products, attention kernels and Fourier transforms count (5 n log2 n for a complex transform
of length n, half as much for a real one); elementwise work does not. A multiply-add is two
operations. A fused attention's backward pass counts as the four products that it has to compute,
although the kernel computes the weights again.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    register_flop_formula,
    sdpa_flop_count,
)

from models.fourier import by_product

aten = torch.ops.aten


# torch's counter knows the fused kernels of GPUs, but neither the CPU's kernel nor the FFTs.
@register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu)
def _attention(q, k, v, *_, **__) -> int:
    return sdpa_flop_count(q, k, v)


@register_flop_formula(aten._scaled_dot_product_flash_attention_for_cpu_backward)
def _attention_backward(gradient, q, k, v, *_, **__) -> int:
    return 2 * sdpa_flop_count(q, k, v)


def _fft(shape, dims, share: float) -> int:
    n = math.prod(shape[d] for d in dims)
    return round(share * 5 * math.prod(shape) * math.log2(max(n, 2)))


@register_flop_formula(aten._fft_c2c)
def _complex_fft(shape, dims, *_, **__) -> int:
    return _fft(shape, dims, 1.0)


@register_flop_formula(aten._fft_r2c)
def _real_fft(shape, dims, *_, **__) -> int:
    return _fft(shape, dims, 0.5)


@register_flop_formula(aten._fft_c2r)
def _real_fft_back(shape, dims, *_, out_shape=None, **__) -> int:
    return _fft(out_shape, dims, 0.5)


@register_flop_formula(torch.ops.lra.resample)
def _filter(shape, length, *_, **__) -> int:
    """Counts the filter as it is computed: two products of half the size, or a Fourier transform
    each way."""
    B, N, D = shape
    if by_product(N, length, D):
        return B * N * length * D
    return _fft((B * D, N), [1], 0.5) + _fft((B * D, length), [1], 0.5)


@dataclass
class Count:
    flops: int
    attention: list[str]  # the attention kernels that ran, by torch's names


def count(step: Callable[[], object]) -> Count:
    with FlopCounterMode(display=False) as counter:
        step()
    kernels = {str(op) for op in counter.get_flop_counts().get("Global", {})}
    attention = sorted(name for name in kernels if "attention" in name and "backward" not in name)
    return Count(counter.get_total_flops(), attention)


def matmul_rate(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Returns the FLOP/s of a large matrix product, the best of 30."""
    size = 1024 if torch.device(device).type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(30):
        _synchronise(a)
        start = time.perf_counter()
        a @ b
        _synchronise(a)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _synchronise(tensor: torch.Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
