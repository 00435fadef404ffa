import pytest
import torch
import torch.nn.functional as F

from models.conv import Conv
from tests.models.agree import assert_mixes_as

WITHOUT = {
    "public": "the definition is torch's own",
    "limit": "a convolution; the definition is the limit",
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.proof("definition")
@pytest.mark.parametrize("width", [1, 5, 61])
def test_conv_sees_its_window_alone(width):
    module = Conv(8, width=width)

    def oracle(x):
        padded = F.pad(x.T, (width // 2, width // 2))
        y = (padded.unfold(1, width, 1) * module.weight.flip(1)[:, None]).sum(-1).T + module.d * x
        return F.glu(F.gelu(y) @ module.out.weight.T + module.out.bias)

    assert_mixes_as(module, oracle)
