import pytest
import torch

from models.linformer import LinformerAttention
from tests.models.agree import assert_mixes_as
from tests.oracles.attention import linformer, softmax_attention

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"features": 16}


def attention(share="key_value", features=5):
    return LinformerAttention(8, n_heads=2, seq_len=23, features=features, share=share)


def by_head(module, attend):
    """Puts attend(q, k, v, h) of each head between the module's projections: (n, 8) -> (n, 8)."""

    def oracle(x):
        q, k, v = (y.split(4, dim=1) for y in module.qkv(x).split(8, dim=1))
        return module.out(torch.cat([attend(q[h], k[h], v[h], h) for h in (0, 1)], dim=1))

    return oracle


@pytest.mark.proof("definition")
@pytest.mark.parametrize(
    "share, shape", [("key_value", (1, 1)), ("heads", (2, 1)), ("none", (2, 2))]
)
def test_agrees_with_the_definition(share, shape):
    module = attention(share)
    assert module.projection.shape == (*shape, 5, 24)
    with torch.no_grad():  # biases take a separate path
        module.qkv.bias.normal_()

    def attend(q, k, v, h):
        e, f = (p[h % shape[1], :, : len(q)] for p in (module.projection[0], module.projection[-1]))
        return linformer(q, k, v, e, f)

    assert_mixes_as(module, by_head(module, attend))


@pytest.mark.proof("limit")
def test_the_identity_as_projection_is_softmax_attention():
    module = attention(features=23)
    module.projection.data[0, 0] = torch.eye(23, 24)
    module.projection.requires_grad_(False)
    attend = by_head(module, lambda q, k, v, h: softmax_attention(q, k, v))
    x, mask = torch.randn(2, 23, 8).double(), torch.ones(2, 23, dtype=torch.bool)
    torch.testing.assert_close(module.double()(x, mask), torch.stack([attend(row) for row in x]))


def test_features_are_cut_to_the_length():
    assert attention(features=256).projection.shape[2] == 23


def test_an_unknown_way_to_share_is_an_error():
    with pytest.raises(ValueError, match="share=layers"):
        attention("layers")
