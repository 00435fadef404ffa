"""Runs the cells of `run.py -m`, each as a child process.

No cell can touch another's memory, random numbers or threads, and a kill costs one cell. The
results store is the only ledger: which cells are done, failed or claimed is read from it, whatever
launcher computed them, here or elsewhere.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from lra import config
from lra.config import Configuration
from lra.environment import thread_count
from lra.errors import EXIT_CODES, KILLED, UserError
from lra.machine import ROOT, cores
from lra.store import runs
from lra.store.cell import Cell, find
from lra.store.claim import Busy
from lra.store.row import Status
from lra.sweep.status import State, look
from lra.training.attempt import Attempt
from lra.training.micro_batch import halved

# What retry=... runs again. What diverged or ran out of memory would do so again.
AGAIN = {"none": (), "failed": ("failed",), "all": ("failed", "diverged", "oom")}


def run_child(cfg: DictConfig) -> float | None:
    """Runs one cell under whatever launcher and returns its val metric, or None. Never raises for
    what happens in the cell: its row says it. SystemExit: the sweep was asked to stop."""
    try:
        configuration = Configuration(cfg, config.typed_overrides())
        before = look(configuration)
        if before.status == "done" and not cfg.rerun:
            print(runs.done_already(before.row, before.path), flush=True)
            return before.row.val_score.value
        if before.status in AGAIN["all"] and before.status not in AGAIN[cfg.retry]:
            print(f"{before.status} before: {before.path} (retry=all runs it again).", flush=True)
            return None
        command = [sys.executable, str(ROOT / "run.py"), *config.typed_overrides()]
        after = _run_cell(configuration, command)
        while (
            cfg.trainer.micro_batch == "auto" and after.status == "oom" and _halved(configuration)
        ):
            print(f"Out of memory: {after.path}; again in smaller parts.", flush=True)
            after = _run_cell(configuration, command)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return None
    return after.row.val_score.value if after.status == "done" else None


def _run_cell(configuration: Configuration, command: list[str]) -> "State":
    before, killed_before = look(configuration), out_of_memory_kills()
    code = run_process(command, _threads())
    if code < 0 and look(configuration).path == before.path:
        memory = code == KILLED and out_of_memory_kills() > killed_before
        _record_kill(configuration, -code, memory)
    return look(configuration)


def _halved(configuration: Configuration) -> int:
    this = find(configuration)
    attempts = [row for row, _ in runs.read_cell(this.rows, this.id)]
    return halved(attempts, configuration.cfg.batch_size)


def out_of_memory_kills() -> int:
    """Returns how many processes the kernel has ended for want of memory since the start."""
    with suppress(OSError), open("/proc/vmstat", encoding="utf-8") as file:
        return next((int(ln.split()[1]) for ln in file if ln.startswith("oom_kill ")), 0)
    return 0


def run_process(command: list[str], threads: int) -> int:
    """Runs a child and returns its exit code; SystemExit where this process was asked to stop. The
    child has a session of its own: a Ctrl-C reaches it through here, once, like any signal."""
    asked: list[signal.Signals] = []
    child = None

    def forward(number, frame):
        asked.append(signal.Signals(number))
        if child is not None:
            with suppress(ValueError):  # Windows, whose console sends a Ctrl-C to the child itself
                child.send_signal(number)

    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, forward) for number in EXIT_CODES}
    else:  # a launcher's worker thread cannot receive signals
        previous = {}
    try:
        threads = thread_count(None, otherwise=threads)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        child = subprocess.Popen(command, start_new_session=True, env=environment)
        code = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if asked:
        raise SystemExit(EXIT_CODES[asked[0]])
    return code


def _threads() -> int:
    """Returns this job's share of the cores, where the launcher runs several on one machine."""
    launcher = HydraConfig.get().launcher
    if "n_jobs" in launcher:  # joblib; -1 is as many as there are cores
        return max(1, cores() // launcher.n_jobs) if launcher.n_jobs > 0 else 1
    share = launcher.get("cpus_per_task") or OmegaConf.select(launcher, "ray.remote.num_cpus")
    return int(share or cores())


def _record_kill(configuration: Configuration, number: int, memory: bool) -> None:
    this = find(configuration)
    if this is not None and (memory or this.began.exists()):
        name = signal.Signals(number).name
        hint = ", as the kernel does when memory is short" if memory else ""
        # Busy: another worker is at it already; then its row will count
        with suppress(Busy), this.claimed(configuration.cfg, wait=False) as mine:
            objective = instantiate(configuration.cfg.objective)
            attempt = Attempt(configuration, objective, this, mine)
            attempt.facts |= _progress(this)
            status: Status = "oom" if memory else "failed"
            attempt.write(status, f"The process was ended by {name}{hint}.")


def _progress(this: Cell) -> dict:
    """Returns the facts in the last checkpoint of a process that was killed."""
    if not this.last.exists():
        return {}
    from lra.training import checkpoint

    stored = checkpoint.load(this.last)
    return {"environment": stored["lra"]["environment"], "last_step": stored["global_step"]}
