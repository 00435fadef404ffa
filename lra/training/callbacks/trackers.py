"""Trackers, which take the curves of a run and its row at the end: CSV files, W&B, TensorBoard.

A tracker is a convenience. CSV files replace a tracker that cannot start; a tracker that breaks is
left out from then on, and the run goes on.
"""

import netrc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from lra import config
from lra.config import Configuration
from lra.store import runs
from lra.store.cell import Cell
from lra.store.row import Row

EXTRAS = {"TensorBoardLogger": "tensorboard"}  # of pyproject.toml
LONGEST = 128  # characters of a name at W&B


class Guarded(Logger):
    """Passes every call on to a logger, until a call breaks."""

    def __init__(self, inner: Logger):
        super().__init__()
        self.inner, self.broken = inner, False

    def _attempt(self, action, *arguments) -> None:
        if self.broken:
            return
        try:
            action(*arguments)
        except Exception as error:
            self.broken = True
            _warn(f"{type(self.inner).__name__} broke ({_first_line(error)}); the run goes on.")

    @property
    def name(self) -> str | None:
        return None

    @property
    def version(self) -> None:
        return None

    def log_metrics(self, metrics, step=None) -> None:
        self._attempt(self.inner.log_metrics, metrics, step)

    def log_hyperparams(self, params, *_, **__) -> None:
        self._attempt(self.inner.log_hyperparams, params)

    def save(self) -> None:
        self._attempt(self.inner.save)

    def finalize(self, status: str) -> None:
        self._attempt(self.inner.finalize, status)

    def record(self, row: Row, path: Path) -> None:
        """Records the finished row: its scores as metrics; with W&B its other fields too, and the
        file as artefact."""
        self._attempt(_record, self.inner, row, path)


def create(configuration: Configuration, cell: Cell) -> Guarded:
    """Starts the tracker.

    cfg.logger is partial: the cell decides where it writes, and under which id. A resumed run goes
    on with its curves; a run that is repeated after it was done has curves of its own.
    """
    from hydra.utils import instantiate

    cfg = configuration.cfg
    settings: dict[str, Any] = {"save_dir": str(cell.work / "logs")}
    if "version" in cfg.logger:
        done = sum(row.status == "done" for row, _ in runs.read_cell(cell.rows, cell.id))
        settings["version"] = f"{cell.id}-{done}"
    if "tags" in cfg.logger:  # W&B
        name, tags = described(configuration)
        settings["name"] = cfg.logger.name or name
        settings["tags"] = [*cfg.logger.tags, *tags]
    try:
        _offline_without_a_key()
        Path(settings["save_dir"]).mkdir(parents=True, exist_ok=True)  # W&B warns where it is not
        inner = instantiate(cfg.logger)(**settings)
        # Lightning hands on a setting that W&B gave up and warns of
        vars(inner).get("_wandb_init", {}).pop("anonymous", None)
        inner.experiment  # noqa: B018  starts it, so that a failure shows here
    except Exception as error:
        kind = cfg.logger._target_.rpartition(".")[2]
        remedy = f"; pip install -e '.[{EXTRAS[kind]}]'" if kind in EXTRAS else ""
        why = _first_line(error) + (remedy if isinstance(error, ImportError) else "")
        _warn(f"{cfg.logger._target_} cannot start ({why}): curves go to CSV files.")
        inner = CSVLogger(settings["save_dir"], name="csv")
    logger = Guarded(inner)
    logger.log_hyperparams(config.flatten(configuration.identity))
    return logger


def described(configuration: Configuration) -> tuple[str, list[str]]:
    """Returns the name and the tags of a run: the trials of a search differ in name, and what
    differs from its protocol does not carry its tag."""
    cfg, modified = configuration.cfg, configuration.modified
    label = config.label(cfg.model.name, cfg.model.filter)
    changes = [f"{key.rpartition('.')[2]}={ours}" for key, (_, ours) in modified.items()]
    name, seed = "-".join([cfg.task.name, label, cfg.protocol, *changes]), f"-seed{cfg.seed}"
    protocol = "modified" if modified else cfg.protocol
    return name[: LONGEST - len(seed)] + seed, [cfg.task.name, cfg.task.variant, label, protocol]


def _record(inner: Logger, row: Row, path: Path) -> None:
    scores = {
        f"{split}/final_{name}": score.value
        for split, found in (("val", row.val), ("test", row.test))
        for name, score in (found or {}).items()
    }
    inner.log_metrics(scores, step=row.last_step)
    if isinstance(inner, WandbLogger):
        import wandb

        inner.experiment.summary.update(row.model_dump(exclude={"config", "baselines"}))
        artifact = wandb.Artifact(f"row-{row.cell}", type="row")
        artifact.add_file(str(path))
        inner.experiment.log_artifact(artifact)
    inner.save()


def _offline_without_a_key() -> None:
    """Sets W&B offline if it has no account, for which it would ask. Offline, W&B writes files for
    `wandb sync` later."""
    known = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE")
    with suppress(OSError, netrc.NetrcParseError):
        known = known or str(netrc.netrc().authenticators("api.wandb.ai") or "")
    if not known:
        os.environ["WANDB_MODE"] = "offline"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
