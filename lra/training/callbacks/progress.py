"""The progress of a run: a rich bar on a terminal, now and then a line elsewhere."""

import sys
import time

from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lra.cli import duration
from lra.training.callbacks.loss_watch import LossWatch
from lra.training.callbacks.speed import Stopwatch


class RunProgress(ProgressBar):
    """Shows step, loss, val metric, examples/s and the time left, evaluations included."""

    def __init__(self, max_steps: int, batch_size: int, watch: LossWatch, stopwatch: Stopwatch):
        super().__init__()
        self.max_steps, self.batch_size = max_steps, batch_size
        self.watch, self.stopwatch = watch, stopwatch
        self._bar: Progress | None = None
        self._announced = False
        self._validation_seconds: list[float] = []
        self._line_at = 0.0

    def disable(self) -> None:  # on the ranks that stay silent
        self._silent = True

    _silent = False

    def _left(self, trainer) -> float | None:
        step = self.stopwatch.step_seconds
        if step is None:
            return None
        remaining = self.max_steps - trainer.global_step
        evaluations = remaining / trainer.val_check_interval + 1  # and the test split
        each = self._validation_seconds[-1] if self._validation_seconds else 0.0
        return remaining * step + evaluations * each

    def _text(self, trainer) -> str:
        parts = []
        if self.watch.loss is not None:
            parts.append(f"loss {self.watch.loss:.3f}")
        score = trainer.lightning_module.val_score()
        if score is not None:
            metric = self.watch.metric
            unit = " %" if metric.share else f" {metric.name}"
            parts.append(f"val {metric.scale * score.value:.{1 if metric.share else 3}f}{unit}")
        if self.stopwatch.step_seconds:
            parts.append(f"{self.batch_size / self.stopwatch.step_seconds:.0f} examples/s")
        left = self._left(trainer)
        if left is not None:
            parts.append(f"{duration(left)} left")
        return " · ".join(parts)

    def on_train_start(self, trainer, module) -> None:
        if not self._silent and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._job = self._bar.add_task("", total=self.max_steps, text="")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        if self._silent:
            return
        if not self._announced and self.stopwatch.step_seconds:
            self._announced = True
            total = duration(self.max_steps * self.stopwatch.step_seconds)
            print(f"estimated: {total} of training, and the evaluations", file=sys.stderr)
        if self._bar is not None:
            self._bar.update(self._job, completed=trainer.global_step, text=self._text(trainer))
        elif self.watch.loss is not None and time.monotonic() - self._line_at > 60:
            self._line_at = time.monotonic()
            print(
                f"step {trainer.global_step}/{self.max_steps} · {self._text(trainer)}",
                file=sys.stderr,
            )

    def on_validation_start(self, trainer, module) -> None:
        self._validation_at = time.monotonic()

    def on_validation_end(self, trainer, module) -> None:
        self._validation_seconds.append(time.monotonic() - self._validation_at)

    def on_train_end(self, trainer, module) -> None:
        self._stop()

    def on_exception(self, trainer, module, exception) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
