import pytest
import torch

from models.reformer import LSHAttention
from tests.models.agree import assert_mixes_as
from tests.oracles.attention import reformer

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"chunk": 16}


def mixer(chunk, hashes):
    return LSHAttention(8, n_heads=2, seq_len=23, chunk=chunk, hashes=hashes)


def oracle(module, chunk):
    def mix(x):
        qk = x @ module.qk.weight.T + module.qk.bias
        v = x @ module.value.weight.T + module.value.bias
        heads = [
            reformer(qk[:, 4 * h : 4 * h + 4], v[:, 4 * h : 4 * h + 4], module.rotations[h], chunk)
            for h in (0, 1)
        ]
        return torch.cat(heads, dim=1) @ module.out.weight.T + module.out.bias

    return mix


@pytest.mark.proof("definition")
@pytest.mark.parametrize("chunk, hashes", [(4, 1), (4, 2), (7, 3)])
def test_agrees_with_the_definition(chunk, hashes):
    module = mixer(chunk, hashes)
    # a sequence of one token is left out: the definition divides exp(-1e5) by itself
    assert_mixes_as(module, oracle(module, chunk), lengths=(23, 14, 8, 5))


@pytest.mark.proof("limit")
def test_one_chunk_is_softmax_attention_of_shared_queries_and_keys():
    module = mixer(64, 1)

    def mix(x):
        qk = x @ module.qk.weight.T + module.qk.bias
        v = x @ module.value.weight.T + module.value.bias
        heads = []
        for h in (0, 1):
            q = qk[:, 4 * h : 4 * h + 4]
            scores = q @ (q / q.norm(dim=1, keepdim=True)).T
            scores = scores.masked_fill(torch.eye(len(x), dtype=torch.bool), -1e5)
            heads.append(scores.softmax(1) @ v[:, 4 * h : 4 * h + 4])
        return torch.cat(heads, dim=1) @ module.out.weight.T + module.out.bias

    assert_mixes_as(module, mix)


def test_training_hashes_anew_and_evaluation_does_not():
    module = mixer(4, 1)
    x, mask = torch.randn(1, 23, 8), torch.ones(1, 23, dtype=torch.bool)
    assert not torch.equal(module(x, mask), module(x, mask))
    module.eval()
    assert torch.equal(module(x, mask), module(x, mask))
