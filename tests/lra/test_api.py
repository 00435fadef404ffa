import numpy as np
import pytest
import torch

import lra
from lra.errors import UserError
from lra.objective import share_score
from lra.store import runs
from tests.conftest import TINY
from tests.lra.store.test_row import row

FEW = ["trainer=smoke", "trainer.threads=1", *TINY]


def test_a_cell_is_run_once_and_its_row_is_returned(tiny_root, tmp_path, capfd):
    words = [*FEW, "model=fnet", f"data.root={tiny_root}", f"results.root={tmp_path}"]
    first = lra.run(*words)
    assert (first.status, first.model, first.test_score.n) == ("done", "fnet", 8)
    assert "stored in:" in capfd.readouterr().out
    assert lra.run(*words).model_dump() == first.model_dump()
    assert "Done already" in capfd.readouterr().out


def test_a_run_that_fails_is_an_error_and_not_an_older_row(tiny_root, tmp_path):
    words = [*FEW, f"data.root={tiny_root}", f"results.root={tmp_path}"]
    with pytest.raises(UserError, match="optim.lr=0"):
        lra.run(*words, "optim.lr=0")
    with pytest.raises(UserError, match="ended with 1: see above"):
        lra.run(*words, "optim.lr=1e30", "optim.clip=null")


def test_rows_are_a_frame_of_both_stores(tmp_path, monkeypatch):
    mine, board = tmp_path / "my results", tmp_path / "board"
    for root, correct in ((mine, 5), (board, 6)):
        entry = row(test={"accuracy": share_score(correct, 10)})
        runs.write(root / "runs/listops/fourier", entry, np.zeros(10, np.uint8))
        runs.write(root / "runs/listops/fourier", row(cell="c1", status="failed", test=None))
    monkeypatch.setenv("LRA_BOARD", str(board))
    frame = lra.rows(mine)
    assert frame.test.tolist() == [0.5, 0.6]
    assert frame.yours.tolist() == [True, False]
    assert frame.row[1].path.is_relative_to(board)
    assert lra.rows(mine, board=False).test.tolist() == [0.5]
    with pytest.raises(UserError, match="There is no folder"):
        lra.rows(tmp_path / "nowhere")


def test_without_rows_the_frame_has_its_columns(tmp_path):
    frame = lra.rows(tmp_path)
    assert len(frame) == 0
    assert {"task", "model", "test", "low", "high", "yours", "row"} <= set(frame.columns)


def test_a_network_is_built_with_the_weights_of_its_seed():
    state = torch.random.get_rng_state()
    one, same, other = (
        lra.build("model=performer", "task.variant=short", f"seed={seed}") for seed in (3, 3, 4)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    ids = torch.randint(1, 15, (2, 1, 60))
    lengths = torch.full((2, 1), 60)
    logits = [net.eval()(ids, lengths) for net in (one, same, other)]
    assert logits[0].shape == (2, 10)
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_what_the_interface_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'lra' has no attribute 'train'"):
        _ = lra.train
