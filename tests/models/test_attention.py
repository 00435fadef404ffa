import pytest
import torch

from models.attention import SoftmaxAttention
from tests.oracles.attention import softmax_attention


def example(dtype=torch.float64):
    torch.manual_seed(0)
    q, k, v = (torch.randn(3, 2, 7, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    return q, k, v, mask


def test_agrees_with_the_definition_at_every_real_token():
    q, k, v, mask = example()
    real = mask[:, None, :, None]
    ours = SoftmaxAttention(8, n_heads=2).attend(q, k, v, mask) * real
    theirs = softmax_attention(q, k, v, mask) * real
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(y.sin().sum(), (q, k, v)) for y in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_the_masked_kernel_agrees_with_attending_at_each_length():
    q, k, v, mask = example()
    attention = SoftmaxAttention(8, n_heads=2)
    compiled = torch.compile(attention.attend, fullgraph=True, backend="eager")
    real = mask[:, None, :, None]
    expected = attention.attend(q, k, v, mask) * real
    torch.testing.assert_close(compiled(q, k, v, mask) * real, expected)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="n_heads"):
        SoftmaxAttention(10, n_heads=3)
