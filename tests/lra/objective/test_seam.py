"""The seam holds: a second objective in one file and one yaml is trained, selected, scored, stored,
resumed, compared, printed and drawn, and no other file changes."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY
from tests.lra.objective import second
from tests.lra.store.test_row import row as a_row
from tests.project import copy_to, python

STEPS = ["max_steps=60", "val_every=20", "max_eval_examples=50", "batch_size=16"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_root) -> Path:
    """A copy of the project with the second objective, on which two models are trained."""
    root = tmp_path_factory.mktemp("project")
    copy_to(root)
    shutil.copy(second.__file__, root / "lra/objective/distance.py")
    yaml = second.conf("lra.objective.distance.Distance")
    (root / "conf/objective/distance.yaml").write_text(yaml)
    common = ["trainer=smoke", "trainer.threads=1", *TINY, f"data.root={tiny_root}"]
    runs = [
        ["run.py", *common, *STEPS, "objective=distance", f"model={model}"]
        for model in ("fourier", "transformer")
    ]
    tables = ["-m", "lra.tables", "modified=true", "trainer=smoke"]
    page = ["-m", "lra.leaderboard", "modified=true", "trainer=smoke"]
    pictures = ["-m", "lra.plots", "modified=true", "trainer=smoke"]
    task = "defaults: [listops, {override /objective@_global_.objective: distance}, _self_]\n"
    (root / "conf/task/numbers.yaml").write_text(task)
    (root / "composed.py").write_text(COMPOSED)
    for code, log in python(root, *runs, tables, page, pictures, ["composed.py"]):
        assert code == 0, log
    return root


COMPOSED = """
from lra import config
cfg = config.compose(["task=numbers"])
assert cfg.objective.name == config.task_objective("numbers") == "distance"
assert cfg.model.net.num_classes == 1
"""


def rows(root: Path) -> dict[str, dict]:
    found = [json.loads(p.read_text()) for p in root.glob("results/smoke/runs/*/*/*.json")]
    return {row["model"]: row for row in found}


def test_its_rows_hold_several_metrics_with_intervals(project):
    found = rows(project)
    assert found.keys() == {"fourier", "transformer"}
    for row in found.values():
        assert row["status"] == "done"
        assert row["headline"] == {"name": "distance", "share": False, "better": "lower"}
        assert row["test"].keys() == {"distance", "worst", "exact"}
        score = row["test"]["distance"]
        assert score["low"] < score["value"] < score["high"]
        assert score["n"] == 50
        assert not [key for key in row["modified"] if key.startswith("objective")]
        assert row["config"]["objective"] == {
            "_target_": "Distance",
            "name": "distance",
            "outputs": 1,
        }
        assert row["baselines"] == {}  # the trivial rules are classifiers


def test_it_is_stored_one_number_an_example_and_learned_something(project):
    for row in rows(project).values():
        (path,) = project.glob(f"results/smoke/runs/*/*/{row['cell']}-1.npy")
        predictions = np.load(path)
        assert predictions.shape == (50,)
        assert predictions.dtype == np.float32
        labels = np.load(next(project.glob("results/smoke/labels/*.npy")))
        away = np.abs(predictions.astype(float) - labels[:50]).mean()
        assert away == pytest.approx(row["test"]["distance"]["value"], rel=1e-6)
        assert away < np.abs(labels[:50] - 0.0).mean()  # nearer than the untrained head's 0


def test_less_is_better_where_weights_are_selected(project):
    for row in rows(project).values():
        (path,) = project.glob(f"results/smoke/runs/*/*/{row['cell']}-1.csv")
        with open(path) as file:
            curve = list(csv.DictReader(file))
        best = min(curve, key=lambda point: float(point["val_distance"]))
        assert row["selected_step"] == int(best["step"])


def test_a_table_shows_it_best_first(project):
    text = (project / "results/smoke/tables-modified/scores.md").read_text()
    assert "| test distance |" in text
    lines = [line.split(" | ") for line in text.splitlines() if "(modified" in line]
    values = [float(line[2]) for line in lines]
    assert len(values) == 2
    assert values == sorted(values)
    assert all(line[0].strip("| ") in ("1", "2", "1-2") for line in lines)  # compared, not a dash
    assert "accuracy" not in text


def test_a_checkpoint_is_scored_again(project):
    saved = next(project.glob("results/smoke/work/*/selected.ckpt"))
    words = ["run.py", f"evaluate={saved}", "trainer.threads=1", "trainer=smoke"]
    ((code, log),) = python(project, words)
    assert code == 0, log
    assert "test distance" in log
    assert "bit for bit, predictions too" in log


def test_pictures_and_page_show_it(project):
    assert (project / "results/smoke/figures/curves.png").exists()
    page = (project / "results/smoke/leaderboard.html").read_text()
    for model in ("fourier", "transformer"):
        assert f'<th scope="row"><span>{model} (modified' in page
    table = page.partition('<table id="board">')[2]
    assert "score" in table.partition("</thead>")[0]


def test_its_rows_may_join_the_board_and_tampered_ones_may_not(project):
    path = next(project.glob("results/smoke/runs/*/fourier/*.json"))
    board = project / "board"
    shutil.copytree(project / "results/smoke/labels", board / "labels")
    words = ["-m", "lra.submit", str(path), "origin=A. Person", f"results.board={board}"]
    sound = path.read_text()
    claim = json.loads(sound)
    claim["test"]["exact"]["value"] = 1.0
    tampered = path.with_name("tampered-1.json")
    tampered.write_text(json.dumps(claim))
    shutil.copy(path.with_suffix(".npy"), tampered.with_suffix(".npy"))
    false, true = python(project, [*words[:2], str(tampered), *words[3:]], words)
    tampered.unlink()
    assert false[0] == 1
    assert "its predictions give exact" in false[1]
    assert true[0] == 0, true[1]
    assert len(list(board.glob("runs/listops/fourier/*.npy"))) == 1


def test_its_command_names_it():
    found = a_row(objective="distance", headline=second.DISTANCE, test=None)
    assert "objective=distance" in found.overrides
    assert not [word for word in a_row().overrides if word.startswith("objective")]
