import pytest

from models.linear_transformer import LinearAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import linear_attention

WITHOUT = {
    "limit": "another similarity than the softmax's; nothing it could be equal to",
}


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    assert_attends_as(LinearAttention(8, n_heads=2), linear_attention)
