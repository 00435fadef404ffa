"""A cell of the results table: a computation, named by its configuration and its data."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

import data_prep
from data_prep import Manifest
from lra.config import Configuration
from lra.config.identity import identifier
from lra.errors import UserError
from lra.store import runs
from lra.store.claim import Claim


@dataclass(frozen=True)
class Cell:
    """A cell and its folders.

    id: the hash of the configuration that decides the result, and of the data's fingerprint.
    results: the user's results folder. work: checkpoints and logs, in a folder named by the id, so
    that the same command typed again finds the checkpoint of an interrupted run. rows: the records.
    """

    id: str
    manifest: Manifest
    results: Path
    work: Path
    rows: Path

    def path(self, row) -> Path:
        return self.rows / f"{row.name}.json"

    @property
    def last(self) -> Path:
        """The last checkpoint; removed once the cell is done."""
        return self.work / "last.ckpt"

    @property
    def began(self) -> Path:
        """An empty file, there from the first step of an attempt to the end of the cell."""
        return self.work / "began"

    @property
    def selected(self) -> Path:
        """The weights that the test split is scored with, for evaluate=..."""
        return self.work / "selected.ckpt"

    @property
    def pretrained(self) -> Path:
        """The folder that init=... of other runs names."""
        return self.work / "pretrained"

    @contextmanager
    def claimed(self, cfg: DictConfig, wait: bool) -> Iterator[Claim]:
        """Claims the cell for one worker, and removes the half-written files of a killed one."""
        must_not_be_board(cfg.results)
        settings = {"renew": cfg.results.renew, "expire": cfg.results.expire, "wait": wait}
        with Claim(self.work, **settings) as claim:
            for leftover in self.work.glob(".*.ckpt-*"):
                leftover.unlink(missing_ok=True)
            yield claim

    def forget_attempts(self) -> None:
        """Removes what only an unfinished cell needs."""
        self.last.unlink(missing_ok=True)
        self.began.unlink(missing_ok=True)

    def forget_older_than(self, done) -> None:
        """Removes a checkpoint older than the finished row, so that a rerun starts at the first
        step. A newer checkpoint is the rerun's own, which goes on from it."""
        if done and self.last.exists():
            _, path = done
            if self.last.stat().st_mtime_ns <= path.stat().st_mtime_ns:
                self.last.unlink()


def must_not_be_board(results: DictConfig) -> None:
    """Raises UserError where a command would compute into the board. results: the config group."""
    if runs.is_board(results):
        raise UserError(
            f"results.root={results.path} is the board, to which rows come by python -m lra.submit "
            "alone: choose another folder."
        )


def find(configuration: Configuration) -> Cell | None:
    """Returns the cell; None where its data are not made yet. Raises UserError where other data
    than the configuration's are in their place."""
    cfg = configuration.cfg
    path = data_prep.folder(cfg.task, cfg.data)
    manifest = data_prep.read_manifest(path)
    if manifest is None:
        return None
    manifest.must_be(cfg.task, cfg.data, path)
    return cell(configuration, manifest)


def cell(configuration: Configuration, manifest: Manifest) -> Cell:
    """Returns the cell that a configuration names on these data."""
    id_ = identifier(configuration.identity, manifest.fingerprint)
    cfg = configuration.cfg
    path = Path(cfg.results.path)
    return Cell(
        id=id_,
        manifest=manifest,
        results=path,
        work=path / "work" / id_,
        rows=path / "runs" / cfg.task.name / configuration.label,
    )
