"""The progress of training, validation and test, each with the time left (lra/progress.py)."""

import time

from pytorch_lightning.callbacks import ProgressBar

from lra.cli import duration
from lra.progress import Phase
from lra.training.callbacks.loss_watch import LossWatch
from lra.training.callbacks.speed import Stopwatch


class RunProgress(ProgressBar):
    """Shows step, loss, val metric, examples/s and the time left, evaluations included.

    watch and stopwatch: None where nothing is trained (evaluate=...).
    """

    def __init__(
        self,
        batch_size: int,
        watch: LossWatch | None = None,
        stopwatch: Stopwatch | None = None,
        test_size: float = 0.0,
    ):
        """test_size: of the split that is scored at the end, in validations, for the time left."""
        super().__init__()
        self.test_size = test_size
        self.batch_size, self.watch, self.stopwatch = batch_size, watch, stopwatch
        self._training: Phase | None = None
        self._evaluation: Phase | None = None
        self._validation = 0.0  # seconds of the last one
        self._silent = False

    def disable(self) -> None:  # on the ranks that stay silent
        self._silent = True

    # Training

    def on_train_start(self, trainer, module) -> None:
        self._training = Phase("training", trainer.max_steps, trainer.global_step)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        if self._silent or self._training is None:
            return
        self._training.mark(trainer.global_step)
        self._training.say(self._text(trainer))

    def on_train_end(self, trainer, module) -> None:
        self._stop()

    def on_exception(self, trainer, module, exception) -> None:
        self._stop()

    def _text(self, trainer) -> str:
        parts = []
        if self.watch is not None and self.watch.loss is not None:
            parts.append(f"loss {self.watch.loss:.3f}")
        score = trainer.lightning_module.val_score()
        if self.watch is not None and score is not None:
            metric = self.watch.metric
            unit = " %" if metric.share else f" {metric.name}"
            parts.append(f"val {metric.scale * score.value:.{1 if metric.share else 3}f}{unit}")
        if self.stopwatch is not None and self.stopwatch.step_seconds:
            parts.append(f"{self.batch_size / self.stopwatch.step_seconds:.0f} examples/s")
        left = self._left(trainer)
        if left is not None:
            parts.append(f"{duration(left)} left")
        return " · ".join(parts)

    def _left(self, trainer) -> float | None:
        """Returns the seconds to the end of the run: steps at the rate of the last minute, and
        evaluations, an example of which takes as long as in the last validation."""
        each = self._training.seconds_each
        if each is None:
            return None
        remaining, every = trainer.max_steps - trainer.global_step, trainer.val_check_interval
        validations = trainer.max_steps // every - trainer.global_step // every
        return remaining * each + (validations + self.test_size) * self._validation

    # Validation and test

    def on_validation_start(self, trainer, module) -> None:
        self._begin("validation", trainer.num_val_batches)

    def on_test_start(self, trainer, module) -> None:
        self._begin("test", trainer.num_test_batches)

    def on_validation_batch_end(self, trainer, module, out, batch, batch_idx, dataloader_idx=0):
        self._evaluated(batch_idx + 1)

    def on_test_batch_end(self, trainer, module, out, batch, batch_idx, dataloader_idx=0):
        self._evaluated(batch_idx + 1)

    def on_validation_end(self, trainer, module) -> None:
        self._end()

    def on_test_end(self, trainer, module) -> None:
        self._end()

    def _begin(self, name: str, batches: list[int]) -> None:
        if self._training is not None:
            self._training.pause()
        self._evaluation_at = time.monotonic()
        self._evaluation = Phase(f"{name}: batch", int(sum(batches)))

    def _evaluated(self, batches: int) -> None:
        if self._silent:
            return
        self._evaluation.mark(batches)
        self._evaluation.say(self._evaluation.left)

    def _end(self) -> None:
        self._validation = time.monotonic() - self._evaluation_at
        self._evaluation.stop()
        if self._training is not None:
            self._training.go_on()

    def _stop(self) -> None:
        for phase in (self._training, self._evaluation):
            if phase is not None:
                phase.stop()
