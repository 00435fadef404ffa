import pytest
import torch

from models.performer import PerformerAttention, orthogonal_features
from tests.models.agree import assert_attends_as, heads
from tests.oracles.attention import each_head, performer, softmax_attention

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"features": 32}


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    module = PerformerAttention(8, n_heads=2, features=7)
    module.eps = 0.0

    def oracle(q, k, v):
        return performer(q, k, v, module.features)

    assert_attends_as(module, oracle, atol=1e-7)


def test_the_eps_of_the_authors_changes_little():
    q, k, v, mask = heads()
    module = PerformerAttention(8, n_heads=2, features=64).double()
    theirs = each_head(lambda q, k, v: performer(q, k, v, module.features), q, k, v, mask)
    ours = module.attend(q, k, v, mask) * mask[:, None, :, None]
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0)


@pytest.mark.proof("limit")
def test_more_features_come_closer_to_softmax_attention():
    q, k, v, mask = heads()
    q, k = q * 0.5, k * 0.5
    expected = each_head(softmax_attention, q, k, v, mask)
    errors = []
    for features in (16, 256, 16384):
        torch.manual_seed(0)
        module = PerformerAttention(8, n_heads=2, features=features).double()
        ours = module.attend(q, k, v, mask) * mask[:, None, :, None]
        errors.append((ours - expected).abs().mean().item())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.01


def test_features_are_orthogonal_and_as_long_as_gaussian_ones():
    torch.manual_seed(0)
    w = orthogonal_features(4096, 8)
    for group in w[:32].split(8):
        gram = group @ group.T
        torch.testing.assert_close(gram, gram.diag().diag(), atol=1e-4, rtol=0)
    assert abs(w.square().sum(1).mean() - 8) < 0.3  # the mean of a chi-square of 8
    assert w.mean().abs() < 0.02
