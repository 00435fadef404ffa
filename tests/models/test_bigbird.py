import pytest
import torch

from models.bigbird import BigBirdAttention
from tests.models.agree import assert_attends_as, heads
from tests.oracles.attention import bigbird, each_head, softmax_attention

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"block": 8, "random_blocks": 2}


def attention(block, random_blocks):
    return BigBirdAttention(8, n_heads=2, seq_len=40, block=block, random_blocks=random_blocks)


@pytest.mark.proof("definition")
@pytest.mark.parametrize("block, random_blocks", [(3, 0), (3, 1), (3, 2), (5, 1), (4, 3)])
def test_agrees_with_the_definition(block, random_blocks):
    module = attention(block, random_blocks)
    module.draw[1] = module.draw[0]  # the oracle runs head by head

    def oracle(q, k, v):
        return bigbird(q, k, v, block, random_blocks, module.draw[0])

    assert_attends_as(module, oracle, N=40, lengths=(40, 38, 17, 9, 1))


def test_heads_have_random_blocks_of_their_own():
    module = attention(3, 2).double()
    q, k, v, mask = heads(N=40, lengths=(40,))
    ours = module.attend(q, k, v, mask)
    for h in (0, 1):
        one = [x[:, h : h + 1] for x in (q, k, v)]
        theirs = each_head(lambda q, k, v, h=h: bigbird(q, k, v, 3, 2, module.draw[h]), *one, mask)
        torch.testing.assert_close(ours[:, h : h + 1], theirs)
    assert not torch.equal(module.draw[0], module.draw[1])


@pytest.mark.proof("limit")
@pytest.mark.parametrize("block, random_blocks", [(3, 14), (64, 0)])
def test_all_blocks_seen_is_softmax_attention(block, random_blocks):
    assert_attends_as(attention(block, random_blocks), softmax_attention, N=40, lengths=(40, 21))
