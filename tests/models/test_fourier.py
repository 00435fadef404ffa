import math

import numpy as np
import pytest
import scipy.fft
import torch

from models import classifier, fourier
from models.fourier import kept, spectral_filter
from tests.conftest import compose_net
from tests.oracles import fourier as oracle

WITHOUT = {
    "public": "the authors' code is not a package, and no package has it",
}

LENGTHS = [1, 2, 3, 4, 5, 7, 8, 13, 31, 64, 97, 100, 255]
WAYS = [spectral_filter, fourier._resample_by_product, fourier._resample_by_fft]


def keeps(N):
    return sorted({1, 2, 3, math.ceil(N / 5), N // 2, N // 2 + 1, N - 1, N} & set(range(1, N + 1)))


def by_scipy(x: torch.Tensor, keep: int) -> np.ndarray:
    spectrum = scipy.fft.dct(x.detach().double().numpy(), axis=1, norm="ortho")
    return scipy.fft.idct(spectrum[:, :keep], axis=1, norm="ortho")


@pytest.mark.proof("definition")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("N", LENGTHS)
def test_agrees_with_scipy(way, dtype, tolerance, N):
    x = torch.randn(2, N, 3, dtype=dtype, generator=torch.Generator().manual_seed(N))
    for keep in keeps(N):
        np.testing.assert_allclose(way(x, keep), by_scipy(x, keep), atol=tolerance, rtol=0)


@pytest.mark.parametrize("shape, keep", [((2, 2000, 64), 400), ((1, 4096, 64), 820)])
def test_agrees_with_scipy_at_the_sizes_of_the_tasks(shape, keep):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(spectral_filter(x, keep), by_scipy(x, keep), atol=1e-5, rtol=0)


@pytest.mark.parametrize("N, keep", [(1, 1), (6, 2), (7, 3), (8, 8), (11, 6)])
def test_gradient_is_the_derivative(N, keep):
    x = torch.randn(2, N, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: spectral_filter(x, keep), x)


@pytest.mark.parametrize("way", WAYS[1:])
def test_resampling_back_is_the_adjoint(way):
    for N in LENGTHS:
        for keep in keeps(N):
            x, y = (torch.randn(1, n, 2, dtype=torch.float64) for n in (N, keep))
            assert torch.isclose((way(x, keep) * y).sum(), (x * way(y, N)).sum(), atol=1e-10)


@pytest.mark.proof("limit")
def test_keeping_everything_changes_nothing():
    x = torch.randn(2, 30, 4)
    torch.testing.assert_close(spectral_filter(x, 30), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("keep", [0, -1, 11])
def test_keeping_none_or_more_than_there_is_an_error(keep):
    with pytest.raises(ValueError, match="cannot keep"):
        spectral_filter(torch.randn(1, 10, 1), keep)


def test_is_float32_inside_bf16_autocast():
    x = torch.randn(2, 500, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = spectral_filter(x, 100)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, spectral_filter(x, 100), atol=0, rtol=0)
    half = spectral_filter(x.bfloat16(), 100)
    assert half.dtype == torch.bfloat16
    expected = spectral_filter(x.bfloat16().float(), 100)
    torch.testing.assert_close(half.float(), expected, atol=0.02, rtol=0.01)


# by products and by FFTs: just below and above the threshold, and far from it
SIZES = [
    (100, 20, 4),
    (512, 128, 4),
    (512, 129, 4),
    (2048, 512, 64),
    (2048, 513, 64),
    (4000, 800, 8),
]


def test_the_sizes_lie_on_both_sides_of_the_threshold():
    assert [fourier.by_product(*size) for size in SIZES] == [True, True, False, True, False, False]


@pytest.mark.parametrize("N, keep, D", SIZES)
def test_runs_under_torch_compile_without_graph_breaks(N, keep, D):
    def loss(x):
        y = spectral_filter(x.sin(), keep)
        return y.square().sum(), y

    x = torch.randn(2, N, D, requires_grad=True)
    value, y = loss(x)
    (expected,) = torch.autograd.grad(value, x)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    value, actual = compiled(x)
    torch.testing.assert_close(actual, y)
    (gradient,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("N, keep, D", SIZES)
def test_is_an_operator_as_torch_wants_it(N, keep, D):
    x = torch.randn(2, D, N).mT.requires_grad_()  # not contiguous
    torch.library.opcheck(fourier.resample, (x, keep))
    torch.library.opcheck(fourier.resample, (x.detach()[:0], keep))


# torch loads its forward-mode formulas by a function of its own that it deprecates
own_warning = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


@own_warning
@pytest.mark.parametrize("N, keep, D", SIZES)
def test_forward_mode_and_function_transforms_agree_with_the_linear_map(N, keep, D):
    x, t = (torch.randn(2, N, D, dtype=torch.float64) for _ in range(2))

    def filtered(x):
        return spectral_filter(x, keep)

    y, tangent = torch.func.jvp(filtered, (x,), (t,))
    torch.testing.assert_close(y, filtered(x))
    torch.testing.assert_close(tangent, filtered(t))
    g = torch.func.grad(lambda x: filtered(x).square().sum())(x)
    torch.testing.assert_close(g, 2 * fourier.resample(y, N))
    each = torch.func.vmap(filtered)(torch.stack([x, t]))
    torch.testing.assert_close(each, torch.stack([y, tangent]))


@own_warning
def test_the_second_derivative_in_both_modes():
    x = torch.randn(1, 6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: spectral_filter(x, 3).pow(3), x)
    assert torch.autograd.gradcheck(
        lambda x: spectral_filter(x, 3), x, check_forward_ad=True, check_batched_grad=True
    )


@pytest.mark.parametrize("N, keep, D", SIZES)
def test_an_empty_batch_stays_empty(N, keep, D):
    x = torch.randn(0, N, D, requires_grad=True)
    y = spectral_filter(x, keep)
    assert y.shape == (0, keep, D)
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_numbers_without_a_real_gradient_are_refused(dtype):
    with pytest.raises(ValueError, match="floating-point"):
        spectral_filter(torch.ones(1, 10, 2, dtype=dtype), 5)


def test_what_the_mask_means_after_the_filter():
    N, M = 60, 12
    lengths = torch.arange(0, N + 1)
    mask = torch.arange(N) < lengths[:, None]
    counts = kept(mask, M).sum(1).tolist()
    assert counts == [max(1, math.ceil(n * M / N)) for n in range(N + 1)]
    assert kept(mask, M)[30].tolist() == [True] * 6 + [False] * 6


def released(**overrides):
    settings = {
        "model": "fourier",
        "model.pooling": "cls",
        "model.block.padding": "keep",
        "model.padding_token": "true",
        "model.n_layers": 3,
    }
    return compose_net(settings | overrides)


@pytest.mark.proof("definition")
def test_computes_what_the_released_code_computes():
    net = released().double().eval()
    for T in (61, 60):  # ceil(T * 0.2) counts CLS: 13 and 12 of 60 and 59 positions
        ids = torch.randint(0, 15, (3, T - 1), generator=torch.Generator().manual_seed(T))
        logits = net(ids[:, None], torch.full((3, 1), T - 1))
        weights = dict(net.named_parameters())
        expected = oracle.encoder(weights, ids, n_layers=3, n_heads=2, keep_ratio=0.2)
        torch.testing.assert_close(logits, expected, atol=1e-10, rtol=0)

        names = [name for name in weights if "positions" not in name]
        ours = torch.autograd.grad(logits.square().sum(), [weights[n] for n in names])
        theirs = torch.autograd.grad(expected.square().sum(), [weights[n] for n in names])
        for name, a, b in zip(names, ours, theirs, strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-8, msg=name)


def test_padding_takes_part_only_where_the_setting_says_so():
    ids = torch.randint(0, 15, (1, 1, 60))
    other = ids.clone()
    other[..., 40:] = 3
    lengths = torch.tensor([[40]])
    for padding, same in (("zero", True), ("keep", False)):
        net = compose_net({"model": "fourier", "model.block.padding": padding}).eval()
        assert torch.equal(net(ids, lengths), net(other, lengths)) is same


@pytest.mark.parametrize("layers, lengths", [([0], [12, 12]), ([0, 1], [12, 3]), ([1], [60, 12])])
def test_any_layers_may_filter(layers, lengths, monkeypatch):
    monkeypatch.setattr(classifier, "on_cpu", lambda x: False)  # the batch in one part
    net = compose_net({"model": "fourier", "model.block.filter_layers": layers})
    seen = []
    for block in net.blocks:
        block.mlp.register_forward_hook(lambda m, i, o: seen.append(o.shape[1]))
    net(torch.randint(0, 15, (2, 1, 60)), torch.tensor([[60], [7]]))
    assert seen == lengths
