import pytest

from models.informer import ProbSparseAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import informer, softmax_attention

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"features": 16}


# one sampled key measures nothing: its maximum is its mean
@pytest.mark.proof("definition")
@pytest.mark.parametrize("features", [2, 4, 9])
def test_agrees_with_the_definition(features):
    module = ProbSparseAttention(8, n_heads=2, features=features)

    def oracle(q, k, v):
        sample = [int(u * len(q)) for u in module.draw]
        return informer(q, k, v, sample, features)

    assert_attends_as(module, oracle)


@pytest.mark.proof("limit")
def test_all_queries_selected_is_softmax_attention():
    assert_attends_as(ProbSparseAttention(8, n_heads=2, features=23), softmax_attention)
