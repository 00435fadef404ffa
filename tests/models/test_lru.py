import pytest
import torch
import torch.nn.functional as F

from models.lru import LRU
from tests.models.agree import assert_mixes_as
from tests.oracles.recurrences import lru

WITHOUT = {
    "limit": "a recurrence; the definition is the limit",
}


@pytest.mark.proof("definition")
def test_the_convolution_is_the_recurrence():
    torch.manual_seed(0)
    module = LRU(8, d_state=6)

    def oracle(x):
        weights = (module.nu, module.theta, module.log_gamma, module.b.weight, module.c.weight)
        y = lru(x, *weights, module.d)
        return F.glu(F.gelu(y) @ module.out.weight.T + module.out.bias)

    assert_mixes_as(module, oracle)


def test_it_starts_in_the_ring():
    torch.manual_seed(0)
    module = LRU(8, d_state=256, r_min=0.9, r_max=0.999, max_phase=1.0)
    radius = torch.exp(-module.nu.exp())
    assert 0.9 <= radius.min() < 0.92
    assert 0.99 < radius.max() <= 0.999
    assert module.theta.exp().max() <= 1.0
    torch.testing.assert_close(module.log_gamma.exp(), (1 - radius**2).sqrt(), atol=1e-4, rtol=0)
