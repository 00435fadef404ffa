"""The speed of a run, measured while it trains."""

import statistics
import time
from pathlib import Path

import pytorch_lightning as pl
import torch

from lra.store.row import Speed


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch(pl.Callback):
    """Takes medians over windows of steps. The first window after a start or resume is a warm-up
    and does not count.

    The device is synchronised only at both ends of a window. Data time goes from the end of a step
    to the start of the next: fetching the batch and moving it.
    """

    WINDOW = 10

    def __init__(self, began: Path | None = None):
        """began: a file to make when the first step begins."""
        self._began = began
        self.train_seconds = 0.0
        self._steps: list[float] = []
        self._data: list[float] = []
        self._eval: list[float] = []  # examples per second of each batch
        self._test: list[float] = []  # the same, where test is scored by other means than val
        self._mark = 0.0
        self._first: float | None = None  # seconds of the first step since the start or resume
        self._open: list[float] | None = None  # start, data seconds, steps, end of the last step
        self._warm = False

    def state_dict(self) -> dict:
        return {
            "train_seconds": self.train_seconds,
            "steps": self._steps,
            "data": self._data,
            "eval": self._eval,
            "test": self._test,
        }

    def load_state_dict(self, state: dict) -> None:
        self.train_seconds, self._steps = state["train_seconds"], state["steps"]
        self._data, self._eval = state["data"], state["eval"]
        self._test = state.get("test", [])

    def on_train_start(self, trainer, module) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        if self._began is not None:
            self._began.touch()
            self._began = None
        if self._open is None:
            synchronise(module.device)
            self._open = [time.perf_counter(), 0.0, 0, 0.0]
        else:
            self._open[1] += time.perf_counter() - self._open[3]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        start, data, steps, _ = self._open
        steps += 1
        if self._first is None:
            synchronise(module.device)
            self._first = time.perf_counter() - start
        self._open = [start, data, steps, time.perf_counter()]
        if steps == self.WINDOW:
            synchronise(module.device)
            if self._warm:
                self._steps.append((time.perf_counter() - start - data) / steps)
                self._data.append(data / (steps - 1))
                for logger in trainer.loggers:
                    seconds = {"train/step_seconds": self._steps[-1]}
                    logger.log_metrics(seconds, step=trainer.global_step)
            self._warm, self._open = True, None
        now = time.perf_counter()
        self.train_seconds += now - self._mark
        self._mark = now

    def on_validation_start(self, trainer, module) -> None:
        self._open = None

    def on_validation_end(self, trainer, module) -> None:
        self._mark = time.perf_counter()

    def _eval_start(self, module) -> None:
        synchronise(module.device)
        self._eval_at = time.perf_counter()

    def _eval_end(self, trainer, module, batch, batch_idx, to: list[float]) -> None:
        synchronise(module.device)
        if batch_idx > 0:
            seconds = time.perf_counter() - self._eval_at
            to.append(trainer.world_size * len(batch.indices) / seconds)

    def on_validation_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
        self._eval_start(module)

    def on_validation_batch_end(self, trainer, module, out, batch, batch_idx, dataloader_idx=0):
        self._eval_end(trainer, module, batch, batch_idx, self._eval)

    def on_test_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
        self._eval_start(module)

    def on_test_batch_end(self, trainer, module, out, batch, batch_idx, dataloader_idx=0):
        alike = module.objective.headline == module.objective.selection
        self._eval_end(trainer, module, batch, batch_idx, self._eval if alike else self._test)

    @property
    def step_seconds(self) -> float | None:
        """The seconds of a step, data time included; None before the warm-up is over."""
        return _median(self._steps) + _median(self._data) if self._steps else None

    def speed(self, batch_size: int) -> Speed:
        return Speed(
            train_step_seconds=_median(self._steps),
            train_data_seconds=_median(self._data),
            train_examples_per_second=batch_size / self.step_seconds if self._steps else None,
            eval_examples_per_second=_median(self._eval),
            test_examples_per_second=_median(self._test),
            steps_timed=len(self._steps) * self.WINDOW,
            first_step_seconds=self._first,
        )


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
