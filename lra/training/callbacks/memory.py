"""The peak memory of a run, measured while it trains."""

import threading
from typing import Literal

import psutil
import pytorch_lightning as pl
import torch

from lra.store.row import Memory

Kind = Literal["RssAnon", "rss"]


def anonymous_resident() -> tuple[int, Kind]:
    """Returns the bytes of anonymous resident memory, since mapped data pages are not memory use,
    and the kind of the reading."""
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024, "RssAnon"
    except OSError:
        pass
    return psutil.Process().memory_info().rss, "rss"  # not Linux


class PeakMemory(pl.Callback):
    """Measures a peak: of the CUDA allocator above the level when training is set up, after the
    trial steps of micro_batch=auto; or of anonymous resident memory, sampled at 100 Hz, above the
    level when this object was made. A resumed run keeps its earlier peak."""

    def __init__(self, accelerator: str):
        self.cuda = accelerator == "gpu" and torch.cuda.is_available()
        self._before = 0  # peak of the attempts that this one resumes
        if self.cuda:
            self.begin()
            return
        self._base, self._kind = anonymous_resident()
        self._peak = self._base
        self._done = threading.Event()
        threading.Thread(target=self._sample, daemon=True).start()

    def begin(self) -> None:
        """Starts anew on torch's current GPU."""
        torch.cuda.reset_peak_memory_stats()
        self._base = torch.cuda.memory_allocated()

    def setup(self, trainer, module, stage) -> None:
        if self.cuda and stage == "fit":
            self.begin()

    def _sample(self) -> None:
        while not self._done.wait(0.01):
            self._peak = max(self._peak, anonymous_resident()[0])

    def stop(self) -> None:
        if not self.cuda:
            self._done.set()

    def state_dict(self) -> dict:
        return {"peak_bytes": self.memory().peak_bytes}

    def load_state_dict(self, state: dict) -> None:
        self._before = state["peak_bytes"]

    def memory(self) -> Memory:
        if self.cuda:
            peak = torch.cuda.max_memory_allocated() - self._base
            return Memory(peak_bytes=max(peak, self._before), kind="cuda allocator")
        return Memory(peak_bytes=max(self._peak - self._base, self._before), kind=self._kind)
