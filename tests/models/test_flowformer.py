import pytest

from models.flowformer import FlowAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import flow_attention

WITHOUT = {
    "limit": "its own competition of values; nothing it could be equal to",
    "public": "no package has it",
}


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    assert_attends_as(FlowAttention(8, n_heads=2), flow_attention)
