import pytest

from models.cosformer import CosformerAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import cosformer

WITHOUT = {
    "limit": "another similarity than the softmax's; nothing it could be equal to",
    "public": "the authors' code is not a package, and no package has it",
}


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    # In narrow heads every feature of a query may be 0, and its output is undefined: wide heads.
    assert_attends_as(CosformerAttention(48, n_heads=2), cosformer, K=24)
