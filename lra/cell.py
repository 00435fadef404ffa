"""A cell of the results table: what is computed, under a name that its configuration fixes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from data_prep import Manifest
from lra import config


@dataclass(frozen=True)
class Cell:
    """id: hash of the configuration that decides the result, and of the data's fingerprint.

    work (ignored by git) holds checkpoints and logs. Its name follows from the id, so that the same
    command typed again finds what an interrupted one left. rows holds the records.
    """

    id: str
    manifest: Manifest
    work: Path
    rows: Path

    @property
    def last(self) -> Path:
        """Where training stands; removed once the cell is done."""
        return self.work / "last.ckpt"

    @property
    def selected(self) -> Path:
        """The weights that the test split is scored with, for evaluate=..."""
        return self.work / "selected.ckpt"


def cell(cfg: DictConfig, manifest: Manifest) -> Cell:
    decides = json.dumps([config.identity(cfg), manifest.fingerprint], sort_keys=True)
    identifier = hashlib.sha256(decides.encode()).hexdigest()[:16]
    path = Path(cfg.results.path)
    return Cell(
        id=identifier,
        manifest=manifest,
        work=path / "work" / identifier,
        rows=path / "runs" / cfg.task.name / cfg.model.name,
    )
