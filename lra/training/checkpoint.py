"""Checkpoints from which a killed run ends bit-identical to an unbroken one.

A checkpoint is taken between two steps and never inside an evaluation: at the start of a step, when
the evaluation after the previous step is over. A checkpoint holds tensors and plain types only, and
is written under another name, then renamed. Data order and dropout are functions of the seed and
the step, so no generator state is stored (data.py, module.py).
"""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lra import config
from lra.config import upgrade
from lra.config.identity import identifier, identity
from lra.errors import UserError
from lra.files import replacing
from lra.objective import Metric
from lra.store.claim import Claim
from lra.store.row import Resume
from lra.training.interrupt import StopSignal

FORMAT = 3


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without running any code that it may hold; raises UserError."""
    if not path.exists():
        raise UserError(f"There is no checkpoint {path}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        stored = checkpoint["lra"]["format"]
    except Exception as error:  # torch reports damage in many ways
        raise UserError(
            f"{path} is not a checkpoint of this project, or a damaged one "
            f"({type(error).__name__}). If a run of yours left it, delete it and run the cell "
            "again; else name another file."
        ) from error
    if stored == 1:
        return _upgrade_2(_upgrade_1(checkpoint))
    if stored == 2:
        return _upgrade_2(checkpoint)
    if stored != FORMAT:
        raise UserError(f"{path} was written by another version (format {stored}, not {FORMAT}).")
    return checkpoint


def settings(checkpoint: dict[str, Any]) -> DictConfig:
    """Returns the configuration of a checkpoint's run. A key that the code has got since has its
    default, under the same task and model."""
    stored = OmegaConf.create(json.loads(checkpoint["lra"]["config"]))
    model = {"model": stored.model.name, "filter": stored.model.get("filter")}
    chosen = [f"{key}={name}" for key, name in model.items() if name]
    today = config.compose([f"task={stored.task.name}", *chosen])
    OmegaConf.set_struct(today, False)
    today.merge_with(stored)
    return today


def _upgrade_1(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint of format 1 with today's names in its configuration."""
    about = checkpoint["lra"]
    cfg = upgrade.from_version_1(json.loads(about["config"]))
    checkpoint["lra"] = about | {
        "cell": identifier(identity(cfg), about["fingerprint"]),
        "config": json.dumps(cfg, sort_keys=True),
    }
    return checkpoint


def _upgrade_2(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint of format 2, whose watch of the loss judged windows and kept no losses,
    so that its last 5 % of the steps begin where the run goes on."""
    steps = checkpoint.get("global_step", 0)
    for name, state in checkpoint.get("callbacks", {}).items():
        if name.startswith("LossWatch"):
            kept = {key: state[key] for key in ("curve", "since")}
            checkpoint["callbacks"][name] = kept | {
                "last": [],
                "steps": [steps, steps],
                "told": False,
            }
    checkpoint["lra"]["format"] = FORMAT
    return checkpoint


def write(content: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint whole or not at all.

    The bytes go through memory, since torch's own writer reports a full disk as a bug, and
    Lightning's writer stages every checkpoint in the system's temporary folder.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints for the Trainer, on one rank."""

    def save_checkpoint(self, checkpoint, path, storage_options=None) -> None:
        write(checkpoint, Path(path))


class StopBetweenBatches(pl.Callback):
    """Lets a stop signal end an evaluation between two batches.

    With several ranks an evaluation goes on to its end: the ranks would not all stop at the same
    batch, and would wait for each other.
    """

    def __init__(self, stop: StopSignal):
        self.stop = stop

    def on_train_start(self, trainer, module) -> None:
        self.stop.install()

    def on_validation_start(self, trainer, module) -> None:
        self.stop.install()

    def on_test_start(self, trainer, module) -> None:
        self.stop.install()

    def on_validation_batch_end(self, trainer, *_) -> None:
        if trainer.world_size == 1:
            self.stop.check()

    def on_test_batch_end(self, trainer, *_) -> None:
        if trainer.world_size == 1:
            self.stop.check()


class Checkpoints(pl.Callback):
    """Keeps `path` no older than `seconds`, and the selected weights.

    about: identity of the run, stored in every checkpoint under "lra". metric: the metric on val
    that selects.
    """

    EVERY = 10  # steps between two decisions of several ranks: a broadcast makes each GPU wait

    def __init__(
        self,
        path: Path,
        about: dict,
        *,
        select: str,
        metric: Metric,
        seconds: float,
        stop: StopSignal,
        claim: Claim | None,
    ):
        self.path, self.about, self.select, self.metric = path, about, select, metric
        self.seconds, self.stop, self.claim = seconds, stop, claim
        self.selected: dict[str, Any] | None = None  # step, val (the scores or None), weights
        self.resumes: list[dict] = []
        self.resume: tuple[int, dict] | None = None  # the first step, and the facts that differ
        self._saved_at, self._saved_step = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"selected": self.selected, "resumes": self.resumes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.selected, self.resumes = state["selected"], state["resumes"]

    def on_fit_start(self, trainer, module) -> None:
        if self.resume:
            step, changed = self.resume
            self.resumes.append(Resume(step=step, changed=changed).model_dump())

    def on_train_start(self, trainer, module) -> None:
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        step = trainer.global_step  # steps done
        due = time.monotonic() - self._saved_at >= self.seconds
        # A stop inside the evaluation after this step then loses this step alone.
        due = due or (step + 1) % trainer.val_check_interval == 0 or self.stop.number is not None
        if trainer.world_size > 1:  # all ranks must save and stop at once: the first decides
            before_val = (step + 1) % trainer.val_check_interval == 0
            if self.seconds and not before_val and step % self.EVERY:
                return
            due, self.stop.number = trainer.strategy.broadcast((due, self.stop.number))
        if due and step > self._saved_step:
            self.save(trainer)
        self.stop.check()

    def on_validation_end(self, trainer, module) -> None:
        if trainer.state.fn != "fit":
            return  # the selected weights are scored, not selected again
        scores = {name: score.model_dump() for name, score in module.scores["val"].items()}
        known = self.selected and self.selected["val"]
        if self.select == "last" or not known or self._improves(scores, known):
            self._select(trainer, module, scores)

    def _improves(self, scores: dict, known: dict) -> bool:
        new, old = (of[self.metric.name]["value"] for of in (scores, known))
        return self.metric.improves(new, old)

    def on_train_end(self, trainer, module) -> None:
        at_end = self.selected and self.selected["step"] == trainer.global_step
        if self.selected is None or (self.select == "last" and not at_end):
            self._select(trainer, module, None)
        self.save(trainer)

    def _select(self, trainer, module, val: dict | None) -> None:
        weights = {name: t.detach().cpu().clone() for name, t in module.state_dict().items()}
        self.selected = {"step": trainer.global_step, "val": val, "weights": weights}

    def on_save_checkpoint(self, trainer, module, checkpoint) -> None:
        checkpoint["lra"] = {"format": FORMAT, **self.about}
        # Lightning has counted the coming batch as ready; between two steps it is not.
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            counts["ready"] = counts["started"] = counts["processed"] = counts["completed"]

    def save(self, trainer) -> None:
        if self.claim:
            self.claim.check()
        trainer.save_checkpoint(self.path)
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def write_selected(self, path: Path) -> None:
        write(
            {
                "lra": {"format": FORMAT, **self.about},
                "state_dict": self.selected["weights"],
                "step": self.selected["step"],
            },
            path,
        )
