"""Sweeps: python run.py -m ..., and what the store says of one.

python -m lra.sweep status task=listops,text model=fourier,performer seed=0,1,2
python -m lra.sweep plan   ...the same...

Under -m, run.py is a supervisor: each cell is a child process, so that none can touch another's
memory, random numbers or threads, and a kill costs one cell. The results store is the only ledger:
what is done, failed or claimed is read from it, whatever launcher computed it, here or elsewhere.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

import data_prep
from lra import claim, config, rows
from lra.attempt import Attempt
from lra.cell import Cell, cell
from lra.claim import Busy
from lra.environment import ROOT, cores
from lra.errors import UserError, exit_code, explain, failed_cells, one_of
from lra.interrupt import EXIT_CODES
from lra.micro_batch import halved
from lra.text import duration

FAILED = ("failed", "diverged", "oom", "wrong")
# What retry=... runs again. What diverged or ran out of memory would do so again.
AGAIN = {"none": (), "failed": ("failed",), "all": ("failed", "diverged", "oom")}


def run_child(cfg: DictConfig) -> float | None:
    """Runs one cell under whatever launcher and returns its val accuracy, or None. Never raises for
    what happens in the cell: its row says it. SystemExit: the sweep was asked to stop."""
    try:
        config.check(cfg)
        before = look(cfg)
        if before.status == "done" and not cfg.rerun:
            print(rows.done_already(before.row, before.path), flush=True)
            return before.row.val.accuracy
        if before.status in AGAIN["all"] and before.status not in AGAIN[cfg.retry]:
            print(f"{before.status} before: {before.path} (retry=all runs it again).", flush=True)
            return None
        command = [sys.executable, str(ROOT / "run.py"), *config.typed_overrides()]
        after = _run_cell(cfg, command)
        while cfg.trainer.micro_batch == "auto" and after.status == "oom" and _halved(cfg):
            print(f"Out of memory: {after.path}; again in smaller parts.", flush=True)
            after = _run_cell(cfg, command)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return None
    return after.row.val.accuracy if after.status == "done" else None


def _run_cell(cfg: DictConfig, command: list[str]) -> "State":
    before, killed_before = look(cfg), out_of_memory_kills()
    code = run_process(command, _threads())
    if code < 0 and look(cfg).path == before.path:
        memory = code == -signal.SIGKILL and out_of_memory_kills() > killed_before
        _record_kill(cfg, -code, memory)
    return look(cfg)


def _halved(cfg: DictConfig) -> int:
    this = _cell(cfg)
    return halved([row for row, _ in rows.read_cell(this.rows, this.id)], cfg.batch_size)


def out_of_memory_kills() -> int:
    """How many processes the kernel has ended for want of memory since the machine started."""
    with suppress(OSError), open("/proc/vmstat") as file:
        return next((int(ln.split()[1]) for ln in file if ln.startswith("oom_kill ")), 0)
    return 0


def run_process(command: list[str], threads: int) -> int:
    """The child's exit code; SystemExit where this process was asked to stop. The child has a
    session of its own: a Ctrl-C reaches it through here, once, like every other signal."""
    asked: list[int] = []
    child = None

    def forward(number, frame):
        asked.append(number)
        if child is not None:
            child.send_signal(number)

    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, forward) for number in EXIT_CODES}
    else:  # a launcher's worker thread cannot receive signals
        previous = {}
    try:
        environment = {"OMP_NUM_THREADS": str(threads)} | dict(os.environ)
        child = subprocess.Popen(command, start_new_session=True, env=environment)
        code = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if asked:
        raise SystemExit(EXIT_CODES[asked[0]])
    return code


def _threads() -> int:
    """The share of this job, where the launcher runs several on one machine."""
    launcher = HydraConfig.get().launcher
    if "n_jobs" in launcher:  # joblib; -1 is as many as there are cores
        return max(1, cores() // launcher.n_jobs) if launcher.n_jobs > 0 else 1
    share = launcher.get("cpus_per_task") or OmegaConf.select(launcher, "ray.remote.num_cpus")
    return int(share or cores())


def _record_kill(cfg: DictConfig, number: int, memory: bool) -> None:
    this = _cell(cfg)
    if this is not None:
        name = signal.Signals(number).name
        hint = ", as the kernel does when memory is short" if memory else ""
        # Busy: another worker is at it already; then its row will count
        with suppress(Busy), this.claimed(cfg, wait=False) as mine:
            attempt = Attempt(cfg, this, mine)
            attempt.facts |= _progress(this)
            status = "oom" if memory else "failed"
            attempt.write(status, f"The process was ended by {name}{hint}.")


def _progress(this: Cell) -> dict:
    """What its last checkpoint says of a process that could not say it itself."""
    if not this.last.exists():
        return {}
    from lra import checkpoint

    stored = checkpoint.load(this.last)
    return {"environment": stored["lra"]["environment"], "last_step": stored["global_step"]}


@dataclass
class State:
    """What the store says of a cell. status: its newest row's, or running, missing, wrong."""

    status: str
    cfg: DictConfig | None = None
    row: rows.Row | None = None
    path: Path | None = None
    error: str | None = None
    name: str = ""  # the overrides in which it differs from the other cells of its sweep

    @property
    def seconds(self) -> float | None:
        return wall_seconds(self.row) if self.row else None

    @property
    def steps_left(self) -> int:
        done = self.row.last_step or 0 if self.row else 0
        return max(0, self.cfg.trainer.max_steps - done)


