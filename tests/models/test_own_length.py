import pytest
import torch

from models.fourier import spectral_filter
from models.own_length import lengths_of, real, short, shorten, stretch


@pytest.mark.parametrize("lengths", [[30, 30, 30], [30, 17, 1]], ids=["equal", "other"])
def test_each_example_is_filtered_alone(lengths):
    torch.manual_seed(0)
    x, n = torch.randn(3, 30, 4, dtype=torch.float64), torch.tensor(lengths)
    y, kept = shorten(x, n, 0.4)
    assert y.shape == (3, int(kept.max()), 4)
    for i, length in enumerate(lengths):
        m = int(kept[i])
        assert torch.allclose(y[i, :m], spectral_filter(x[i : i + 1, :length], m)[0])
        assert not y[i, m:].any()


def test_lengths_after_the_filter_are_rounded_up_and_never_zero():
    assert short(torch.tensor([1, 5, 6, 10]), 0.2).tolist() == [1, 1, 2, 2]


def test_nearest_repeats_positions_within_an_example():
    x = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [9.0]]])
    y = stretch(x, torch.tensor([3, 2]), torch.tensor([6, 5]), 7)
    assert y[..., 0].tolist() == [[1, 1, 2, 2, 3, 3, 0], [4, 4, 4, 5, 5, 0, 0]]


def test_the_gradient_of_one_example_touches_no_other():
    x = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    y, _ = shorten(x, torch.tensor([8, 5]), 0.5)
    y[1].sum().backward()
    assert not x.grad[0].any()
    assert not x.grad[1, 5:].any()
    assert x.grad[1, :5].any()


def test_gradients():
    x = torch.randn(2, 7, 2, dtype=torch.float64, requires_grad=True)
    n = torch.tensor([7, 4])
    assert torch.autograd.gradcheck(lambda x: shorten(x, n, 0.5)[0], x)
    assert torch.autograd.gradcheck(lambda x: stretch(x, n, torch.tensor([9, 6]), 10), x)


def test_a_missing_mask_means_that_all_is_real():
    assert lengths_of(None, torch.zeros(2, 5, 1)).tolist() == [5, 5]
    assert lengths_of(real(torch.tensor([2, 5]), 5), torch.zeros(2, 5, 1)).tolist() == [2, 5]
    with pytest.raises(ValueError, match="must come first"):
        lengths_of(torch.tensor([[1, 0, 1]]), torch.zeros(1, 3, 1))
