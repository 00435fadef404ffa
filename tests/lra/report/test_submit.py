"""Rows from elsewhere: what is sound joins, and what is not is refused with the reason."""

import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from lra import objective
from lra.errors import UserError
from lra.objective import share_score
from lra.report import submit
from lra.store import runs
from tests import warm
from tests.conftest import ROOT, Runner


@pytest.fixture(scope="module")
def trained(tiny_root, tmp_path_factory):
    run = Runner(tiny_root, tmp_path_factory.mktemp("elsewhere"))
    done = run("model=fnet", "max_eval_examples=null")
    assert done.returncode == 0, done.stderr
    return run.results


@pytest.fixture
def elsewhere(trained, tmp_path):
    """A real row of another results folder, and a board that knows its data."""
    shutil.copytree(trained, tmp_path / "theirs")
    shutil.copytree(trained / "labels", tmp_path / "board" / "labels")
    (path,) = tmp_path.glob("theirs/runs/*/fnet/*.json")
    return path, tmp_path / "board"


def changed(path, **changes):
    row = json.loads(path.read_text())
    path.write_text(json.dumps(row | changes))


def stores(board):
    return submit.Stores(board=board, own=board / "nobody's")


def command(path, board, *more):
    return warm.run(["-m", "lra.submit", str(path), f"results.board={board}", *more])


def test_a_sound_row_joins_once_and_says_who_measured_it(elsewhere):
    path, board = elsewhere
    done = command(path, board, "origin=A. Person, example.org")
    assert done.returncode == 0, done.stderr
    (stored,) = runs.read_all(board)
    assert stored.origin == "A. Person, example.org"
    assert stored.test == runs.read(path).test
    assert runs.values(stored).sum() == stored.test_score.count
    assert runs.read_curve(stored).equals(runs.read_curve(runs.read(path)))
    again = command(path, board, "origin=A. Person")
    assert again.returncode == 1
    assert "on the board already" in again.stderr
    assert len(runs.read_all(board)) == 1


def test_what_does_not_recompute_is_refused(elsewhere):
    path, board = elsewhere
    test = runs.read(path).test_score
    claim = share_score(test.count + 5, test.n)
    changed(path, test={"accuracy": claim.model_dump()})
    said = (
        rf"give accuracy {100 * test.value:.2f} % .*, {test.count} of 50, but it claims accuracy "
    )
    with pytest.raises(UserError, match=said):
        submit.check(path, stores(board))
    changed(path, test={"accuracy": test.model_dump() | {"high": 0.99}})
    with pytest.raises(UserError, match=r"but it claims .*-99\.00\)"):
        submit.check(path, stores(board))
    changed(path, test={"luck": test.model_dump()})
    with pytest.raises(UserError, match="has the metrics luck, not accuracy"):
        submit.check(path, stores(board))
    changed(path, test={"accuracy": test.model_dump()})
    np.save(path.with_suffix(".npy"), np.zeros(49, np.uint8))
    with pytest.raises(UserError, match="it predicts 49 test examples, and there are 50"):
        submit.check(path, stores(board))
    path.with_suffix(".npy").unlink()
    with pytest.raises(UserError, match="with its predictions is missing"):
        submit.check(path, stores(board))


def test_the_same_predictions_join_once_whatever_else_the_row_says(elsewhere):
    path, board = elsewhere
    submit.add(path, submit.check(path, stores(board)), stores(board), "A. Person")
    changed(path, test_outputs_sha256="0" * 64, started="2030-01-01T00:00:00+00:00")
    with pytest.raises(UserError, match="on the board already"):
        submit.check(path, stores(board))


def test_data_are_known_by_their_whole_fingerprint(elsewhere):
    """Labels are stored under its beginning."""
    path, board = elsewhere
    row = runs.read(path)
    submit.add(path, row, stores(board), "A. Person")
    changed(path, fingerprint=row.fingerprint[:16] + "0" * 48, baselines={})
    with pytest.raises(UserError, match="no data here have the fingerprint"):
        submit.check(path, stores(board))


