"""A search by val accuracy: resumable, exact in its number of trials, blind to the test split."""

import shlex
import subprocess
import sys
import time

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lra import search as command_of_search
from lra.errors import UserError
from lra.report.groups import newest
from lra.report.tables import scores
from lra.store import runs
from lra.sweep import search
from tests.conftest import ROOT
from tests.lra.store.test_row import row


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a=interval(0.1,0.5)", FloatDistribution(0.1, 0.5)),
        ("a=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("a=int(interval(1,8))", IntDistribution(1, 8)),
        ("a=range(2,9,2)", IntDistribution(2, 8, step=2)),
        ("a=choice(0,0.01,cosine)", CategoricalDistribution([0, 0.01, "cosine"])),
        ("a=0,0.1", CategoricalDistribution([0, 0.1])),
    ],
)
def test_hydras_sweep_syntax_names_what_is_searched(text, expected):
    (override,) = OverridesParser.create().parse_overrides([text])
    assert search.distribution(override) == expected


def test_nothing_to_search_is_said(monkeypatch):
    monkeypatch.setattr("sys.argv", ["search", "model=fourier"])
    with pytest.raises(UserError, match="Nothing is searched"):
        command_of_search.main()


def test_a_trial_enters_no_table():
    assert newest([row(test=None)]) == []


def test_a_row_says_how_many_trials_chose_its_setting():
    (table,) = scores.tables([row(trials=40)])
    assert table.frame["preset"][0] == "shared setting (chosen by 40 trials)"


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_with_exactly_its_trials(run, tmp_path):
    space = ["optim.lr=tag(log,interval(1e-4,1e-2))", "optim.weight_decay=choice(0,0.01)"]
    command = [sys.executable, "-m", "lra.search", *run.common, *space, "trials=4"]
    command += ["max_steps=200", "val_every=50", "trainer.checkpoint_seconds=0"]

    def start():
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, **pipes)

    killed = start()
    folder = run.results / "search"
    end = time.monotonic() + 240
    while len(list(folder.glob("*/runs/*/*/*.json"))) < 2 or not list(
        folder.glob("*/work/*/last.ckpt")
    ):
        assert killed.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    again = start()
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    (frame,) = (pd.read_csv(path) for path in folder.glob("*/trials.csv"))
    assert (frame.state == "COMPLETE").sum() == 4
    assert (frame.state == "FAIL").sum() == 1
    found = runs.read_all(next(folder.glob("*")))
    done = [r for r in found if r.status == "done"]
    assert len(done) == len({r.cell for r in done}) == 4
    assert all(r.test is None and r.modified["score_test"] == [True, False] for r in done)
    assert max(r.val_score.value for r in done) == frame.value.max()

    final = shlex.split(out.splitlines()[-1].partition("run.py ")[2])
    assert f"source.trials={4}" in final
    last = subprocess.run([sys.executable, "run.py", *final], cwd=ROOT, capture_output=True)
    assert last.returncode == 0
    (tested,) = run.rows()
    assert tested.trials == 4
    assert tested.test_score.n == 8
