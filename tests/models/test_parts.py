import pytest
import torch

from models import classifier, parts
from models.attention import SoftmaxAttention
from models.block import Block
from models.parts import apart, cut_like, joined, sizes, zero_padding
from tests.conftest import MODELS, compose_net
from tests.models.agree import assert_same

LENGTHS = torch.tensor([20, 17, 16, 9, 9, 1])


def batch(N: int):
    torch.manual_seed(0)
    x = torch.randn(len(LENGTHS), N, 3, dtype=torch.float64, requires_grad=True)
    return x, torch.arange(N) < LENGTHS[:, None]


@pytest.mark.parametrize(
    "lengths, expected",
    [([100, 85], [2]), ([100, 84], [1, 1]), ([100, 90, 80, 70, 60], [2, 2, 1]), ([7], [1])],
)
def test_a_part_holds_lengths_of_at_least_its_share_of_the_longest(lengths, expected):
    assert sizes(lengths) == expected


@pytest.mark.parametrize(
    "grain, N, shapes",
    [
        (1, 20, [(2, 20), (1, 16), (2, 9), (1, 1)]),
        (1, 31, [(2, 20), (1, 16), (2, 9), (1, 1)]),
        (4, 31, [(2, 20), (1, 16), (2, 12), (1, 4)]),
        (8, 22, [(2, 22), (1, 16), (2, 16), (1, 8)]),
        (64, 20, [(2, 20), (1, 20), (2, 20), (1, 20)]),
    ],
)
def test_parts_hold_all_tokens_and_join_to_the_batch(grain, N, shapes, monkeypatch):
    monkeypatch.setattr(parts, "GRAIN", grain)
    x, mask = batch(N)
    cut = apart(x, mask)
    assert [p.shape[:2] for p, _ in cut] == shapes
    whole, again = joined(cut, N)
    assert torch.equal(again, mask)
    assert_same(whole, x * mask[..., None], [x])
    for piece, (part, _) in zip(cut_like(cut, x), cut, strict=True):
        assert torch.equal(piece, part)


def test_the_parts_of_long_sequences_come_in_few_lengths():
    """So few that the C library can use freed buffers again."""
    lengths = torch.arange(2000, 0, -1)
    cut = apart(torch.zeros(2000, 2000), torch.arange(2000) < lengths[:, None])
    assert {part.shape[1] % 64 for part, _ in cut[1:]} == {0}
    assert len({part.shape[1] for part, _ in cut}) <= 32


def test_equal_lengths_are_one_part_without_a_copy():
    x = torch.randn(3, 5, 2)
    mask = torch.ones(3, 5, dtype=torch.bool)
    ((part, _),) = cut = apart(x, mask)
    assert part is x
    assert joined(cut, 5)[0] is x
    assert cut_like(cut, x)[0] is x
    assert zero_padding(x, mask) is x


def test_a_short_part_is_padded_with_zeros_also_where_it_held_other_numbers():
    x, mask = batch(20)
    assert_same(joined([(x, mask)], 25)[0][:, :20], zero_padding(x, mask), [x])
    assert not joined([(x, mask)], 25)[0][:, 20:].any()


FILTERED = [
    {"model": "performer", "filter": "fourier"},
    {"model": "fnet", "filter": "fourier"},
    {"model": "s4d", "filter": "progressive"},
    {"model": "fourier", "model.block.padding": "keep"},
]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("settings", [{"model": model} for model in MODELS] + FILTERED, ids=str)
@pytest.mark.parametrize("grain", [1, 8])
def test_the_encoder_in_parts_is_the_encoder_of_the_whole_batch(
    settings, pooling, grain, monkeypatch
):
    monkeypatch.setattr(parts, "GRAIN", grain)
    net = compose_net(settings | {"model.pooling": pooling}).double().eval()
    ids = torch.randint(0, 15, (5, 60))
    lengths = torch.tensor([3, 60, 33, 58, 31])
    in_parts = net.encode(ids, lengths)
    monkeypatch.setattr(classifier, "on_cpu", lambda x: False)
    whole = net.encode(ids, lengths)
    assert_same(in_parts, whole, net.parameters(), atol=1e-8)


def test_a_block_with_a_forward_of_its_own_sees_padding_unless_it_says_otherwise():
    class Own(Block):
        def forward(self, x, mask):
            return super().forward(x, mask)

    class Same(Own):
        padding_seen = None

    def built(block):
        return block(8, layer=0, mixer=lambda d: SoftmaxAttention(d, n_heads=2), d_ff=8)

    assert [built(b).padding_seen for b in (Block, Own, Same)] == ["none", "content", "none"]
