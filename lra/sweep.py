"""python run.py -m ...: each cell is a child process, so that none can touch another's memory,
random numbers or threads, and a kill costs one cell."""

import signal
import subprocess
import sys

from omegaconf import DictConfig

import data_prep
from lra import config, rows
from lra.attempt import Attempt
from lra.cell import Cell, cell
from lra.environment import ROOT
from lra.errors import failed_cells
from lra.interrupt import EXIT_CODES


def run_child(cfg: DictConfig) -> float | None:
    """Runs one cell under whatever launcher. Never raises for what happens in the cell: its row
    says it. Returns the val accuracy, or None."""
    manifest = data_prep.read_manifest(data_prep.folder(cfg.task, cfg.data))
    if manifest is not None and not cfg.rerun:
        this = cell(cfg, manifest)
        done = rows.newest_done(this.rows, this.id)
        if done:
            row, path = done
            print(f"Done already: {path}", flush=True)
            return row.val.accuracy

    overrides = config.typed_overrides()
    before = _attempts(cfg)
    child = subprocess.Popen([sys.executable, str(ROOT / "run.py"), *overrides])
    code = _wait(child)
    after = _attempts(cfg)
    new = [row for key, row in after.items() if key not in before]
    if code < 0:
        if not new:
            _record_kill(cfg, -code)
        failed_cells.append(" ".join(overrides))
        return None
    if code != 0:
        failed_cells.append(" ".join(overrides))
    if code in (EXIT_CODES[signal.SIGINT], EXIT_CODES[signal.SIGTERM]) or (
        new and new[-1].status == "interrupted"
    ):
        raise SystemExit(code)  # the sweep was asked to stop, not this cell alone
    row = new[-1] if new else None
    return row.val.accuracy if row and row.status == "done" else None


def _wait(child: subprocess.Popen) -> int:
    """The child gets the terminal's Ctrl-C itself; other signals are passed on to it."""
    numbers = tuple(EXIT_CODES)

    def forward(number, frame):
        if number != signal.SIGINT:
            child.send_signal(number)

    previous = {number: signal.signal(number, forward) for number in numbers}
    try:
        return child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _this(cfg: DictConfig) -> Cell | None:
    manifest = data_prep.read_manifest(data_prep.folder(cfg.task, cfg.data))
    return cell(cfg, manifest) if manifest else None


def _attempts(cfg: DictConfig) -> dict[str, rows.Row]:
    this = _this(cfg)
    return {path.name: row for row, path in rows.read_cell(this.rows, this.id)} if this else {}


def _record_kill(cfg: DictConfig, number: int) -> None:
    this = _this(cfg)
    if this is None:
        return
    name = signal.Signals(number).name
    hint = ": out of memory, or killed by hand" if number == signal.SIGKILL else ""
    Attempt(cfg, this).write("failed", f"The process was ended by {name}{hint}.")
