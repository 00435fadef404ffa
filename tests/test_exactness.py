"""A run that is killed at random steps, many times, makes the predictions of an unbroken run."""

import random
import signal
import time

import numpy as np
import pytest

from lra.store import runs
from tests import originals
from tests.conftest import Runner

pytestmark = pytest.mark.slow
STEPS = ["max_steps=40", "val_every=10", "trainer.checkpoint_seconds=0"]


@pytest.fixture(scope="module")
def archives_root(tmp_path_factory):
    path = tmp_path_factory.mktemp("exactness")
    originals.write_all(path / "archives")
    return path


@pytest.fixture
def runner(request, tiny_root, archives_root, tmp_path, monkeypatch):
    """Returns a function: task, name of a results folder -> a Runner."""
    monkeypatch.setenv("LRA_ARCHIVES", str(archives_root / "archives"))

    def make(task, name):
        run = Runner(tiny_root, tmp_path / name)
        if task != "listops":
            run.common = [
                *("trainer=smoke", "trainer.threads=1", f"task={task}", *originals.SETTINGS[task]),
                *(f"data.root={archives_root}/data", f"results.root={tmp_path / name}"),
            ]
        return run

    return make


@pytest.mark.parametrize("task", ["listops", "retrieval"])
@pytest.mark.parametrize("model", ["fourier", "transformer", "reformer", "s4d"])
def test_kills_change_no_prediction(runner, task, model):
    unbroken, killed = runner(task, "unbroken"), runner(task, "killed")
    assert unbroken(*STEPS, f"model={model}").returncode == 0
    (expected,) = unbroken.rows()

    chance, kills = random.Random(f"{task} {model}"), 0
    for _ in range(12):
        child = killed.start(*STEPS, f"model={model}")
        before = newest_checkpoint(killed)
        while child.poll() is None and newest_checkpoint(killed) == before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.6))
        child.kill()
        child.communicate()
        if child.returncode == 0:
            break
        kills += child.returncode == -signal.SIGKILL
    assert kills >= 3
    assert killed(*STEPS, f"model={model}").returncode == 0
    (row,) = killed.rows()
    assert row.test_outputs_sha256 == expected.test_outputs_sha256
    assert (row.val, row.test, row.selected_step) == (
        expected.val,
        expected.test,
        expected.selected_step,
    )
    assert np.array_equal(*(predictions(run) for run in (unbroken, killed)))
    assert row.train_seconds > 0


def newest_checkpoint(run):
    return max((p.stat().st_mtime_ns for p in run.results.glob("work/*/last.ckpt")), default=0)


def predictions(run):
    (path,) = run.results.glob("runs/*/*/*.npy")
    return runs.read_values(path)
