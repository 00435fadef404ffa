"""The state of a sweep in the store, and the way in which a sweep follows it."""

import json

import pytest

from lra import config
from lra.config import Configuration
from lra.errors import UserError
from lra.store import claim, runs
from lra.store.cell import cell
from lra.sweep import __main__ as command_of_sweep
from lra.sweep import status, supervisor
from tests.conftest import ROOT, TINY
from tests.lra.store.test_row import row

WHERE = {"device": "a machine", "threads": 2}


class Store:
    """Rows and claims of a grid on the tiny ListOps, as runs would have left them."""

    def __init__(self, data_root, results_root):
        self.common = [*TINY, f"data.root={data_root}", f"results.root={results_root}"]

    def cell(self, *overrides):
        import data_prep

        configuration = Configuration.of([*self.common, *overrides])
        cfg = configuration.cfg
        manifest = data_prep.read_manifest(data_prep.folder(cfg.task, cfg.data))
        return configuration, cell(configuration, manifest)

    def write(self, *overrides, **facts):
        configuration, this = self.cell(*overrides)
        about = {"cell": this.id, "config": configuration.identity, "environment": WHERE}
        facts = about | facts
        times = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:10:00+00:00"}
        return runs.write(this.rows, row(**times | facts))

    def look(self, *overrides):
        from hydra import initialize_config_dir

        with initialize_config_dir(config_dir=str(config.CONF), version_base="1.3"):
            return status.look_at_all([*self.common, *overrides])


@pytest.fixture
def store(tiny_root, tmp_path):
    return Store(tiny_root, tmp_path / "results")


def test_the_store_says_what_is_done_failed_running_and_missing(store):
    store.write("seed=0")
    store.write("seed=1", status="oom", test=None, error="no memory")
    store.write("seed=2", status="failed", test=None)
    store.write("seed=2")  # a later attempt went well
    store.write("seed=4", status="interrupted", test=None)
    _, running = store.cell("seed=5")
    with claim.Claim(running.work, renew=10, expire=60):
        states = store.look("seed=0,1,2,3,4,5,6", "model=fourier")
    assert [state.status for state in states] == [
        "done",
        "oom",
        "done",
        "missing",
        "interrupted",
        "running",
        "missing",
    ]
    assert states[1].error == "no memory"
    assert states[0].seconds == 600
    assert [state.name for state in states[:2]] == ["seed=0", "seed=1"]


def test_a_grid_with_globs_is_expanded_as_hydra_does(store):
    states = store.look("model=glob(*,exclude=[*bart,*encoder])")
    assert [state.name for state in states] == [f"model={name}" for name in config.models()]


def test_a_cell_that_cannot_be_composed_is_wrong_and_hides_no_other(store):
    states = store.look("model=fourier,furier", "model.n_layers=2,0")
    assert [state.status for state in states] == ["missing", "wrong", "wrong", "wrong"]
    assert "Did you mean fourier?" in states[2].error
    assert "n_layers=0" in states[1].error


def test_time_is_estimated_from_rows_of_the_same_kind_on_each_device(store):
    store.write("seed=0", last_step=1000)
    store.write("seed=1", last_step=500)
    store.write("seed=2", last_step=500, environment={"device": "fast", "threads": 8})
    store.write("seed=3", status="interrupted", test=None, last_step=4000)
    states = store.look("seed=0,3,4", "model=fourier,fnet", "max_steps=5000")
    measured = runs.read_all(store.cell()[1].results)
    # on a machine 0.6 and 1.2 s a step: 0.9; seed 3 has 1,000 steps to go
    assert status.estimate(states, measured) == [
        "1 h 30 min on a machine, 2 threads, for 2 of 5 cells (3 never measured there)",
        "2 h 00 min on fast, 8 threads, for 2 of 5 cells (3 never measured there)",
    ]
    assert status.estimate(states, []) == []


def test_the_time_of_a_committed_row_counts_for_its_cell(store):
    """The row holds its settings in another order than a configuration of today."""
    board = runs.read_all(ROOT / "results/board")
    whole = (r for r in board if r.status == "done" and r.last_step and not r.resumes)
    measured = next(r for r in whole if not r.inherited)  # whose weights git does not keep
    configuration = Configuration.of([*measured.overrides, "seed=77"])
    (line,) = status.estimate([status.State("missing", configuration)], [measured])
    assert "for 1 of 1 cells" in line


