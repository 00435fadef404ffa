import pytest
import torch
import torch.nn.functional as F

from models.s5 import C_INITS, GATES, S5, normal_hippo
from tests.models.agree import assert_mixes_as
from tests.oracles import recurrences

WITHOUT = {"limit": "a recurrence; the definition is the limit"}


@pytest.mark.proof("definition")
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("c_init", C_INITS)
def test_the_states_are_the_recurrence(gate, c_init):
    torch.manual_seed(0)
    clip = gate == "full"
    module = S5(8, d_state=12, blocks=2, gate=gate, c_init=c_init, clip=clip)
    if clip:
        with torch.no_grad():
            module.a_real[1] = 0.5  # would grow

    def oracle(x):
        real = module.a_real.clamp(max=-1e-4) if clip else module.a_real
        a = torch.complex(real, module.a_imag)
        b, c = torch.view_as_complex(module.b), torch.view_as_complex(module.c)
        y = recurrences.s5(x, a, module.log_dt, b, c, module.d)
        g = F.gelu(y)
        out = g @ module.out.weight.T + module.out.bias
        if gate == "full":
            return out[:, :8] * out[:, 8:].sigmoid()
        return (g if gate == "half1" else y) * out.sigmoid()

    assert_mixes_as(module, oracle)


def test_it_starts_in_the_eigenbasis_of_hippo():
    a, v = normal_hippo(6)
    n = torch.arange(6, dtype=torch.float64)
    matrix = torch.zeros(6, 6, dtype=torch.float64)
    for i in range(6):
        for k in range(6):
            root = ((2 * n[i] + 1) * (2 * n[k] + 1)).sqrt() / 2
            matrix[i, k] = -0.5 if i == k else (-root if i > k else root)
    whole, vectors = torch.cat([a, a.conj()]), torch.cat([v, v.conj()], dim=1)
    found = vectors @ torch.diag(whole) @ vectors.conj().T
    torch.testing.assert_close(found.real, matrix, atol=1e-9, rtol=0)


def test_lambda_and_dt_learn_at_their_own_rate():
    module = S5(8, d_state=8, blocks=1, kernel_lr=0.001)
    slow = {name for name, p in module.named_parameters() if getattr(p, "optim", None)}
    assert slow == {"a_real", "a_imag", "log_dt", "b"}
    settings = {"d_state": 8, "blocks": 1, "kernel_lr": 0.001}
    assert S5(8, **settings, b_learns="decays").b.optim == {"lr": 0.001}
    assert not hasattr(S5(8, **settings, b_learns="fast").b, "optim")
