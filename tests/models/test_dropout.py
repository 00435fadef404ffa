import pytest
import torch

from models.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.003])
def test_drops_the_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    n = 1_000_001  # not a multiple of the four numbers in a random word
    y = Dropout(p)(torch.ones(n))
    sd = (p * (1 - p) / n) ** 0.5
    assert abs((y == 0).double().mean() - p) < 5 * sd + 2**-16
    assert torch.isclose(y.max(), torch.tensor(1 / (1 - p)), rtol=1e-4)
    # neighbours share a random word, and must not share a fate
    pairs = (y[:-1] == 0) & (y[1:] == 0)
    assert abs(pairs.double().mean() - p * p) < 6 * (p * p / n) ** 0.5 + 1e-5


def test_gradient_passes_where_the_value_passed():
    x = torch.ones(1000, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("inplace", [False, True])
def test_in_place_is_the_same(inplace):
    x = torch.randn(999, requires_grad=True)
    torch.manual_seed(1)
    expected = Dropout(0.3)(x)
    torch.manual_seed(1)
    gelu_like = x * 1
    y = Dropout(0.3, inplace=inplace)(gelu_like)
    assert (y.data_ptr() == gelu_like.data_ptr()) is inplace
    assert torch.equal(y, expected)
    for a, b in zip(
        torch.autograd.grad(y.square().sum(), x),
        torch.autograd.grad(expected.square().sum(), x),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_adds_to_a_residual():
    x, residual = (torch.randn(1001, requires_grad=True) for _ in range(2))
    torch.manual_seed(1)
    dropped = Dropout(0.3)(x)
    torch.manual_seed(1)
    y = Dropout(0.3).add(residual, x)
    torch.testing.assert_close(y, residual + dropped)
    y.square().sum().backward()
    torch.testing.assert_close(residual.grad, 2 * y.detach())
    torch.testing.assert_close(
        x.grad, 2 * (y * (dropped != 0) / 0.7).detach(), rtol=1e-4, atol=1e-4
    )
    assert torch.equal(Dropout(0.3).eval().add(residual, x), residual + x)


def test_is_a_function_of_the_seed():
    def draw(seed):
        torch.manual_seed(seed)
        return Dropout(0.5)(torch.ones(100))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_does_nothing_in_evaluation_or_at_zero():
    x = torch.randn(10)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("p", [-0.1, 0.99995, 1.0, float("nan")])
def test_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="dropout"):
        Dropout(p)
