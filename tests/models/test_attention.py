import pytest
import torch

from models.attention import ExplicitAttention, SoftmaxAttention
from tests.models.agree import assert_attends_as, assert_same, heads, sequences
from tests.oracles.attention import softmax_attention

WITHOUT = {
    "limit": "it is the exact form",
}


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    assert_attends_as(SoftmaxAttention(8, n_heads=2), softmax_attention)


def test_the_explicit_form_agrees_too():
    assert_attends_as(ExplicitAttention(8, n_heads=2), softmax_attention)


def test_the_masked_kernel_agrees_with_attending_at_each_length():
    q, k, v, mask = heads()
    attention = SoftmaxAttention(8, n_heads=2)
    compiled = torch.compile(attention.attend, fullgraph=True, backend="eager")
    real = mask[:, None, :, None]
    expected = attention.attend(q, k, v, mask) * real
    torch.testing.assert_close(compiled(q, k, v, mask) * real, expected)


def test_the_first_position_alone_is_the_first_of_all():
    attention = SoftmaxAttention(8, n_heads=2, d_qkv=4).double()
    x, mask = sequences()
    first = attention(x, mask)[:, :1]
    attention.only_first = True
    assert_same(attention(x, mask), first, [x, *attention.parameters()])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="n_heads"):
        SoftmaxAttention(10, n_heads=3)
