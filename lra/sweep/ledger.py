"""Hydra's callback around a sweep: the plan before it, the table of its cells after it."""

import os

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from lra.cli import failed_cells
from lra.sweep.status import State, all_rows, counts, estimate, look_at_all, show, show_means

CELLS = "LRA_SWEEP_CELLS"  # how many cells the sweep of this process has
FAILED = ("failed", "diverged", "oom", "wrong")


class Ledger(Callback):
    """The callback that conf/config.yaml names under hydra.callbacks."""

    def on_multirun_start(self, config: DictConfig, **_) -> None:
        states = look_at_all(list(config.hydra.overrides.task))
        self.before = {state.path for state in states}
        os.environ[CELLS] = str(len(states))  # the cells say which of how many they are
        print(counts(states, [state.status for state in states]))
        for line in estimate(states, all_rows(states)):
            print(f"about {line}", flush=True)

    def on_job_start(self, config: DictConfig, **_) -> None:
        if config.hydra.mode == RunMode.MULTIRUN:
            number, total = config.hydra.job.num + 1, os.environ.get(CELLS)
            words = " ".join(config.hydra.overrides.task)
            print(f"cell {number}{f' of {total}' if total else ''}: {words}", flush=True)

    def on_multirun_end(self, config: DictConfig, **_) -> None:
        states = look_at_all(list(config.hydra.overrides.task))
        words = [self._word(state) for state in states]
        show(states, words)
        show_means(states)
        failed_cells.extend(
            state.name for state, word in zip(states, words, strict=True) if word in FAILED
        )

    def _word(self, state: State) -> str:
        if state.status == "done":
            return "skipped" if state.path in self.before else "done"
        return {"running": "running elsewhere", "missing": "failed"}.get(state.status, state.status)