def test_unknown_data_are_refused(elsewhere, tmp_path):
    path, _ = elsewhere
    with pytest.raises(UserError, match="are not known here; run any cell"):
        submit.check(path, stores(tmp_path / "empty"))


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"parameters": 7}, "parameters, not 7"),
        ({"modified": {}}, "its configuration is not that of protocol matched"),
        ({"protocol": "lite"}, "its configuration is not that of protocol lite"),
        ({"seed": 5}, "seed is 0, not 5"),
        ({"cell": "0" * 16}, "its cell is not 0000000000000000"),
        ({"model": "mymodel"}, "model mymodel is not here; add models/mymodel.py"),
        ({"select": "last"}, "it says last at step"),
        ({"last_step": 3}, "of 3, and its protocol selects best_val of 4 steps"),
        ({"selected_step": 9}, "best_val at step 9 of 4"),
        ({"val": {"accuracy": {"n": 8, "value": 0.5, "low": 0, "high": 1}}}, "does not follow"),
        ({"objective": "luck"}, "objective luck is not here"),
        ({"val": {}}, "its val has no accuracy"),
        ({"filter": "../filter/fourier"}, "its filter is not a name"),
        ({"variant": "${oc.env:HOME}"}, "its variant is not a name"),
        ({"headline": {"name": "accuracy", "share": False}}, "metrics are not those"),
        ({"status": "failed"}, "it is failed, and only finished rows"),
        ({"surprise": 1}, "newer version of this project .surprise."),
    ],
)
def test_a_row_that_is_not_what_it_says_is_refused(elsewhere, change, reason):
    path, board = elsewhere
    changed(path, **change)
    with pytest.raises(UserError, match=reason):
        submit.check(path, stores(board))


@pytest.mark.parametrize(
    "modified",
    [
        {"model.net.x._target_": [None, "os.getpid"]},
        {"model.net.x": [None, {"_target_": "os.getpid"}]},
        {"seed": [0, "${oc.env:HOME}"]},
    ],
)
def test_a_row_cannot_say_what_to_call(elsewhere, modified):
    path, board = elsewhere
    changed(path, modified=json.loads(path.read_text())["modified"] | modified)
    with pytest.raises(UserError, match="cannot say what to call"):
        submit.check(path, stores(board))


@pytest.mark.parametrize("change", [{"environment": {}}, {"baselines": {"x": {}}}])
def test_a_row_that_no_table_can_print_is_refused(elsewhere, change):
    path, board = elsewhere
    changed(path, **change)
    with pytest.raises(UserError, match="is refused"):
        submit.check(path, stores(board))


def test_a_curve_that_is_none_is_refused(elsewhere):
    path, board = elsewhere
    path.with_suffix(".csv").write_text(f"{runs.CURVE_HEADER}accuracy\n1,nan,0.5\n")
    with pytest.raises(UserError, match="no table can print it"):
        submit.check(path, stores(board))


def test_one_bad_row_keeps_all_out(elsewhere, tmp_path):
    path, board = elsewhere
    done = command(path, board, str(tmp_path / "none.json"), "origin=A. Person")
    assert done.returncode == 1
    assert "There is no row" in done.stderr
    assert not list(board.glob("runs/**/*.json"))


def test_a_folder_is_its_newest_finished_rows_that_the_board_lacks(elsewhere):
    path, board = elsewhere
    fields = json.loads(path.read_text())
    failed = fields | {"status": "failed", "test": None, "attempt": 2}
    path.with_name(f"{fields['cell']}-2.json").write_text(json.dumps(failed))
    folder = path.parents[3] / "runs"
    # a smoke run is modified, and a folder stands for conforming rows
    assert "Nothing new" in command(folder, board, "maintainer=true").stdout
    changed(path, modified={})
    chosen = submit.paths(str(folder), stores(board))
    assert chosen == [path]
    submit.add(path, runs.read(path), stores(board), None)
    (stored,) = runs.read_all(board)
    assert (stored.origin, stored.attempt) == (None, 1)
    assert submit.paths(str(folder), stores(board)) == []


def test_a_rerun_with_the_same_predictions_keeps_no_other_row_out(elsewhere):
    path, board = elsewhere
    assert command(path, board, "maintainer=true").returncode == 0
    fields = json.loads(path.read_text())
    again = path.with_name(f"{fields['cell']}-2.json")
    again.write_text(json.dumps(fields | {"attempt": 2, "started": "2030-01-01T00:00:00+00:00"}))
    shutil.copy(path.with_suffix(".npy"), again.with_suffix(".npy"))
    done = command(path.parents[3] / "runs", board, "maintainer=true")
    assert (done.returncode, len(runs.read_all(board))) == (0, 1), done.stderr


