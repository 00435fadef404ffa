import pytest
import torch

from models.skyformer import SkyformerAttention
from tests.models.agree import assert_attends_as
from tests.oracles.attention import kernelized, skyformer

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"landmarks": 16}

WITHOUT = {
    "public": "the authors' code is not a package, and no package has it",
}


def attention(landmarks, gamma, iterations=40):
    return SkyformerAttention(
        8, n_heads=2, seq_len=23, landmarks=landmarks, gamma=gamma, iterations=iterations
    )


@pytest.mark.proof("definition")
@pytest.mark.parametrize("landmarks", [2, 8])
def test_agrees_with_the_definition_once_the_inverse_converged(landmarks):
    module = attention(landmarks, gamma=0.1)

    def oracle(q, k, v):
        n = len(q)
        chosen = []
        for x, draw in zip((q, k), module.draw, strict=True):
            best = sorted(range(n), key=lambda i: -draw[i])[: landmarks // 2]
            chosen += [x[i] for i in best]
        return skyformer(q, k, v, torch.stack(chosen), gamma=0.1)

    assert_attends_as(module, oracle, atol=1e-7)


def test_six_iterations_are_six_iterations():
    """Compares the default, which stops short of the inverse, with the iteration written out."""

    def inverse(m):
        half = torch.diag(m.sum(1) ** -0.5)
        a, one = half @ m @ half, torch.eye(len(m), dtype=m.dtype)
        z = a.T / (a.sum(0).max() * a.sum(1).max())
        for _ in range(6):
            z = z @ (13 * one - a @ z @ (15 * one - a @ z @ (7 * one - a @ z))) / 4
        return half @ z @ half

    def oracle(q, k, v):
        draws = zip((q, k), module.draw, strict=True)
        w = torch.cat([x[draw[: len(x)].topk(4).indices] for x, draw in draws])
        return skyformer(q, k, v, w, gamma=0.1, inverse=inverse)

    module = attention(8, gamma=0.1, iterations=6)
    assert_attends_as(module, oracle, lengths=(23, 9, 4))


@pytest.mark.proof("limit")
def test_every_token_a_landmark_is_kernelized_attention():
    module = attention(46, gamma=1e-9, iterations=100)
    assert_attends_as(module, kernelized, atol=1e-4, lengths=(9, 5, 1))


def test_training_draws_landmarks_anew_and_evaluation_does_not():
    module = attention(4, gamma=0.1)
    x, mask = torch.randn(1, 23, 8), torch.ones(1, 23, dtype=torch.bool)
    assert not torch.equal(module(x, mask), module(x, mask))
    module.eval()
    assert torch.equal(module(x, mask), module(x, mask))


def test_an_odd_number_of_landmarks_is_an_error():
    with pytest.raises(ValueError, match="landmarks=5"):
        attention(5, gamma=0.1)
