import pytest
import torch

from models.longconv import LongConv
from tests.models.agree import LENGTHS, assert_mixes_as, gated

WITHOUT = {"public": "no package has it", "limit": "a convolution; the definition is the limit"}
N = max(LENGTHS)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.proof("definition")
def test_longconv_is_its_definition():
    module = LongConv(8, seq_len=N, squash=0.001).double()
    size = module.kernel.detach().abs()
    assert 0.2 < (size < 0.001).double().mean() < 0.6

    def kernels():
        k = module.kernel
        return torch.where(k > 0.001, k - 0.001, torch.where(k < -0.001, k + 0.001, 0 * k))

    assert_mixes_as(module, gated(module, kernels))
