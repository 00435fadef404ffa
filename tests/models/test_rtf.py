import pytest
import torch

from models.rtf import RTF
from tests.models.agree import LENGTHS, assert_mixes_as, gated

WITHOUT = {"public": "no package has it", "limit": "a convolution; the definition is the limit"}
N = max(LENGTHS)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.proof("definition")
@pytest.mark.parametrize("montel", [False, True])
@pytest.mark.parametrize("seq_len", [N, N + 1])
def test_rtf_is_a_circular_filter(seq_len, montel):
    """Its kernel k solves a * k = b + h_0 a around the circle of its length."""
    module = RTF(8, seq_len=seq_len, d_state=4, denominators=2, montel=montel).double()
    for parameter in (module.a, module.b):
        torch.nn.init.normal_(parameter, std=0.2)

    def kernels():
        L, S = module.length, 4
        a = module.a
        if montel:
            a = a / (a.abs().sum(-1, keepdim=True) + module.s.abs() + 1e-6)
        rows = []
        for z in range(2):
            for i in range(8):
                below = torch.cat([a.new_ones(1), a[z, i // 4], a.new_zeros(L - S - 1)])
                above = torch.cat([a.new_zeros(1), module.b[z, i], a.new_zeros(L - S - 1)])
                circle = torch.stack([below.roll(j) for j in range(L)], dim=1)
                k = torch.linalg.solve(circle, above)
                rows.append(k + module.h[z, i] * torch.eye(L, dtype=k.dtype)[0])
        return torch.stack(rows).view(2, 8, L)

    assert_mixes_as(module, gated(module, kernels))
