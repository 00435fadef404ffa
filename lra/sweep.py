"""python run.py -m ...: each cell is a child process, so that none can touch another's memory,
random numbers or threads, and a kill costs one cell."""

import signal
import subprocess
import sys
import threading

from omegaconf import DictConfig

import data_prep
from lra import config, rows
from lra.attempt import Attempt
from lra.cell import Cell, cell
from lra.environment import ROOT
from lra.errors import UserError, failed_cells
from lra.interrupt import EXIT_CODES


def run_child(cfg: DictConfig) -> float | None:
    """Runs one cell under whatever launcher and returns its val accuracy, or None. Never raises for
    what happens in the cell: its row says it. SystemExit: the sweep was asked to stop."""
    overrides = config.typed_overrides()
    try:
        config.check(cfg)
        done = _done(cfg)
        if done and not cfg.rerun:
            row, path = done
            print(f"Done already: {path}", flush=True)
            return row.val.accuracy
        before = _attempts(cfg)
        code = _run([sys.executable, str(ROOT / "run.py"), *overrides])
        new = [row for name, row in _attempts(cfg).items() if name not in before]
        if code < 0 and not new:
            _record_kill(cfg, -code)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code, new = 1, []
    if code:
        failed_cells.append(" ".join(overrides))
    return new[-1].val.accuracy if new and new[-1].status == "done" else None


def _run(command: list[str]) -> int:
    """The child's exit code. It has a session of its own: a Ctrl-C reaches it through here, once,
    like every other signal."""
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
        child = subprocess.Popen(command, start_new_session=True)
        code = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if asked:
        raise SystemExit(EXIT_CODES[asked[0]])
    return code


def _this(cfg: DictConfig) -> Cell | None:
    manifest = data_prep.read_manifest(data_prep.folder(cfg.task, cfg.data))
    return cell(cfg, manifest) if manifest else None


def _done(cfg: DictConfig):
    this = _this(cfg)
    return this and rows.newest_done(this.rows, this.id)


def _attempts(cfg: DictConfig) -> dict[str, rows.Row]:
    this = _this(cfg)
    return {path.name: row for row, path in rows.read_cell(this.rows, this.id)} if this else {}


def _record_kill(cfg: DictConfig, number: int) -> None:
    this = _this(cfg)
    if this is not None:
        name = signal.Signals(number).name
        hint = ": out of memory, or killed by hand" if number == signal.SIGKILL else ""
        Attempt(cfg, this).write("failed", f"The process was ended by {name}{hint}.")
