import pytest
import torch

from models.sgconv import SGConv
from tests.models.agree import LENGTHS, assert_mixes_as, gated
from tests.oracles import recurrences

WITHOUT = {"public": "no package has it", "limit": "a convolution; the definition is the limit"}
N = max(LENGTHS)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.proof("definition")
def test_sgconv_is_its_definition():
    module = SGConv(8, seq_len=N, kernel_dim=3).double()

    def kernels():
        parts = [
            recurrences.stretched(w, 2 ** max(0, i - 1)) * 0.5**i
            for i, w in enumerate(module.parts)
        ]
        return torch.cat(parts, dim=-1) * module.scale

    assert kernels().shape[-1] >= N + 1
    torch.testing.assert_close(kernels().norm(dim=-1), torch.ones(2, 8).double(), atol=1e-6, rtol=0)
    assert_mixes_as(module, gated(module, kernels))
