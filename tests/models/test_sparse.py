import pytest

from models.sparse import SparseAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import attention_to, softmax_attention

WITHOUT = {
    "public": "packages with the fixed pattern need a GPU and Triton",
}


def attention(block, summary):
    return SparseAttention(8, n_heads=2, seq_len=23, block=block, summary=summary)


@pytest.mark.proof("definition")
@pytest.mark.parametrize("block, summary", [(5, 1), (5, 2), (6, 6), (None, 2)])
def test_agrees_with_the_definition(block, summary):
    size = block or 5  # the square root of 23, rounded

    def oracle(q, k, v):
        return attention_to(
            lambda i, j: i // size == j // size or j % size >= size - summary, q, k, v
        )

    assert_attends_as(attention(block, summary), oracle)


@pytest.mark.proof("limit")
@pytest.mark.parametrize("block, summary", [(23, 3), (5, 5)])
def test_one_block_or_all_positions_in_the_summary_is_softmax_attention(block, summary):
    assert_attends_as(attention(block, summary), softmax_attention)


@pytest.mark.parametrize("summary", [0, 6])
def test_a_summary_longer_than_the_block_is_an_error(summary):
    with pytest.raises(ValueError, match=f"summary={summary}"):
        attention(5, summary)