def test_a_row_may_lie_in_a_shallow_folder(elsewhere, monkeypatch):
    path, board = elsewhere
    monkeypatch.chdir(path.parent)
    row = submit.check(Path(path.name), stores(board))
    assert (row.root, row.path) == (None, None)


def test_nothing_computes_into_the_board(tmp_path, tiny_root):
    run = Runner(tiny_root, tmp_path)
    done = run(f"results.path={tmp_path}", f"results.board={tmp_path}")
    assert done.returncode == 1
    assert "is the board, to which rows come by python -m lra.submit alone" in done.stderr
    assert not list(tmp_path.glob("runs/**/*.json"))
    words = ["models=fnet", "lengths=32", "batch=2", f"results.root={tmp_path}"]
    lab = warm.run(["-m", "lra.efficiency", *words, f"results.board={tmp_path}"])
    assert "is the board" in lab.stderr


def test_labels_that_only_the_own_store_knows_come_along(elsewhere):
    path, board = elsewhere
    shutil.rmtree(board)
    own = path.parents[3]
    done = command(path, board, f"results.root={own}", "maintainer=true")
    assert done.returncode == 0, done.stderr
    (stored,) = runs.read_all(board)
    assert runs.values(stored) is not None


def test_measurements_are_a_maintainers(tmp_path):
    folder = tmp_path / "efficiency"
    measured = next((ROOT / "results/board/efficiency").glob("fnet/1024-*.json"))
    (folder / "fnet").mkdir(parents=True)
    shutil.copy(measured, folder / "fnet")
    board = tmp_path / "board"
    stranger = command(folder, board, "origin=A. Person")
    assert stranger.returncode == 1
    assert "a maintainer adds them" in stranger.stderr
    assert command(folder, board, "maintainer=true").returncode == 0
    assert (board / "efficiency/fnet" / measured.name).read_text() == measured.read_text()


@pytest.mark.parametrize("both", [["origin=A. Person", "maintainer=true"], []])
def test_a_row_is_somebodys_or_the_maintainers(elsewhere, both):
    path, board = elsewhere
    done = command(path, board, *both)
    assert done.returncode == 1
    assert "Name the rows and who measured them" in done.stderr
    assert not list(board.glob("runs/**/*.json"))


def test_the_origin_must_be_said(elsewhere):
    path, board = elsewhere
    done = command(path, board)
    assert done.returncode == 1
    assert "who measured them" in done.stderr


BOARD = ROOT / "results" / "board"


def oldest_and_newest() -> list:
    """Returns two finished rows of each task of the board."""
    by_task = defaultdict(list)
    for row in sorted(runs.read_all(BOARD), key=lambda row: row.finished):
        if row.status == "done":
            by_task[row.task].append(row)
    return [row for rows in by_task.values() for row in (rows[0], *rows[1:][-1:])]


@pytest.mark.parametrize("row", oldest_and_newest(), ids=lambda row: f"{row.task}-{row.name}")
def test_our_own_rows_would_be_accepted(row):
    """The only reason against a row is that it is on the board, however old it is."""
    with pytest.raises(UserError) as error:
        submit.check(row.path, stores(BOARD))
    reason = str(error.value)
    if row.inherited or not objective.named(row.objective).labelled:
        for absent in ("is not here: bring it", "are not packed here", "its files"):
            if absent in reason:
                pytest.skip(f"weights and packed texts are not stored with rows: {reason}")
    assert "on the board already" in reason


def test_a_score_that_differs_in_its_last_digits_is_stored_as_computed_here(elsewhere):
    """Another machine may sum in another order; the board demands its own sum."""
    path, board = elsewhere
    said = runs.read(path).test_score
    changed(path, test={"accuracy": said.model_dump() | {"value": said.value * (1 + 1e-9)}})
    submit.add(path, submit.check(path, stores(board)), stores(board), "A. Person")
    (row,) = runs.read_all(board)
    assert row.test_score.value == said.value
    assert runs.values(row).mean() == said.value
