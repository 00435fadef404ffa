import pytest
import torch

from models.synthesizer import SynthesizerMixer
from tests.models.agree import assert_mixes_as

WITHOUT = {
    "limit": "no products of tokens; nothing it could be equal to",
    "public": "the authors' code is TensorFlow, and no package has it",
}


def mixer(scores, rank=3):
    return SynthesizerMixer(8, n_heads=2, seq_len=23, scores=scores, rank=rank)


def oracle(module, scores):
    """Returns the mixer with scores(h, i, j, x) as synthetic scores."""

    def mix(x):
        n = len(x)
        v = x @ module.value.weight.T + module.value.bias
        heads = []
        for h in (0, 1):
            rows = []
            for i in range(n):
                weights = torch.stack([scores(h, i, j, x) for j in range(n)]).exp()
                rows.append((weights / weights.sum()) @ v[:, 4 * h : 4 * h + 4])
            heads.append(torch.stack(rows))
        return torch.cat(heads, dim=1) @ module.out.weight.T + module.out.bias

    return mix


@pytest.mark.proof("definition")
def test_dense_scores_come_from_each_token_alone():
    module = mixer("dense")

    def scores(h, i, j, x):
        hidden = (x[i] @ module.hidden.weight.T + module.hidden.bias).relu()
        return hidden[4 * h : 4 * h + 4] @ module.keys[h, j]

    assert_mixes_as(module, oracle(module, scores))


@pytest.mark.proof("definition")
def test_random_scores_are_the_parameters():
    module = mixer("random")
    assert_mixes_as(module, oracle(module, lambda h, i, j, x: module.random[h, i, j]))


@pytest.mark.proof("definition")
def test_factorised_scores_are_of_low_rank():
    module = mixer("factorised")
    assert module.queries.shape == (2, 24, 3)
    scores = lambda h, i, j, x: module.queries[h, i] @ module.keys[h, j]  # noqa: E731
    assert_mixes_as(module, oracle(module, scores))


def test_unknown_scores_are_an_error():
    with pytest.raises(ValueError, match="scores=mixture"):
        mixer("mixture")
    with pytest.raises(ValueError, match="rank=None"):
        mixer("factorised", rank=None)
