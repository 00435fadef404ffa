import re

import numpy as np
import pytest
from omegaconf import OmegaConf

from lra.objective import share_score
from lra.report import result
from lra.store import runs
from tests.lra.store.test_row import row


def accuracy(correct, n=1000):
    return {"accuracy": share_score(correct, n)}


@pytest.fixture
def results(tmp_path):
    (tmp_path / "board").mkdir()
    return OmegaConf.create({"path": str(tmp_path), "board": str(tmp_path / "board")})


def stored(root, **changes):
    made = row(**changes)
    return runs.read(runs.write(root / "runs" / made.task / made.label, made))


def said(pairs, name):
    return [value for key, value in pairs if key == name]


@pytest.mark.parametrize("correct, verdict", [(380, "within"), (300, "outside"), (450, "outside")])
def test_the_boards_row_stands_beside_with_a_verdict(results, tmp_path, correct, verdict):
    stored(tmp_path / "board", test=accuracy(390))
    mine = stored(tmp_path, test=accuracy(correct))
    (line,) = said(result.lines(mine, results), "board")
    assert line.startswith("accuracy 39.00 % (36.")
    assert line.endswith(f"this run is {verdict} the board's interval")


def test_both_ends_of_the_interval_are_within(results, tmp_path):
    theirs = accuracy(390)["accuracy"]
    stored(tmp_path / "board", test={"accuracy": theirs})
    for value, verdict in [(theirs.low, "within"), (theirs.high + 1e-9, "outside")]:
        score = theirs.model_copy(update={"value": value})
        mine = row(test={"accuracy": score})
        (line,) = result.of_the_board(mine, results)
        assert f"is {verdict} the" in line


def test_another_seed_of_the_board_is_better_than_nothing(results, tmp_path):
    stored(tmp_path / "board", test=accuracy(390), seed=0)
    mine = row(seed=1, cell="c1", test=accuracy(380))
    (line,) = result.of_the_board(mine, results)
    assert line.startswith("no row of this seed; with seed 0: accuracy 39.00 (")


def test_without_a_row_or_a_board_the_line_says_so_or_is_left_out(results, tmp_path):
    assert result.of_the_board(row(), results) == ["no row of this cell"]
    assert result.of_the_board(row(modified={"optim.lr": [1, 2]}), results) == []
    stored(tmp_path / "board", test=accuracy(390), modified={"optim.lr": [1, 2]})
    (line,) = result.of_the_board(row(modified={"optim.lr": [1, 2]}, test=accuracy(390)), results)
    assert "within" in line
    results.board = str(tmp_path / "nowhere")
    assert result.of_the_board(row(), results) == []


@pytest.mark.parametrize("width", [1, 40, 80, 120])
def test_no_width_cuts_a_number(results, tmp_path, width):
    pairs = result.lines(stored(tmp_path, test=accuracy(380)), results)
    text = "\n".join(result.rendered(pairs, width))
    numbers = [n for _, value in pairs for n in re.findall(r"[\d,.]+\d", value)]
    for number in numbers:
        assert number in text
    if width >= 40:
        longest = max(len(word) for _, value in pairs for word in value.split())
        column = max(len(name) for name, _ in pairs) + 2
        assert max(map(len, text.splitlines())) <= max(width, column + longest, column + 20)


@pytest.mark.parametrize(
    "correct, last_step, warned",
    [(500, 1000, True), (600, 1000, False), (500, 99, False)],  # 99: too few to expect anything
)
def test_a_row_that_learned_nothing_is_told_what_to_try(
    results, tmp_path, capsys, correct, last_step, warned
):
    made = stored(
        tmp_path,
        baselines={"majority label": {"val": 0.5, "test": 0.5}},
        val=accuracy(correct),
        final_loss=0.70,
        untaught_loss=0.6931,
        last_step=last_step,
        selected_step=last_step,
    )
    result.show(made, results)
    assert ("warning: nothing was learned" in capsys.readouterr().err) == warned


@pytest.mark.parametrize(
    "correct, loss, flat",
    [
        (500, 0.6931, True),
        (500, 0.9, True),  # above that of the label frequencies
        (500, 0.99 * 0.6931 - 1e-6, False),  # learned by heart: val says so as `at chance`
        (540, 0.6931, False),  # its interval lies above 50 %
        (500, None, True),  # rows of version 2
    ],
)
def test_a_plateau_is_judged_by_val_and_the_final_loss(correct, loss, flat):
    found = row(
        baselines={"majority label": {"val": 0.5, "test": 0.5}},
        val=accuracy(correct),
        final_loss=loss,
        untaught_loss=None if loss is None else 0.6931,
    )
    assert found.learned_nothing is flat


def test_predictions_of_the_board_are_read_from_the_board(results, tmp_path):
    made = row(test=accuracy(1, 2))
    path = runs.write(tmp_path / "board/runs/listops/fourier", made, np.uint8([1, 0]))
    (theirs,) = runs.read_both(results)
    assert (theirs.yours, theirs.path) == (False, path)
    assert runs.predictions(theirs).tolist() == [1, 0]
    runs.write(tmp_path / "runs/listops/fourier", made, np.uint8([0, 1]))
    mine, theirs = runs.read_both(results)
    assert (mine.yours, theirs.yours) == (True, False)
    assert runs.predictions(mine).tolist() == [0, 1]
