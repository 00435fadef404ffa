import pytest
import torch

from models import convolution
from models.convolution import fft_size, long_convolution, sum_of_powers
from tests.models.agree import assert_same


@pytest.mark.parametrize("N", [1, 2, 7, 16, 33])
def test_a_long_convolution_is_the_sum_it_says(N):
    torch.manual_seed(0)
    x = torch.randn(2, N, 3, dtype=torch.float64, requires_grad=True)
    after, before = (torch.randn(3, N, dtype=torch.float64, requires_grad=True) for _ in range(2))
    rows = []
    for n in range(N):
        y = sum(after[:, i] * x[:, n - i] for i in range(n + 1))
        rows.append(y + sum(before[:, i] * x[:, n + i] for i in range(N - n)))
    assert_same(long_convolution(x, after, before), torch.stack(rows, dim=1), [x, after, before])


def test_a_few_examples_at_a_time_are_the_same(monkeypatch):
    torch.manual_seed(0)
    N = 2**15  # one example fills the cache
    x = torch.randn(3, N, 8, requires_grad=True)
    after, before = (torch.randn(8, N) / N for _ in range(2))
    together = []
    for way in (lambda x: True, lambda x: False):
        monkeypatch.setattr(convolution, "on_cpu", way)
        y = long_convolution(x, after, before)
        together.append((y, *torch.autograd.grad(y.sin().sum(), x)))
    for a, b in zip(*together, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("length", [1, 2, 5, 16, 33, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_a_sum_of_powers_is_the_sum_it_says(length, dtype):
    torch.manual_seed(0)
    weight = torch.randn(3, 4, dtype=dtype, requires_grad=True)
    log_ratio = (-torch.rand(3, 4) * 0.3).to(dtype)
    if dtype.is_complex:
        log_ratio = log_ratio + 1j * torch.randn(3, 4)
    log_ratio = log_ratio.clone().requires_grad_()
    rows = [(weight * torch.exp(log_ratio * n)).sum(1).real for n in range(length)]
    ours, theirs = sum_of_powers(weight, log_ratio, length), torch.stack(rows, dim=1)
    torch.testing.assert_close(ours, theirs)
    pairs = [torch.autograd.grad(y.square().sum(), [weight, log_ratio]) for y in (ours, theirs)]
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b)


def test_fft_sizes_are_enough_and_not_much_more():
    sizes = [fft_size(n) for n in range(1, 3000)]
    assert all(n <= size <= 1.2 * n + 2 for n, size in enumerate(sizes, 1))
    assert {1024, 1440, 1536, 2048, 2304, 3072} <= set(sizes)
    assert all(size % 2 == 0 for size in sizes)  # which irfft needs to know
