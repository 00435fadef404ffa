"""Runs one sweep through everything that happens to sweeps: python -m pytest tests/test_chaos.py"""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter

import numpy as np
import pandas as pd
import psutil
import pytest

from lra.store import runs
from tests.conftest import ROOT

# 24 cells: of the four sizes two are fine; 65 cannot be built (it is not a multiple of the heads)
# and leaves no row; the last one asks for terabytes. Half of the fine cells diverge, at the higher
# learning rate.
GRID = ["seed=0,1,2", "optim.lr=1e-3,1e30", "model.d_model=64,32,65,2000000", "optim.clip=null"]
WORKERS = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=4"]
SOON = ["results.renew=0.5", "results.expire=5", "trainer.checkpoint_seconds=0"]
STEPS = ["max_steps=30", "val_every=10"]


def expected(row):
    d_model, lr = row.config["model"]["d_model"], row.config["optim"]["lr"]
    if d_model == 2_000_000:
        return "oom"
    return "diverged" if lr > 1 else "done"


def cells_of(run):
    """Yields the processes that compute a cell of this test."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if f"results.root={run.results.parent}" in words and "-m" not in words:
            yield process


def end(process):
    with_children = [*psutil.Process(process.pid).children(recursive=True), process]
    for one in with_children:
        one.kill()
    process.wait()


@pytest.mark.slow
def test_a_sweep_survives_kills_a_full_disk_and_a_second_sweep(run):
    command = run.command("-m", *GRID, *WORKERS, *SOON, *STEPS)
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    chance = random.Random(0)

    # The disk is full: a file larger than 4 kB cannot be written.
    limited = " ".join(f"'{word}'" for word in [command[0], "-B", *command[1:]])
    full = subprocess.Popen(["bash", "-c", f"ulimit -f 4; exec {limited}"], **quiet)
    time.sleep(45)
    end(full)
    for process in cells_of(run):
        process.kill()
    assert not [row for row in run.rows() if row.status == "done"]

    first = subprocess.Popen(command, **quiet)
    second, kills, start = None, 0, time.monotonic()
    while time.monotonic() - start < 90 and first.poll() is None:
        time.sleep(chance.uniform(4, 8))
        if second is None and time.monotonic() - start > 40:
            second = subprocess.Popen(command, **quiet)
        running = list(cells_of(run))
        if running:
            chance.choice(running).send_signal(signal.SIGKILL)
            kills += 1
    assert kills >= 5
    for sweep in (first, second):
        sweep.wait(timeout=600)
    last = subprocess.run([*command, "wait=true"], cwd=ROOT, capture_output=True, text=True)
    assert last.returncode == 1, last.stderr

    found = run.rows()
    newest = {row.cell: row for row in found}  # sorted by attempt
    assert len(newest) == 18
    assert {cell: row.status for cell, row in newest.items()} == {
        cell: expected(row) for cell, row in newest.items()
    }
    done = Counter(row.cell for row in found if row.status == "done")
    assert set(done.values()) == {1}
    assert len(done) == 6
    for cell in newest:
        attempts = [row.attempt for row in found if row.cell == cell]
        assert attempts == list(range(1, len(attempts) + 1))
    for path in run.results.glob("runs/**/*"):
        if path.suffix == ".npy":
            assert len(np.load(path)) == 8
            assert path.with_suffix(".json").exists()
        elif path.suffix == ".csv":
            assert runs.parse_curve(path)
            assert path.with_suffix(".json").exists()
        elif path.is_file():
            json.loads(path.read_bytes())
    (counts,) = re.findall(r"^24 cells: (.*skipped.*)", last.stdout, re.MULTILINE)
    said = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", counts)}
    # a fine cell may have been killed before its first step each time, and be done by the last call
    assert said["skipped"] + said.get("done", 0) == 6
    assert said["failed"] == 6

    table = subprocess.run(
        [command[0], "-m", "lra.tables", "modified=true", f"results.root={run.results}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert table.returncode == 0, table.stderr
    lines = pd.read_csv(run.results / "tables-modified/scores.csv")
    fourier = lines[lines.model.str.startswith("fourier")]
    assert fourier.seeds.tolist() == ["0 1 2"] * 2  # two sizes
    assert runs.read_all(run.results) == found
