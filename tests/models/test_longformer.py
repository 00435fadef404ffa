import pytest
import torch

from models.longformer import LongformerAttention
from tests.models.agree import assert_attends_as, assert_mixes_as
from tests.oracles.attention import attention_to, softmax_attention

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"window": 16}


@pytest.mark.proof("definition")
@pytest.mark.parametrize("window", [2, 6, 10])
@pytest.mark.parametrize("tokens", [0, 1, 3])
def test_agrees_with_the_definition(window, tokens):
    def oracle(q, k, v):
        return attention_to(lambda i, j: abs(i - j) <= window // 2 or j < tokens, q, k, v)

    module = LongformerAttention(8, n_heads=2, window=window, global_tokens=tokens)
    assert_attends_as(module, oracle)


@pytest.mark.proof("definition")
def test_global_tokens_see_everything_through_projections_of_their_own():
    module = LongformerAttention(8, n_heads=2, window=4, global_tokens=2)

    def oracle(x):
        def heads(linear):
            q, k, v = (x @ linear.weight.T + linear.bias).chunk(3, dim=1)
            return [[t[:, 4 * h : 4 * h + 4] for t in (q, k, v)] for h in (0, 1)]

        def near(i, j):
            return abs(i - j) <= 2 or j < 2

        rows = [attention_to(near, *head) for head in heads(module.qkv)]
        first = [softmax_attention(*head) for head in heads(module.global_qkv)]
        rows = [torch.cat([f[:2], r[2:]]) for f, r in zip(first, rows, strict=True)]
        return torch.cat(rows, dim=1) @ module.out.weight.T + module.out.bias

    assert_mixes_as(module, oracle)


@pytest.mark.proof("limit")
def test_a_window_over_the_whole_sequence_is_softmax_attention():
    module = LongformerAttention(8, n_heads=2, window=46, global_tokens=0)
    assert_attends_as(module, softmax_attention)


@pytest.mark.parametrize("window", [0, 5])
def test_an_odd_window_is_an_error(window):
    with pytest.raises(ValueError, match=f"window={window}"):
        LongformerAttention(8, n_heads=2, window=window)
