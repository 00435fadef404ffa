from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lra.sweep import ledger
from lra.sweep.ledger import Ledger
from lra.sweep.status import State


@pytest.mark.parametrize(
    "status, path, word",
    [
        ("done", "old.json", "skipped"),
        ("done", "new.json", "done"),  # also where both were finished in the same second
        ("missing", None, "failed"),
        ("running", None, "running elsewhere"),
        ("diverged", "old.json", "diverged"),
    ],
)
def test_a_cell_counts_as_done_if_its_row_is_new(monkeypatch, status, path, word):
    monkeypatch.setenv(ledger.CELLS, "")
    before = [State("done", path=Path("old.json")), State("missing")]
    monkeypatch.setattr(ledger, "look_at_all", lambda words: before)
    monkeypatch.setattr(ledger, "counts", lambda *_: "")
    monkeypatch.setattr(ledger, "estimate", lambda *_: [])
    monkeypatch.setattr(ledger, "all_rows", lambda *_: [])
    it = Ledger()
    it.on_multirun_start(OmegaConf.create({"hydra": {"overrides": {"task": []}}}))
    assert it._word(State(status, path=path and Path(path))) == word
