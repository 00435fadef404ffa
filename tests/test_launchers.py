"""The same sweep under each of Hydra's launchers."""

import signal

import psutil
import pytest

from lra.machine import cores
from tests.test_run import LONG, until_checkpoint

pytestmark = pytest.mark.slow
LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"],
    "ray": ["hydra/launcher=ray_cluster", "hydra.launcher.ray.init.num_cpus=2"],
}


def launcher(name):
    pytest.importorskip(
        f"hydra_plugins.hydra_{name}_launcher", reason=f"pip install -e '.[{name}]' brings it"
    )
    return LAUNCHERS[name]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_sweep_leaves_each_row_once_and_says_what_failed(run, name):
    """Runs four cells, two of which diverge; then the same call skips the done ones."""
    sweep = ["-m", "optim.lr=1e-3,1e30", "optim.clip=null", "seed=0,1", *launcher(name)]
    first = run(*sweep)
    assert first.returncode == 1, first.stderr
    assert sorted(row.status for row in run.rows()) == ["diverged"] * 2 + ["done"] * 2
    assert first.stdout.count("diverged") >= 2
    assert "2 done, 2 diverged" in first.stdout
    assert "4 cells: 2 skipped, 2 diverged" in run(*sweep).stdout
    assert len(run.rows()) == 4


def test_two_jobs_on_one_machine_share_its_cores(run):
    """Gives each job half of the cores, since trainer.threads is not set."""
    run.common.remove("trainer.threads=1")
    result = run("-m", "seed=0,1", *launcher("joblib"))
    assert result.returncode == 0, result.stderr
    assert [row.environment["threads"] for row in run.rows()] == [max(1, cores() // 2)] * 2


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_killed_cell_costs_that_cell_alone(run, name):
    sweep = run.start("-m", "seed=0,1", *LONG, "max_steps=400", *launcher(name))
    until_checkpoint(run, sweep)
    cells = [p for p in psutil.process_iter(["cmdline"]) if _trains(p, run)]
    cells[0].send_signal(signal.SIGKILL)
    sweep.communicate(timeout=300)
    assert sweep.returncode == 1
    assert sorted(row.status for row in run.rows()) == ["done", "failed"]
    again = run("-m", "seed=0,1", *LONG, "max_steps=400", *launcher(name))
    assert again.returncode == 0
    assert "1 done" in again.stdout
    assert "1 skipped" in again.stdout


def _trains(process, run) -> bool:
    words = process.info["cmdline"] or []
    return f"results.root={run.results.parent}" in words and "-m" not in words


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_killed_launcher_is_completed_by_the_next_call(run, name):
    sweep = run.start("-m", "seed=0,1,2", *LONG, "max_steps=400", *launcher(name))
    until_checkpoint(run, sweep)
    for process in [*psutil.Process(sweep.pid).children(recursive=True), psutil.Process(sweep.pid)]:
        if process.is_running() and not _trains_pid(process, run):
            process.kill()
    sweep.communicate()
    again = run("-m", "seed=0,1,2", *LONG, "max_steps=400", "wait=true", *launcher(name))
    assert again.returncode == 0, again.stderr
    assert [(row.seed, row.status) for row in run.rows() if row.status == "done"] == [
        (seed, "done") for seed in range(3)
    ]


def _trains_pid(process, run) -> bool:
    process.info = {"cmdline": process.cmdline()}
    return _trains(process, run)
