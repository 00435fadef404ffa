import pytest
import torch

from models.mega import GatedAttention, MovingAverage
from tests.models.agree import assert_mixes_as, assert_same, sequences
from tests.oracles import recurrences

WITHOUT = {
    "limit": "gates and a moving average beside attention; nothing it could be equal to",
}


def mixer(attention="softmax", chunk=None):
    torch.manual_seed(0)
    return GatedAttention(
        8, seq_len=23, z_dim=6, v_dim=10, ema_dim=3, attention=attention, chunk=chunk
    )


@pytest.mark.proof("definition")
def test_the_moving_average_is_the_recurrence():
    torch.manual_seed(0)
    module = MovingAverage(8, 3).double()
    x, _ = sequences(lengths=(23,))
    weights = (module.delta, module.alpha, module.beta, module.gamma, module.omega)
    theirs = recurrences.moving_average(x[0], *weights)
    assert_same(module(x)[0], theirs, [x, *weights])


@pytest.mark.proof("definition")
@pytest.mark.parametrize("attention", ["softmax", "laplace"])
@pytest.mark.parametrize("chunk", [None, 7, 23])
def test_agrees_with_the_definition(attention, chunk):
    module = mixer(attention, chunk).double()
    weights = dict(module.named_parameters())

    class WithResidual(torch.nn.Module):  # the residual is the input itself here
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, x, mask):
            return self.module(x, mask, residual=x)

    def oracle(x):
        return recurrences.mega(x, x, weights, attention=attention, chunk=chunk)

    assert_mixes_as(WithResidual(), oracle)


def test_one_chunk_is_mega_without_chunks():
    whole, chunked = mixer(), mixer(chunk=24)
    x, mask = sequences()
    whole, chunked = whole.double().eval(), chunked.double().eval()
    chunked.load_state_dict(whole.state_dict())
    real = mask[..., None]
    torch.testing.assert_close(whole(x, mask, x) * real, chunked(x, mask, x) * real)


@pytest.mark.parametrize("settings", [{"attention": "relu"}, {"chunk": 0}])
def test_unknown_settings_are_errors(settings):
    with pytest.raises(ValueError, match="="):
        mixer(**settings)
