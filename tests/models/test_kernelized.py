import pytest
import torch

from models.kernelized import KernelizedAttention
from tests.models.agree import assert_attends_as, heads
from tests.oracles.attention import kernelized


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
