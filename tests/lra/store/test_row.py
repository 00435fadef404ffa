import json
import multiprocessing
import shutil

import numpy as np
import pytest
from scipy import stats

from lra.errors import UserError
from lra.objective import Score, share_score
from lra.objective.classification import ACCURACY
from lra.store import runs
from lra.store.row import Memory, Row, Speed


def row(**changes) -> Row:
    facts = {
        "cell": "c0",
        "task": "listops",
        "variant": "standard",
        "fingerprint": "f" * 64,
        "model": "fourier",
        "objective": "classification",
        "headline": ACCURACY,
        "selection": ACCURACY,
        "protocol": "matched",
        "preset_source": None,
        "budget_source": "a paper",
        "seed": 0,
        "commit": None,
        "dirty": None,
        "modified": {},
        "status": "done",
        "select": "best_val",
        "val": {"accuracy": share_score(38, 100)},
        "test": {"accuracy": share_score(74, 200)},
        "parameters": 1000,
        "train_seconds": 60.0,
        "speed": Speed(train_examples_per_second=100.0, eval_examples_per_second=300.0),
        "memory": Memory(peak_bytes=10**6, kind="RssAnon"),
        "environment": {
            "device": "cpu",
            "device_type": "cpu",
            "devices": 1,
            "threads": 2,
            "precision": "32-true",
        },
        "started": "then",
        "finished": "now",
        "baselines": {"majority label": {"val": 0.16, "test": 0.17}},
        "config": {"model": {"seq_len": 2000}},
    }
    scores = {"val", "test"} & changes.keys()  # given as one score of the headline metric
    changes |= {s: {"accuracy": changes[s]} for s in scores if isinstance(changes[s], Score)}
    return Row(**facts | changes)


@pytest.mark.parametrize("correct, n", [(0, 10), (3, 10), (740, 2000), (50, 50)])
def test_the_interval_is_wilsons(correct, n):
    score = share_score(correct, n)
    expected = stats.binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert (score.low, score.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert score.value == correct / n


def test_reads_what_was_written(tmp_path):
    path = runs.write(tmp_path, row(), np.uint8([1, 2, 3]))
    assert path.name == "c0-1.json"
    assert runs.read(path).model_dump() == row(attempt=1).model_dump()
    assert np.load(path.with_suffix(".npy")).tolist() == [1, 2, 3]


def test_the_curve_stands_beside_the_row(tmp_path):
    folder = tmp_path / "runs/listops/fourier"
    curve = [(50, 2.25, 0.17), (100, 1.5, 1 / 3)]
    first = runs.read(runs.write(folder, row(), curve=curve))
    without = runs.read(runs.write(folder, row()))
    found = runs.read_curve(first)
    assert found.values.tolist() == [[50, 2.25, 0.17], [100, 1.5, pytest.approx(1 / 3, abs=1e-6)]]
    assert runs.read_curve(without) is None


def test_a_name_that_a_killed_writer_left_half_taken_is_passed_over(tmp_path):
    (tmp_path / f"{row().cell}-1.csv").write_text("")
    path = runs.write(tmp_path, row(), np.zeros(3, np.uint8), curve=[(1, 1.0, 0.5)])
    assert path.stem.endswith("-2")
    assert {p.suffix for p in tmp_path.glob("*-2.*")} == {".csv", ".npy", ".json"}
    assert not list(tmp_path.glob("*-1.npy"))


def test_attempts_are_counted_and_never_overwritten(tmp_path):
    first = runs.write(tmp_path, row(status="interrupted"))
    content = first.read_bytes()
    runs.write(tmp_path, row(status="done"))
    runs.write(tmp_path, row(status="failed"))
    assert first.read_bytes() == content
    assert [r.status for r, _ in runs.read_cell(tmp_path, "c0")] == [
        "interrupted",
        "done",
        "failed",
    ]
    found, path = runs.newest_done(tmp_path, "c0")
    assert (found.attempt, path.name) == (2, "c0-2.json")
    assert runs.newest_done(tmp_path, "c1") is None


def write_many(folder, seed):
    for _ in range(10):
        runs.write(folder, row(seed=seed), np.uint8([seed]))


def test_many_processes_lose_no_row(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, s)) for s in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stored = runs.read_cell(tmp_path, "c0")
    assert [r.attempt for r, _ in stored] == list(range(1, 41))
    assert sorted(r.seed for r, _ in stored) == sorted(list(range(4)) * 10)
    for r, path in stored:
        assert np.load(path.with_suffix(".npy")).tolist() == [r.seed]


@pytest.mark.parametrize("change", [{"status": "fine"}, {"seed": None}])
def test_a_row_that_does_not_fit_the_schema_is_named(tmp_path, change):
    path = tmp_path / "c0-1.json"
    path.write_text(json.dumps(row().model_dump() | change))
    with pytest.raises(UserError, match="c0-1.json is not a valid row"):
        runs.read(path)


def test_a_half_written_row_is_named(tmp_path):
    path = runs.write(tmp_path, row())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="not a valid row"):
        runs.read(path)


def test_a_copy_that_a_file_service_made_counts_once(tmp_path):
    folder = tmp_path / "runs" / "listops" / "fourier"
    path = runs.write(folder, row())
    for name in (
        f"{path.stem} (conflicted copy).json",
        f"Copy of {path.name}",
        f"{path.stem}~.json",
    ):
        shutil.copy(path, folder / name)
    assert [found.path for found in runs.read_all(tmp_path)] == [path]
    assert [file for _, file in runs.read_cell(folder, "c0")] == [path]
    assert runs.write(folder, row()).name == "c0-2.json"


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nothing"])
def test_damaged_predictions_are_named(tmp_path, content):
    path = runs.write(tmp_path, row(), np.arange(3))
    path.with_suffix(".npy").write_bytes(content)
    with pytest.raises(UserError, match=r"c0-1.npy cannot be read: restore it"):
        runs.read_values(path)


def test_nan_is_refused_rather_than_stored(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        runs.write(tmp_path, row(train_seconds=float("nan")))
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize(
    "correct, at_chance", [(170, True), (183, True), (100, True), (210, False)]
)
def test_a_row_whose_interval_covers_chance_is_at_chance(correct, at_chance):
    """Chance is the majority label: 17 % here, n = 1,000."""
    assert row(test=share_score(correct, 1000)).at_chance is at_chance
    assert not row(test=None).at_chance


def test_extra_size_is_a_share_of_the_transformers():
    assert row(parameters=1200, transformer_parameters=1000).extra_size == pytest.approx(0.2)
    assert row(parameters=1200).extra_size is None  # rows older than the field


def test_predictions_may_be_texts(tmp_path):
    texts = ["one\nline", "caf\u00e9", ""]
    path = runs.write(tmp_path / "runs/listops/fourier", row(), texts)
    assert path.with_suffix(".jsonl").exists()
    assert runs.read_values(path) == texts
    assert runs.predictions(runs.read(path)) == texts
    runs.write_targets(tmp_path, "f" * 64, texts)
    assert runs.targets(tmp_path, "f" * 64) == texts


def test_a_score_is_a_number():
    with pytest.raises(ValueError, match="finite"):
        Score(value=float("nan"), n=1, low=0, high=1)
