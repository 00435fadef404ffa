import pytest
import torch

from models import softmax
from models.dropout import Dropout
from models.softmax import Weights, softmax_attention
from tests.models.agree import assert_same, heads


def plain(q, k, v, bias=0.0, stay=1.0):
    scores = q @ k.mT / q.shape[-1] ** 0.5 + bias
    return (scores.softmax(-1) * stay) @ v


@pytest.mark.parametrize("chunk", [1, 2**20])
def test_stored_weights_agree_with_the_definition(chunk, monkeypatch):
    monkeypatch.setattr(softmax, "CHUNK", chunk)
    q, k, v, mask = heads()
    bias = torch.randn(23, 23, dtype=torch.float64, requires_grad=True)
    ours = softmax_attention(q, k, v, mask[:, None, None], bias=bias)
    hidden = torch.zeros(mask.shape).double().masked_fill(~mask, -torch.inf)[:, None, None]
    assert_same(ours, plain(q, k, v, bias + hidden), [q, k, v, bias])


@pytest.mark.parametrize("chunk", [1, 2**20])
def test_dropout_on_the_weights_is_the_definition_with_the_same_draw(chunk, monkeypatch):
    monkeypatch.setattr(softmax, "CHUNK", chunk)
    stay = torch.rand(4, 2, 23, 23) > 0.3
    drawn = iter(stay.split(1) if chunk == 1 else [stay])
    monkeypatch.setattr(softmax, "stays", lambda shape, dropped: next(drawn))
    q, k, v, mask = heads()
    dropout = Dropout(0.3)
    ours = softmax_attention(q, k, v, mask[:, None, None], dropout=dropout)
    hidden = torch.zeros(mask.shape).double().masked_fill(~mask, -torch.inf)[:, None, None]
    assert_same(ours, plain(q, k, v, hidden, stay.double() * dropout.scale), [q, k, v])


def test_dropout_keeps_the_mean_and_is_off_in_evaluation():
    torch.manual_seed(0)
    q, k, v = (torch.randn(64, 2, 50, 4) for _ in range(3))
    dropout = Dropout(0.4)
    exact = softmax_attention(q, k, v, dropout=dropout.eval())
    assert torch.equal(exact, softmax_attention(q, k, v))
    dropped = softmax_attention(q, k, v, dropout=dropout.train())
    assert not torch.equal(dropped, exact)
    torch.testing.assert_close(dropped.mean(), exact.mean(), atol=3e-3, rtol=0)


@pytest.mark.parametrize("way", ["fused", "stored"])
def test_a_query_without_keys_gets_zero_and_no_gradient_is_nan(way):
    q, k, v, mask = heads()
    allowed = mask[:, None, None].clone()
    allowed[1] = False
    bias = torch.zeros(23, 23, dtype=torch.float64) if way == "stored" else None
    o = softmax_attention(q, k, v, allowed, bias=bias)
    assert not o[1].any()
    o.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


def test_one_matrix_of_weights_is_kept_with_dropout():
    q, k, v, _ = heads()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        Weights.apply(q, k, v, None, None, 1.0, Dropout(0.3))
    assert sum(x.shape[-2:] == (23, 23) for x in kept) == 1
