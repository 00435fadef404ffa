"""Tests the settings of the trunk: rotary positions, norms, pooling, tied dropout."""

import math

import pytest
import torch
from hydra.errors import InstantiationException

from models.attention import Projections, SoftmaxAttention, rotated
from models.classifier import last
from models.dropout import Dropout
from tests.conftest import MODELS, compose_net
from tests.models.agree import assert_mixes_as, sequences

B, N = 4, 60
LENGTHS = torch.tensor([[60], [37], [5], [1]])
SETTINGS = {
    "rotary": {"model.positions": "rotary"},
    "batch": {"model.norm": "batch"},
    "batch-post": {"model.norm": "batch", "model.prenorm": False},
    "post": {"model.prenorm": False},
    "rms": {"model.norm": "rms", "model.mlp": False},
    "bare": {"model.mlp": False, "model.positions": "none"},
    "last": {"model.pooling": "last"},
    "cls": {"model.pooling": "cls", "model.norm": "batch", "model.positions": "rotary"},
}


def ids(seed=0):
    return torch.randint(0, 15, (B, 1, N), generator=torch.Generator().manual_seed(seed))


def rotation(x, n):
    """Returns x (K,) turned as at position n, pair by pair."""
    y, half = x.clone(), len(x) // 2
    for j in range(half):
        angle = n / 10000 ** (2 * j / len(x))
        y[j] = x[j] * math.cos(angle) - x[j + half] * math.sin(angle)
        y[j + half] = x[j + half] * math.cos(angle) + x[j] * math.sin(angle)
    return y


def test_rotary_positions_are_their_definition_and_see_distances_alone():
    x = torch.randn(2, 3, 11, 6, dtype=torch.float64)
    turned = rotated(x)
    for n in range(11):
        torch.testing.assert_close(turned[1, 2, n], rotation(x[1, 2, n], n), atol=1e-12, rtol=0)
    q, k = torch.randn(2, 6, dtype=torch.float64)
    scores = [rotation(q, n) @ rotation(k, n + 3) for n in (0, 5, 500)]
    torch.testing.assert_close(scores[0], scores[1], atol=1e-9, rtol=0)
    torch.testing.assert_close(scores[0], scores[2], atol=1e-9, rtol=0)
    with pytest.raises(ValueError, match="even width, not 3"):
        rotated(torch.randn(1, 1, 4, 3))


def test_rotary_attention_agrees_with_its_definition():
    torch.manual_seed(0)
    module = SoftmaxAttention(8, n_heads=2)
    module.rotary = True

    def oracle(x):
        q, k, v = (x @ module.qkv.weight.T + module.qkv.bias).split(8, dim=1)
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            a, b = (torch.stack([rotation(t[n, h], n) for n in range(len(t))]) for t in (q, k))
            heads.append((a @ b.T / 2).softmax(-1) @ v[:, h])
        return module.out(torch.cat(heads, dim=1))

    assert_mixes_as(module, oracle)


@pytest.mark.parametrize(
    "model, mixer", [("s4d", "S4D"), ("linformer", "LinformerAttention"), ("reformer", "LSH")]
)
def test_rotary_positions_need_queries_and_keys(model, mixer):
    with pytest.raises((ValueError, InstantiationException), match=f"{mixer}.* has not"):
        compose_net({"model": model, "model.positions": "rotary"})


def test_rotary_positions_need_heads_of_even_width():
    odd = {"model.d_model": 60, "model.n_heads": 4, "model.positions": "rotary"}
    with pytest.raises((ValueError, InstantiationException), match="even width, not 15"):
        compose_net({"model": "transformer", **odd})


@pytest.mark.parametrize("model", MODELS)
def test_a_model_with_rotary_positions_sees_order(model):
    """Two tokens change places; without positions a sum over tokens could not tell."""
    mixer = compose_net({"model": model}).blocks[0].mixer
    if not isinstance(mixer, Projections) or mixer.rotary is None:
        pytest.skip("the mixer has no queries and keys at each position")
    net = compose_net({"model": model, "model.positions": "rotary"}).double().eval()
    x = torch.arange(1, 13)[None, None]
    other = x.clone()
    other[..., [2, 9]] = x[..., [9, 2]]
    n = torch.full((1, 1), 12)
    assert (net(x, n) - net(other, n)).abs().max() > 1e-9


@pytest.mark.parametrize("model", ["transformer", "fourier", "luna", "local"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_keeps_the_contract(model, name):
    """Padding, its amount and batch-mates change nothing; every parameter learns; one step down
    the gradient lowers the loss."""
    if model == "luna" and "rotary" in SETTINGS[name].values():
        pytest.skip("luna has other projections")
    torch.manual_seed(0)
    net = compose_net({"model": model, "model.dropout": 0.0, **SETTINGS[name]}).double()
    net(ids(), LENGTHS).square().sum().backward()
    without = {n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert not without
    before = net(ids(), LENGTHS).square().sum()
    with torch.no_grad():
        for p in net.parameters():
            p -= 1e-4 * (0 if p.grad is None else p.grad)
    assert net(ids(), LENGTHS).square().sum() < before
    net.eval()
    together = net(ids(), LENGTHS)
    other = torch.where(torch.arange(N) < LENGTHS[..., None], ids(), 7)
    torch.testing.assert_close(net(other, LENGTHS), together, atol=1e-10, rtol=0)
    if model != "fourier":  # its filter runs at the padded length
        for i in range(B):
            n = int(LENGTHS[i])
            alone = net(ids()[i : i + 1, :, :n], LENGTHS[i : i + 1])
            torch.testing.assert_close(alone, together[i : i + 1], atol=1e-10, rtol=0)


def test_a_post_norm_block_is_its_definition():
    net = compose_net({"model": "transformer", "model.prenorm": False}).double().eval()
    x, mask = sequences(D=net.head[0].in_features)
    block = net.blocks[0]
    y = block.norm1(x + block.mixer(x, mask))
    expected = block.norm2(y + block.mlp(y))
    torch.testing.assert_close(block(x, mask)[0], expected, atol=1e-12, rtol=0)
    assert net.norm is None


def test_the_last_position_is_the_last_real_one():
    x, mask = sequences(lengths=(23, 14, 5, 1))
    found = last(x, mask)
    for row, i, n in zip(found, range(4), (23, 14, 5, 1), strict=True):
        assert torch.equal(row, x[i, n - 1])


def test_tied_dropout_drops_a_channel_at_all_positions():
    torch.manual_seed(0)
    dropout = Dropout(0.5, tied=True)
    y = dropout(torch.ones(8, 20, 50))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert 0.4 < (y[:, 0] == 0).float().mean() < 0.6
    assert torch.equal(dropout.add(torch.ones_like(y), torch.zeros_like(y)), torch.ones_like(y))
    assert torch.equal(dropout.eval()(y), y)


def test_mega_refuses_a_norm_behind():
    with pytest.raises((ValueError, InstantiationException), match="prenorm=false"):
        compose_net({"model": "mega", "model.prenorm": False})
