"""Convolutions as long as the sequence, for the models that compute one: S4D, LRU and Mega."""

import torch
from torch import Tensor


def long_convolution(x: Tensor, after: Tensor, before: Tensor) -> Tensor:
    """Convolves x (B, N, D) with two kernels (D, N) -> (B, N, D), computed in float32 or wider:

    y_n = sum_{l >= 0} after_l x_{n - l} + sum_{l >= 0} before_l x_{n + l}
    """
    dtype, N = x.dtype, x.shape[1]
    x = x.to(torch.promote_types(dtype, torch.float32))  # on CPU torch has no FFT in half
    size = fft_size(2 * N - 1)
    kernel = torch.fft.rfft(after, n=size) + torch.fft.rfft(before, n=size).conj()
    y = torch.fft.irfft(torch.fft.rfft(x.transpose(1, 2), n=size) * kernel, n=size)
    return y[..., :N].transpose(1, 2).to(dtype)


def fft_size(length: int) -> int:
    """Returns the smallest 2^a or 3 * 2^a that is at least `length`."""
    power = 1 << (length - 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= length else power


def sum_of_powers(weight: Tensor, log_ratio: Tensor, length: int) -> Tensor:
    """Returns the real part of sum_s weight_s exp(log_ratio_s l) for l < length: (D, length).

    weight and log_ratio are real or complex, (D, S). With l = a c + b, exp(r l) = exp(r a c)
    exp(r b). Each row is therefore a product of two small matrices, and no (D, S, length) tensor of
    exponentials is built.
    """
    c = 1 << (length.bit_length() // 2)
    rows = -(-length // c)
    coarse = torch.arange(rows, device=weight.device) * c
    fine = torch.arange(c, device=weight.device)
    left = weight[..., None] * torch.exp(log_ratio[..., None] * coarse)  # (D, S, rows)
    right = torch.exp(log_ratio[..., None] * fine)  # (D, S, c)
    if weight.is_complex():  # the real part of a complex product, as one real product
        left = torch.cat([left.real, -left.imag], dim=1)
        right = torch.cat([right.real, right.imag], dim=1)
    return (left.transpose(1, 2) @ right).flatten(1)[:, :length]
