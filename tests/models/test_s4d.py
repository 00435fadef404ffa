import pytest
import torch
import torch.nn.functional as F

from models.s4d import S4D
from tests.models.agree import assert_mixes_as
from tests.oracles.recurrences import s4d

WITHOUT = {
    "limit": "a recurrence; the definition is the limit",
}


@pytest.mark.proof("definition")
def test_the_convolution_is_the_recurrence():
    torch.manual_seed(0)
    module = S4D(8, d_state=6)

    def oracle(x):
        y = s4d(x, module.log_dt, module.log_a_real, module.a_imag, module.c, module.d)
        return F.glu(F.gelu(y) @ module.out.weight.T + module.out.bias)

    assert_mixes_as(module, oracle)


def test_it_starts_as_s4d_lin():
    module = S4D(4, d_state=8)
    a = torch.complex(-module.log_a_real.exp(), module.a_imag)
    expected = torch.complex(torch.full((4,), -0.5), torch.pi * torch.arange(4.0))
    torch.testing.assert_close(a, expected.expand(4, 4))


def test_an_odd_state_is_an_error():
    with pytest.raises(ValueError, match="d_state=7"):
        S4D(8, d_state=7)


def test_alpha_scales_its_frequencies_at_the_start():
    expected = 3 * torch.pi * torch.arange(4.0)
    torch.testing.assert_close(S4D(4, d_state=8, alpha=3.0).a_imag, expected.expand(4, 4))


def test_a_and_dt_may_learn_at_their_own_rate():
    module = S4D(4, d_state=8, kernel_lr=0.001)
    slow = {name for name, p in module.named_parameters() if hasattr(p, "optim")}
    assert slow == {"log_dt", "log_a_real", "a_imag"}
