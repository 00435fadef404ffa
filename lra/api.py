"""The Python interface, for notebooks: lra.rows(), lra.run(...), lra.build(...)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lra import config
from lra.cli import explain
from lra.config import Configuration, words
from lra.errors import UserError
from lra.machine import ROOT
from lra.store import runs
from lra.store.cell import find
from lra.store.row import Row

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


def rows(root: str | Path = "results", board: bool = True) -> pd.DataFrame:
    """Returns a line for each finished row below `root` and on the board: task, variant, model,
    protocol, seed, test and val with the interval of test, speed, memory, and more.

    root: a results folder; by default the one to which `run` writes, below the current folder.
    board: False leaves the board out. The column `yours` tells whose a row is; `withdrawn`, why it
    was taken out of the tables (None: it counts); `row` is the row itself (lra.store.row.Row), with
    every setting. Raises UserError where `root` does not exist.
    """
    import pandas as pd

    if root == "results" and not Path(root).exists():  # nothing was run here yet
        root = ROOT / "results"
    results = config.compose([f"results.root={_quoted(root)}"]).results
    found = runs.read_both(results) if board else runs.read_all(Path(root))
    done = [row for row in found if row.status == "done" and row.test is not None]
    return pd.DataFrame([_line(row) for row in done], columns=list(COLUMNS))


COLUMNS = {
    "task": lambda row: row.task,
    "variant": lambda row: row.variant,
    "model": lambda row: row.label,
    "protocol": lambda row: row.protocol,
    "seed": lambda row: row.seed,
    "metric": lambda row: row.headline.name,
    "test": lambda row: row.test_score.value,
    "low": lambda row: row.test_score.low,
    "high": lambda row: row.test_score.high,
    "val": lambda row: row.val_score.value,
    "train_examples_per_second": lambda row: row.speed.train_examples_per_second,
    "peak_bytes": lambda row: row.memory and row.memory.peak_bytes,
    "train_seconds": lambda row: row.train_seconds,
    "parameters": lambda row: row.parameters,
    "modified": lambda row: bool(row.modified),
    "yours": lambda row: row.yours,
    "origin": lambda row: row.origin,
    "withdrawn": lambda row: row.withdrawn and row.withdrawn.why,
    "fingerprint": lambda row: row.fingerprint,
    "cell": lambda row: row.cell,
    "row": lambda row: row,
}


def _line(row: Row) -> dict:
    return {name: get(row) for name, get in COLUMNS.items()}


def _quoted(path: str | Path) -> str:
    return '"' + str(path).replace('"', r"\"") + '"'


def _configuration(overrides: tuple[str, ...]) -> Configuration:
    """Composes and validates; raises UserError for every mistake that a command would explain."""
    config.use_own_folder(None)
    words.check(overrides)
    if flags := [word for word in overrides if word.startswith("-")]:
        raise UserError(f"{flags[0]} is a flag of the command line: give settings as key=value.")
    try:
        return Configuration.of(list(overrides))
    except UserError:
        raise
    except Exception as error:
        if sentence := explain(error):
            raise UserError(sentence) from error
        raise


def run(*overrides: str) -> Row:
    """Runs one cell as `python run.py <overrides>` does, in a process of its own, and returns its
    row. Prints what the command prints. Relative paths are below the current folder. A finished
    cell is not run again, unless one of the words is rerun=true.

    Raises UserError for a wrong setting, and where the run ends without a finished row.
    """
    configuration = _configuration(overrides)
    command = [sys.executable, "-u", str(ROOT / "run.py"), *overrides]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        for line in child.stdout:
            print(line, end="")
    this = find(configuration)
    done = this and runs.newest_done(this.rows, this.id)
    if child.returncode or not done:
        raise UserError(f"run.py {' '.join(overrides)} ended with {child.returncode}: see above.")
    return done[0]


def build(*overrides: str) -> nn.Module:
    """Returns the network that `python run.py <overrides>` would train, with the initial weights of
    its seed: (ids (B, P, N), lengths (B, P)) -> (B, classes), for P documents of N tokens."""
    import torch
    from hydra.utils import instantiate

    from lra.training.module import seed_everything

    cfg = _configuration(overrides).cfg
    with torch.random.fork_rng():
        seed_everything(cfg.seed)
        return instantiate(cfg.copy().model.net)
