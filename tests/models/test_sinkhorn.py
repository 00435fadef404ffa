from functools import partial

import pytest
import torch

from models.sinkhorn import SinkhornAttention, sinkhorn
from tests.models.agree import assert_attends_as, assert_mixes_as, heads, sequences
from tests.oracles import attention as oracle

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"block": 16}


def attention(block, **settings):
    return SinkhornAttention(8, n_heads=2, seq_len=23, block=block, **settings)


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    module = attention(5)

    def definition(x):
        n = len(x)
        C = -(-n // 5)
        means = torch.stack([x[5 * c : 5 * c + 5].mean(0) for c in range(C)])
        scores = module.sort(means).view(C, 2, -1)[:, :, :C] / 0.75
        q, k, v = (x @ module.qkv.weight.T + module.qkv.bias).chunk(3, dim=1)
        heads = []
        for h in (0, 1):
            part = slice(4 * h, 4 * h + 4)
            S = oracle.sinkhorn(scores[:, h], 8)
            heads.append(oracle.sinkhorn_attention(q[:, part], k[:, part], v[:, part], 5, S))
        return torch.cat(heads, dim=1) @ module.out.weight.T + module.out.bias

    assert_mixes_as(module, definition)


@pytest.mark.proof("limit")
def test_one_block_is_softmax_attention():
    module = attention(64).double().eval()
    q, k, v, mask = heads()
    S = module.permutation(*sequences())
    assert torch.equal(S, torch.ones_like(S))
    module.attend = partial(module.attend, S=S)
    assert_attends_as(module, oracle.softmax_attention)


def test_the_iteration_converges_to_a_doubly_stochastic_matrix():
    torch.manual_seed(0)
    used = torch.tensor([[[True, True, True, False]]])
    S = sinkhorn(torch.randn(1, 1, 4, 4), used, 50)[0, 0]
    ones = torch.tensor([1.0, 1.0, 1.0, 0.0])
    torch.testing.assert_close(S.sum(0), ones)
    torch.testing.assert_close(S.sum(1), ones)
    assert S[3].sum() == S[:, 3].sum() == 0


def test_noise_only_while_training():
    module = attention(5)
    x, mask = sequences()
    module.double()
    assert not torch.equal(module(x, mask), module(x, mask))
    module.eval()
    assert torch.equal(module(x, mask), module(x, mask))
