import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from lra.training.attempt import is_out_of_memory


def test_want_of_memory_is_recognised_also_where_the_network_is_built():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)
    with pytest.raises(InstantiationException) as caught:
        instantiate({"_target_": "torch.nn.Linear", "in_features": 2**25, "out_features": 2**25})
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("something else"))
