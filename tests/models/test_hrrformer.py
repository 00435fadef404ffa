import pytest

from models.hrrformer import HolographicAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import holographic_attention

WITHOUT = {"limit": "a similarity of its own; nothing it could be equal to"}


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    assert_attends_as(HolographicAttention(8, n_heads=2), holographic_attention)
