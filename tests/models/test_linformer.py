import pytest
import torch

from models.linformer import LinformerAttention
from tests.models.agree import assert_attends_as, heads
from tests.oracles.attention import each_head, linformer, softmax_attention


def attention(share="key_value", features=5):
    return LinformerAttention(8, n_heads=2, seq_len=23, features=features, share=share)


@pytest.mark.proof("definition")
@pytest.mark.parametrize("share, shape", [("key_value", (1, 1)), ("heads", (2, 1))])
def test_agrees_with_the_definition(share, shape):
    module = attention(share)
    assert module.projection.shape == (*shape, 5, 24)

    def oracle(q, k, v):
        e, f = module.projection[0, 0], module.projection[-1, 0]
        return linformer(q, k, v, e[:, : len(q)], f[:, : len(q)])

    assert_attends_as(module, oracle)


def test_each_head_may_have_its_own_projections():
    module = attention("none").double()
    q, k, v, mask = heads(lengths=(23,))
    ours = module.attend(q, k, v, mask)
    for h in (0, 1):
        one = [x[:, h : h + 1] for x in (q, k, v)]
        e, f = module.projection[0, h, :, :23], module.projection[1, h, :, :23]
        theirs = each_head(lambda q, k, v, e=e, f=f: linformer(q, k, v, e, f), *one, mask)
        torch.testing.assert_close(ours[:, h : h + 1], theirs)


@pytest.mark.proof("limit")
def test_the_identity_as_projection_is_softmax_attention():
    module = attention(features=23)
    module.projection.data[0, 0] = torch.eye(23, 24)
    module.projection.requires_grad_(False)
    assert_attends_as(module, softmax_attention, lengths=(23,))


def test_features_are_cut_to_the_length():
    assert attention(features=256).projection.shape[2] == 23


def test_an_unknown_way_to_share_is_an_error():
    with pytest.raises(ValueError, match="share=layers"):
        attention("layers")
