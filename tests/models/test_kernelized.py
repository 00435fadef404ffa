import pytest
import torch

from models.kernelized import KernelizedAttention
from tests.models.agree import assert_attends_as, heads
from tests.oracles.attention import kernelized

WITHOUT = {
    "limit": "it is the exact form",
    "public": "the authors' code is not a package, and no package has it",
}


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    assert_attends_as(KernelizedAttention(8, n_heads=2), kernelized)


def test_the_masked_form_agrees_with_attending_at_each_length():
    q, k, v, mask = heads()
    attention = KernelizedAttention(8, n_heads=2)
    compiled = torch.compile(attention.attend, fullgraph=True, backend="eager")
    real = mask[:, None, :, None]
    expected = attention.attend(q, k, v, mask) * real
    torch.testing.assert_close(compiled(q, k, v, mask) * real, expected)


def test_half_precision_does_not_reach_the_exponents():
    """Gives a query equal to a key weight 1, at any length: |q|^2 / sqrt(K) is about 50 here."""
    x = 3 * torch.randn(1, 1, 20, 32)
    mask, eye = torch.ones(1, 20, dtype=torch.bool), torch.eye(20)[None, None]
    attention = KernelizedAttention(32, n_heads=1)
    with torch.autocast("cpu", torch.bfloat16):
        weights = attention.attend(*(t.bfloat16() for t in (x, x, eye)), mask)
    assert weights.dtype == torch.bfloat16
    torch.testing.assert_close(weights.float().diagonal(dim1=-2, dim2=-1), torch.ones(1, 1, 20))
