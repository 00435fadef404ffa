import pytest

from models.local import LocalAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import attention_to, softmax_attention

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"window": 16}


@pytest.mark.proof("definition")
@pytest.mark.parametrize("window", [1, 4, 7])
def test_agrees_with_the_definition(window):
    def oracle(q, k, v):
        return attention_to(lambda i, j: i // window == j // window, q, k, v)

    assert_attends_as(LocalAttention(8, n_heads=2, window=window), oracle)


@pytest.mark.proof("limit")
@pytest.mark.parametrize("window", [23, 1000])
def test_a_window_as_long_as_the_sequence_is_softmax_attention(window):
    assert_attends_as(LocalAttention(8, n_heads=2, window=window), softmax_attention)


def test_no_window_is_an_error():
    with pytest.raises(ValueError, match="window=0"):
        LocalAttention(8, n_heads=2, window=0)
