import pytest
import torch
from torch import nn

from models.learning import learns, own_settings


@pytest.mark.parametrize("lr", [0, -0.001, "fast"])
def test_a_rate_is_a_number_above_zero(lr):
    with pytest.raises(ValueError, match=f"kernel_lr={lr}"):
        learns(nn.Parameter(torch.ones(2)), lr=lr)


def test_a_parameter_says_what_differs():
    plain, slow, free = (nn.Parameter(torch.ones(2)) for _ in range(3))
    assert learns(plain) is plain
    assert own_settings(plain) == {}
    assert own_settings(learns(slow, lr=0.001, weight_decay=0.0)) == {
        "lr": 0.001,
        "weight_decay": 0.0,
    }
    assert own_settings(learns(free, weight_decay=0.1)) == {"weight_decay": 0.1}
