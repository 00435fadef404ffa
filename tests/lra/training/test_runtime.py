import pytest
import torch

from lra import config
from lra.training import runtime


@pytest.mark.parametrize(
    "words, variables, taken",
    [
        ([], {}, []),
        (["trainer=gpu"], {}, [0]),
        (["trainer=ddp"], {"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, [1]),
        (["trainer=ddp"], {"SLURM_LOCALID": "3", "SLURM_NTASKS": "4"}, [1]),  # sees two of its own
    ],
)
def test_a_rank_touches_its_own_gpu_alone(monkeypatch, words, variables, taken):
    found = []
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    runtime.take_device(config.compose(words))
    assert found == taken
