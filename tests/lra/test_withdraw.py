"""A row of the board is withdrawn in the open: it stays, and enters no table."""

import json
import re
import shutil

import pytest

from lra import rows
from lra.report import submit
from lra.report.groups import newest
from lra.report.leaderboard.lines import measured, withdrawn
from lra.store import runs
from tests import warm
from tests.conftest import ROOT

WORDS = ["by=Ada L., example.org", "why=a label was wrong"]
BOARD = ROOT / "results" / "board"


@pytest.fixture
def board(tmp_path):
    """A board with three rows of listops/short."""
    for model in ("fourier", "fnet", "luna"):
        shutil.copytree(BOARD / "runs/listops" / model, tmp_path / "runs/listops" / model)
    shutil.copytree(BOARD / "labels", tmp_path / "labels")
    return tmp_path


def withdraw(path, board, *words):
    return warm.run(["-m", "lra.withdraw", str(path), f"results.board={board}", *words])


def one(board):
    return next(row for row in runs.read_all(board) if row.label == "fnet")


def test_a_withdrawn_row_enters_no_table_and_stays_on_the_page(board):
    row, before = one(board), len(newest(runs.read_all(board)))
    content = row.path.read_bytes()
    done = withdraw(row.path, board, *WORDS)
    assert done.returncode == 0, done.stderr
    assert row.path.read_bytes() == content
    said = json.loads(row.path.with_suffix(".withdrawn.json").read_text())
    assert (said["by"], said["why"]) == ("Ada L., example.org", "a label was wrong")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", said["when"])
    every = runs.read_all(board)
    assert len(newest(every)) == before - 1
    assert row.cell not in {kept.cell for kept in newest(every)}
    assert row.cell not in json.dumps(measured(newest(every)))
    (line,) = withdrawn(every)
    assert (line["model"], line["badges"], line["rank"]) == ("fnet", ["withdrawn"], None)
    assert "a label was wrong" in line["provenance"]["facts"][0][1]
    assert line["shown"] == row.headline.text(row.test_score.value)


def test_the_page_and_the_interface_say_so(board):
    row = one(board)
    withdraw(row.path, board, *WORDS)
    done = warm.run(["-m", "lra.leaderboard", f"results.root={board}"])
    assert done.returncode == 0, done.stderr
    assert ">withdrawn</span>" in (board / "leaderboard.html").read_text()
    done = warm.run(["-m", "lra.tables", f"results.root={board}"])
    assert done.returncode == 0, done.stderr
    assert row.name not in (board / "tables/scores.csv").read_text()
    frame = rows(board, board=False)
    assert frame.set_index("cell").withdrawn[row.cell] == "a label was wrong"
    assert frame.withdrawn.notna().sum() == 1


def test_an_earlier_attempt_counts_again(board):
    row = one(board)
    again = row.path.with_name(f"{row.cell}-2.json")
    again.write_text(json.dumps(json.loads(row.path.read_text()) | {"attempt": 2}))
    assert [r.attempt for r in newest(runs.read_all(board)) if r.cell == row.cell] == [2]
    withdraw(again, board, *WORDS)
    assert [r.attempt for r in newest(runs.read_all(board)) if r.cell == row.cell] == [1]


def test_the_same_row_does_not_join_again(board):
    row = one(board)
    withdraw(row.path, board, *WORDS)
    stores = submit.Stores(board=board, own=board)
    with pytest.raises(submit.UserError, match="withdrawn by Ada L., example.org: a label was"):
        submit.check(row.path, stores)


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Name one row of the board, who withdraws it, and why"),
        (WORDS[:1], "Name one row of the board"),
        (["by=", "why=x"], "Name one row of the board"),
    ],
)
def test_who_and_why_must_be_said(board, words, said):
    done = withdraw(one(board).path, board, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert not list(board.rglob("*.withdrawn.json"))


def test_only_rows_of_the_board_and_only_once(board, tmp_path):
    path = one(board).path
    elsewhere = tmp_path / "mine/runs/listops/fnet" / path.name
    elsewhere.parent.mkdir(parents=True)
    shutil.copy(path, elsewhere)
    assert "is not on the board" in withdraw(elsewhere, board, *WORDS).stderr
    assert "There is no row" in withdraw(board / "nothing.json", board, *WORDS).stderr
    withdraw(path, board, *WORDS)
    assert "was withdrawn before, by Ada L." in withdraw(path, board, *WORDS).stderr


def test_a_withdrawal_that_says_nothing_is_named(board):
    path = one(board).path.with_suffix(".withdrawn.json")
    path.write_text("{}")
    with pytest.raises(runs.UserError, match="does not say by whom, when and why"):
        runs.read_all(board)
