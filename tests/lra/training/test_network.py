import pytest
import torch

from lra import config
from lra.errors import UserError
from lra.training.network import must_have_device

TWO = ["trainer=ddp", "trainer.devices=2"]


@pytest.mark.parametrize(
    "words, there, sentence",
    [
        ([], 0, None),
        (["trainer=gpu"], 0, "sees no GPU"),
        (["trainer=ddp"], 0, "sees no GPU"),
        (["trainer=gpu"], 1, None),
        (TWO, 1, "trainer.devices=2, but torch sees 1 GPUs"),
        (TWO, 2, None),
        (["trainer=ddp"], 1, None),  # all that are there
        ([*TWO, "trainer.accelerator=cpu"], 0, None),
    ],
)
def test_a_run_has_as_many_devices_as_it_asks_for(monkeypatch, words, there, sentence):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    cfg = config.compose(words)
    if sentence is None:
        must_have_device(cfg)
    else:
        with pytest.raises(UserError, match=sentence):
            must_have_device(cfg)
