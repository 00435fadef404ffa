"""The counted operations equal counts by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from lra.efficiency.flops import count
from models.bart import Bart
from models.fourier import by_product, spectral_filter
from models.fourier_bart import FourierBart


def test_a_product_is_two_operations_for_each_multiply_add():
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert count(lambda: a @ b).flops == 2 * 3 * 5 * 7


def test_fused_attention_is_two_products_forward_and_four_backward():
    q, k, v = (torch.randn(2, 3, 16, 8, requires_grad=True) for _ in range(3))
    product = 2 * (2 * 3) * 16 * 16 * 8
    found = count(lambda: F.scaled_dot_product_attention(q, k, v))
    assert found.flops == 2 * product
    assert found.attention == ["aten._scaled_dot_product_flash_attention_for_cpu"]
    both = count(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())
    assert both.flops == 6 * product


def test_the_explicit_form_counts_the_same():
    q, k, v = (torch.randn(2, 3, 16, 8, requires_grad=True) for _ in range(3))
    explicit = count(lambda: ((q @ k.transpose(-1, -2)).softmax(-1) @ v).sum().backward())
    fused = count(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())
    assert explicit.flops == fused.flops
    assert explicit.attention == []


def test_a_real_fourier_transform_is_half_a_complex_one():
    x = torch.randn(4, 64)
    complex_one = 4 * 5 * 64 * math.log2(64)
    assert count(lambda: torch.fft.fft(x.to(torch.complex64))).flops == complex_one
    assert count(lambda: torch.fft.rfft(x)).flops == complex_one / 2
    assert count(lambda: torch.fft.irfft(torch.fft.rfft(x), n=64)).flops == complex_one


def test_the_filter_is_counted_as_it_is_computed():
    x = torch.randn(2, 100, 8)
    assert by_product(100, 20, 8)
    assert count(lambda: spectral_filter(x, 20)).flops == 2 * 100 * 20 * 8
    x = torch.randn(2, 4096, 8)
    assert not by_product(4096, 820, 8)
    each = [2 * 8 * 5 * n * math.log2(n) / 2 for n in (4096, 820)]
    assert abs(count(lambda: spectral_filter(x, 820)).flops - sum(each)) < 2


@pytest.mark.parametrize("keep_ratio", [None, 0.5, 0.2])
def test_bart_s_encoder_takes_what_the_formula_says(keep_ratio):
    """24 L d^2 + 4 L^2 d a layer and example: four projections and a feed-forward layer of 4 d, and
    the two products of attention."""
    d, N, layers, filtered_at = 256, 512, 6, 2
    sizes = {"vocab_size": 50, "seq_len": N, "max_positions": N, "d_model": d, "d_ff": 4 * d}
    sizes |= {"n_layers": layers, "n_heads": 4, "dropout": 0.0, "attention_dropout": 0.0}
    if keep_ratio is None:
        net = Bart(init=None, **sizes)
    else:
        filter_ = {"keep_ratio": keep_ratio, "filter_layers": [filtered_at]}
        net = FourierBart(init=None, **sizes, **filter_, restore="none", padding="own")
    ids, lengths = torch.randint(4, 50, (2, N)), torch.tensor([N, N])
    counted = count(lambda: net.eval().encode(ids, lengths)).flops

    def layer(L: int) -> int:
        return 24 * L * d**2 + 4 * L**2 * d

    M = N if keep_ratio is None else math.ceil(N * keep_ratio)
    expected = 2 * (filtered_at * layer(N) + (layers - filtered_at) * layer(M))
    assert counted == pytest.approx(expected, rel=0.02)
