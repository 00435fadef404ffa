"""Speed and memory of a run, measured while it trains."""

import statistics
import threading
import time

import psutil
import pytorch_lightning as pl
import torch

from lra.rows import Memory, Speed


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch(pl.Callback):
    """Medians over windows of steps, the first window left out as warm-up.

    The device is synchronised at both ends of a window only. data = from the end of a step to the
    start of the next one: fetching the batch and moving it.
    """

    WINDOW = 10

    def __init__(self):
        self.train_seconds = 0.0
        self._mark = 0.0
        self._open: list[float] | None = None  # start, data seconds, steps, end of the last step
        self._steps: list[float] = []
        self._data: list[float] = []
        self._eval: list[float] = []  # examples per second of each batch

    def state_dict(self) -> dict:
        return {"train_seconds": self.train_seconds}

    def load_state_dict(self, state: dict) -> None:
        self.train_seconds = state["train_seconds"]

    def on_train_start(self, trainer, module) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        if self._open is None:
            synchronise(module.device)
            self._open = [time.perf_counter(), 0.0, 0, 0.0]
        else:
            self._open[1] += time.perf_counter() - self._open[3]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        start, data, steps, _ = self._open
        steps += 1
        if steps == self.WINDOW:
            synchronise(module.device)
            self._steps.append((time.perf_counter() - start - data) / steps)
            self._data.append(data / (steps - 1))
            self._open = None
        now = time.perf_counter()
        if self._open is not None:
            self._open = [start, data, steps, now]
        self.train_seconds += now - self._mark
        self._mark = now

    def on_validation_start(self, trainer, module) -> None:
        self._open = None

    def on_validation_end(self, trainer, module) -> None:
        self._mark = time.perf_counter()

    def _eval_start(self, module) -> None:
        synchronise(module.device)
        self._eval_at = time.perf_counter()

    def _eval_end(self, module, batch, batch_idx) -> None:
        synchronise(module.device)
        if batch_idx > 0:
            self._eval.append(len(batch[2]) / (time.perf_counter() - self._eval_at))

    def on_validation_batch_start(
        self, trainer, module, batch, batch_idx, dataloader_idx=0
    ) -> None:
        self._eval_start(module)

    def on_validation_batch_end(
        self, trainer, module, out, batch, batch_idx, dataloader_idx=0
    ) -> None:
        self._eval_end(module, batch, batch_idx)

    def on_test_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0) -> None:
        self._eval_start(module)

    def on_test_batch_end(self, trainer, module, out, batch, batch_idx, dataloader_idx=0) -> None:
        self._eval_end(module, batch, batch_idx)

    @property
    def step_seconds(self) -> float | None:
        """Data time included; None before the warm-up is over."""
        steps, data = self._steps[1:], self._data[1:]
        return statistics.median(steps) + statistics.median(data) if steps else None

    def speed(self, batch_size: int) -> Speed:
        steps, data = self._steps[1:], self._data[1:]
        if not steps:
            return Speed(
                eval_examples_per_second=statistics.median(self._eval) if self._eval else None
            )
        return Speed(
            train_step_seconds=statistics.median(steps),
            train_data_seconds=statistics.median(data),
            train_examples_per_second=batch_size / self.step_seconds,
            eval_examples_per_second=statistics.median(self._eval) if self._eval else None,
            steps_timed=len(steps) * self.WINDOW,
        )


def anonymous_resident() -> tuple[int, str]:
    """Bytes of anonymous resident memory: mapped data pages are not memory use."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024, "RssAnon"
    except OSError:
        pass
    return psutil.Process().memory_info().rss, "rss"  # not Linux


class PeakMemory:
    """Peak inside the `with` block above the level at its start: of the CUDA allocator, or of
    anonymous resident memory sampled at 100 Hz."""

    def __init__(self, device_type: str):
        self.cuda = device_type == "gpu" and torch.cuda.is_available()
        self._done = threading.Event()

    def __enter__(self) -> "PeakMemory":
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self._base = torch.cuda.memory_allocated()
        else:
            self._base, self._kind = anonymous_resident()
            self._peak = self._base
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._done.wait(0.01):
            self._peak = max(self._peak, anonymous_resident()[0])

    def __exit__(self, *_) -> None:
        self._done.set()

    def memory(self) -> Memory:
        if self.cuda:
            peak = torch.cuda.max_memory_allocated() - self._base
            return Memory(peak_bytes=peak, kind="cuda allocator")
        return Memory(peak_bytes=self._peak - self._base, kind=self._kind)