@pytest.mark.parametrize(
    "status, retry, again",
    [
        ("failed", "none", False),
        ("failed", "failed", True),
        ("oom", "failed", False),
        ("diverged", "failed", False),
        ("diverged", "all", True),
        ("interrupted", "none", True),
    ],
)
def test_retry_decides_about_failed_cells(store, monkeypatch, status, retry, again):
    store.write(status=status, test=None)
    configuration, _ = store.cell(f"retry={retry}")
    ran = []
    monkeypatch.setattr(supervisor, "_threads", lambda: 1)
    monkeypatch.setattr(supervisor, "run_process", lambda command, _: ran.append(command) or 1)
    monkeypatch.setattr(config, "typed_overrides", lambda: [])
    assert supervisor.run_child(configuration.cfg) is None
    assert bool(ran) == again


def test_a_finished_cell_is_skipped_and_gives_its_accuracy(store, monkeypatch, capsys):
    store.write(commit="0123456789")
    configuration, _ = store.cell()
    monkeypatch.setattr(supervisor, "run_process", None)
    monkeypatch.setattr(config, "typed_overrides", lambda: [])
    assert supervisor.run_child(configuration.cfg) == 0.38
    assert "Done already" in capsys.readouterr().out


def test_a_row_of_another_commit_counts_and_says_so():
    text = runs.done_already(row(commit="0123456789"), "the path")
    assert text == "Done already: the path, made by commit 0123456 (rerun=true runs it again)."


@pytest.mark.parametrize(
    "launcher, threads",
    [
        ({"n_jobs": 2}, 4),
        ({"n_jobs": -1}, 1),
        ({"n_jobs": 30}, 1),
        ({"cpus_per_task": 3}, 3),
        ({"ray": {"remote": {"num_cpus": 2}}}, 2),
        ({}, 8),
    ],
)
def test_jobs_on_one_machine_share_its_cores(monkeypatch, launcher, threads):
    import types

    from omegaconf import OmegaConf

    hydra = types.SimpleNamespace(launcher=OmegaConf.create(launcher))
    monkeypatch.setattr(supervisor.HydraConfig, "get", staticmethod(lambda: hydra))
    monkeypatch.setattr(supervisor, "cores", lambda: 8)
    assert supervisor._threads() == threads


def test_a_mistyped_command_is_said(monkeypatch):
    monkeypatch.setattr("sys.argv", ["sweep", "statsu", "seed=1"])
    with pytest.raises(UserError, match="Did you mean status?"):
        command_of_sweep.main()


def test_two_sweeps_share_a_grid(run):
    """Started together, they compute each cell once; each reports what the other one has."""
    both = [run.start("-m", "seed=0,1,2", "max_steps=20") for _ in range(2)]
    outputs = [sweep.communicate(timeout=300) for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0], outputs
    assert [(r.seed, r.attempt, r.status) for r in run.rows()] == [
        (seed, 1, "done") for seed in range(3)
    ]
    # by its table, by the cell that it skips, or by the cell that it cannot have: a matter of time
    said = ("running elsewhere", "Done already", "Another process is running this cell")
    assert any(words in out + err for out, err in outputs for words in said)
    status = run("-m", "seed=0,1,2", "max_steps=20")
    assert "3 cells: 3 skipped" in status.stdout


@pytest.mark.slow
def test_a_cell_alone_and_inside_a_sweep_is_the_same(run, tiny_root, tmp_path):
    from tests.conftest import Runner

    alone = Runner(tiny_root, tmp_path / "alone")
    assert alone("model=performer", "seed=1").returncode == 0
    assert run("-m", "model=fourier,performer", "seed=1").returncode == 0
    (expected,) = alone.rows()
    found = next(r for r in run.rows() if r.model == "performer")
    timing = {"started", "finished", "train_seconds", "speed", "memory"}
    a, b = (json.loads(r.model_dump_json(exclude=timing)) for r in (expected, found))
    assert a == b  # the logits' hash among it