def look(cfg: DictConfig) -> State:
    this = _cell(cfg)
    if this is None:  # the data are not there yet
        return State("missing", cfg)
    done = rows.newest_done(this.rows, this.id)
    if done:
        return State("done", cfg, *done)
    newest = (rows.read_cell(this.rows, this.id) or [(None, None)])[-1]
    if claim.held(this.work):
        return State("running", cfg, *newest)
    row, path = newest
    return State(row.status, cfg, row, path, row.error) if row else State("missing", cfg)


def _cell(cfg: DictConfig) -> Cell | None:
    manifest = data_prep.read_manifest(data_prep.folder(cfg.task, cfg.data))
    return cell(cfg, manifest) if manifest else None


def wall_seconds(row: rows.Row) -> float:
    """From the start of the attempt to its row: preparation and evaluation included."""
    start, end = map(datetime.fromisoformat, (row.started, row.finished))
    return (end - start).total_seconds()


def grid(overrides: list[str]) -> list[list[str]]:
    """The overrides of each cell that `run.py -m <overrides>` would run, in its order."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = parser.parse_overrides([o for o in overrides if not o.startswith("hydra")])
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    return jobs


def look_at_all(overrides: list[str]) -> list[State]:
    jobs = grid(overrides)
    common = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    states = []
    for job in track(jobs, "looking at the cells", transient=True, disable=len(jobs) < 10):
        try:
            cfg = config.compose(job)
            config.check(cfg)
            state = look(cfg)
        except UserError as error:
            state = State("wrong", error=str(error))
        except Exception as error:  # what Hydra finds in a mistyped override
            message = explain(error)
            if message is None:
                raise
            state = State("wrong", error=message)
        state.name = " ".join(o for o in job if o not in common)
        states.append(state)
    return states


def counts(states: list[State], words: list[str]) -> str:
    """3 done, 1 failed: what there is of these words."""
    found = Counter(words)
    return f"{len(states)} cells: " + ", ".join(f"{n} {word}" for word, n in found.items())


def estimate(states: list[State], measured: list[rows.Row]) -> list[str]:
    """How long what is not done would take, one cell after the other, by the finished rows of the
    same task, model, length and batch: a line for each device that has any."""
    seconds = defaultdict(list)  # (device, what decides) -> per step
    for row in measured:
        if row.status == "done" and row.last_step and not row.resumes:
            device = f"{row.environment['device']}, {row.environment['threads']} threads"
            seconds[device, _decides(row.config)].append(wall_seconds(row) / row.last_step)
    todo = [state for state in states if state.cfg is not None and state.status != "done"]
    lines = []
    for device in sorted({device for device, _ in seconds}):
        known = [
            state.steps_left * median(seconds[device, key])
            for state in todo
            if (key := _decides(config.identity(state.cfg))) and (device, key) in seconds
        ]
        if known:
            rest = len(todo) - len(known)
            lines.append(
                f"{duration(sum(known))} on {device}, for {len(known)} of {len(todo)} cells"
                + (f" ({rest} never measured there)" if rest else "")
            )
    return lines


def _decides(tree: dict) -> tuple:
    """What of a configuration decides the time of a step."""
    model = {k: v for k, v in tree["model"].items() if k != "init_std"}
    return tree["task"]["name"], tree["task"]["variant"], tree["batch_size"], str(model)


def show(states: list[State], words: list[str]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    view = Table(box=None, pad_edge=False)
    for column in ("cell", "status", "seconds", "test %", ""):
        view.add_column(column, justify="right" if column in ("seconds", "test %") else "left")
    for state, word in zip(states, words, strict=True):
        score = state.row.test if state.status == "done" else None
        view.add_row(
            state.name or "the only one",
            word,
            f"{state.seconds:.0f}" if state.seconds is not None else "-",
            f"{100 * score.accuracy:.2f}" if score else "-",
            (state.error or "").split("\n")[0].replace("[", r"\["),
        )
    console.print(view)
    console.print(counts(states, words), markup=False)


class Ledger(Callback):
    """Hydra's callback around a sweep: the plan before it, the table of its cells after it."""

    def on_multirun_start(self, config: DictConfig, **_) -> None:
        self.start = datetime.now(UTC)
        states = look_at_all(list(config.hydra.overrides.task))
        print(counts(states, [state.status for state in states]))
        for line in estimate(states, _all_rows(states)):
            print(f"about {line}", flush=True)

    def on_multirun_end(self, config: DictConfig, **_) -> None:
        states = look_at_all(list(config.hydra.overrides.task))
        words = [self._word(state) for state in states]
        show(states, words)
        failed_cells.extend(
            state.name for state, word in zip(states, words, strict=True) if word in FAILED
        )

    def _word(self, state: State) -> str:
        if state.status == "done":
            new = datetime.fromisoformat(state.row.finished) >= self.start.replace(microsecond=0)
            return "done" if new else "skipped"
        return {"running": "running elsewhere", "missing": "failed"}.get(state.status, state.status)


def _all_rows(states: list[State]) -> list[rows.Row]:
    roots = {Path(state.cfg.results.path) for state in states if state.cfg is not None}
    return [row for root in sorted(roots) for row in rows.read_all(root)]


def main() -> None:
    command, *overrides = sys.argv[1:] or [""]
    if command not in ("status", "plan"):
        raise one_of("command of lra.sweep", command, ["status", "plan"])
    with initialize_config_dir(config_dir=str(config.CONF), version_base="1.3"):
        states = look_at_all(overrides)
    if command == "plan":
        states = [state for state in states if state.status != "done"]
    show(states, [state.status for state in states])
    for line in estimate(states, _all_rows(states)):
        print(f"what is left takes about {line}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
