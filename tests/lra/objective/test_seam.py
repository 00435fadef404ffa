"""The seam holds: a second objective in one file and one yaml is trained, selected, scored, stored,
resumed, compared, printed and drawn, and nothing else is touched."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, TINY
from tests.lra.objective import second
from tests.lra.store.test_row import row as a_row

STEPS = ["max_steps=60", "val_every=20", "max_eval_examples=50", "batch_size=16"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_root) -> Path:
    """A copy of the project with the second objective, on which two models are trained."""
    root = tmp_path_factory.mktemp("project")
    for entry in ("lra", "models", "data_prep", "conf", "run.py"):
        copy = shutil.copytree if (ROOT / entry).is_dir() else shutil.copy
        copy(ROOT / entry, root / entry)
    (root / "results/published").mkdir(parents=True)
    for path in (ROOT / "results/published").glob("*.csv"):
        shutil.copy(path, root / "results/published")
    shutil.copy(second.__file__, root / "lra/objective/distance.py")
    yaml = second.conf("lra.objective.distance.Distance")
    (root / "conf/objective/distance.yaml").write_text(yaml)
    common = ["trainer=smoke", "trainer.threads=1", *TINY, f"data.root={tiny_root}"]
    for model in ("fourier", "transformer"):
        words = [*common, *STEPS, "objective=distance", f"model={model}"]
        result = python(root, "run.py", *words)
        assert result.returncode == 0, result.stderr
    return root


def python(root: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True)


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
    result = python(project, "-m", "lra.tables", "modified=true", "trainer=smoke")
    assert result.returncode == 0, result.stderr
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
    result = python(project, "run.py", f"evaluate={saved}", "trainer.threads=1", "trainer=smoke")
    assert result.returncode == 0, result.stderr
    assert "test distance" in result.stdout
    assert "bit for bit, predictions too" in result.stdout


def test_its_rows_may_join_the_board_and_tampered_ones_may_not(project):
    path = next(project.glob("results/smoke/runs/*/fourier/*.json"))
    board = project / "board"
    shutil.copytree(project / "results/smoke/labels", board / "labels")
    words = ["-m", "lra.submit", str(path), "origin=A. Person", f"results.root={board}"]
    sound = path.read_text()
    claim = json.loads(sound)
    claim["test"]["exact"]["value"] = 1.0
    path.write_text(json.dumps(claim))
    refused = python(project, *words)
    assert refused.returncode == 1
    assert "its predictions give exact" in refused.stderr
    path.write_text(sound)
    added = python(project, *words)
    assert added.returncode == 0, added.stderr
    assert len(list(board.glob("runs/listops/fourier/*.npy"))) == 1


def test_its_command_names_it():
    found = a_row(objective="distance", headline=second.DISTANCE, test=None)
    assert "objective=distance" in found.overrides
    assert not [word for word in a_row().overrides if word.startswith("objective")]
