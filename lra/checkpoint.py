"""Checkpoints from which a killed run ends bit-identical to an unbroken one.

A checkpoint is taken between two steps and never inside an evaluation: at the start of a step, when
the evaluation that followed the step before it is over. It holds tensors and plain types only, and
is written under another name, then renamed. What does not change from run to run (data order,
dropout) is a function of the step, so no generator state is stored (lra/data.py, lra/module.py).
"""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from lra.errors import UserError
from lra.files import replacing
from lra.interrupt import StopSignal
from lra.rows import Resume

FORMAT = 1


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without running any code that it may hold; raises UserError."""
    if not path.exists():
        raise UserError(f"There is no checkpoint {path}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if checkpoint["lra"]["format"] != FORMAT:
            raise UserError(f"{path} has another format: it was written by another version.")
    except UserError:
        raise
    except Exception as error:  # torch reports damage in many ways
        raise UserError(
            f"{path} is no checkpoint of this project, or a damaged one ({type(error).__name__}): "
            "delete it and run the cell again."
        ) from error
    return checkpoint


class Checkpoints(pl.Callback):
    """Keeps `path` no older than `seconds`, the selected weights, and what a stop signal needs.

    about: identity of the run, stored in every checkpoint under "lra".
    """

    def __init__(self, path: Path, about: dict, *, select: str, seconds: float, stop: StopSignal):
        self.path, self.about, self.select, self.seconds, self.stop = (
            path,
            about,
            select,
            seconds,
            stop,
        )
        self.selected: dict[str, Any] | None = None  # step, val (the score), weights
        self.resumes: list[dict] = []
        self.resume: tuple[int, dict] | None = None  # from which step, and what differs there
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
        self.stop.install()
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def on_validation_start(self, trainer, module) -> None:
        self.stop.install()

    def on_test_start(self, trainer, module) -> None:
        self.stop.install()

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        step = trainer.global_step  # steps done
        due = time.monotonic() - self._saved_at >= self.seconds
        # a stop inside the evaluation that follows this step then loses this step alone
        due = due or (step + 1) % trainer.val_check_interval == 0
        if (due or self.stop.number) and step > self._saved_step:
            self.save(trainer)
        self.stop.check()

    def on_validation_batch_end(self, *_) -> None:
        self.stop.check()

    def on_test_batch_end(self, *_) -> None:
        self.stop.check()

    def on_validation_end(self, trainer, module) -> None:
        score = module.scores["val"]
        best = self.selected["val"]["accuracy"] if self.selected else -1.0
        if self.select == "last" or score.accuracy > best:
            self._select(trainer, module, score.model_dump())

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
        """All ranks take part; one writes."""
        if trainer.is_global_zero:
            with replacing(self.path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(self.path)
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def write_selected(self, path: Path) -> None:
        with replacing(path) as temporary:
            torch.save(
                {
                    "lra": {"format": FORMAT, **self.about},
                    "state_dict": self.selected["weights"],
                    "step": self.selected["step"],
                },
                temporary,
            )
