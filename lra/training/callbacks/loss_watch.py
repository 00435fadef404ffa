"""Records the learning curve, stops when the loss is not finite, and tells of a plateau."""

import math
import sys
from collections import deque

import pytorch_lightning as pl
import torch

from lra.environment import is_main_process
from lra.errors import Diverged
from lra.objective import Metric
from lra.store.row import FEW, PLATEAU


class LossWatch(pl.Callback):
    """Looks at the loss every 10 steps, so that a GPU need not wait for the host at each one.

    final_loss is the mean over the last 5 % of the steps (at least 10): whether a run ended on a
    plateau is judged by it and by val at the end (Row.learned_nothing). While the run goes on, the
    user is told when the loss has stayed on the plateau for 20 % of the steps, and when it leaves.
    At batch 32 the mean of 10 steps is itself off by about 1 %, that of 50 by half of it.
    """

    LOOK_EVERY = 10

    def __init__(self, metric: Metric, untaught: float | None, max_steps: int, lr: float):
        """metric: the one on val that selects. untaught: the loss of a model that knows the label
        frequencies alone; None: a plateau cannot be told."""
        self.metric, self.untaught, self.max_steps, self.lr = metric, untaught, max_steps, lr
        self.loss: float | None = None  # mean of the last look
        # at each validation: step, mean training loss since the one before, val metric
        self.curve: list[tuple[int, float, float]] = []
        self._since = [0.0, 0]  # sum and count of the losses since the last validation
        self._pending: list[torch.Tensor] = []
        self._last: deque[float] = deque(maxlen=max(10, max_steps // 20))
        self._steps, self._left_at, self._told = 0, 0, False
        self._trainer = None

    @property
    def final_loss(self) -> float | None:
        """The mean of the last 5 % of the steps; None before the first look."""
        return sum(self._last) / len(self._last) if self._last else None

    def setup(self, trainer, module, stage) -> None:
        self._trainer = trainer

    def state_dict(self) -> dict:
        self.look()  # also: no checkpoint ever holds diverged weights
        return {
            "last": list(self._last),
            "steps": [self._steps, self._left_at],
            "told": self._told,
            "curve": self.curve,
            "since": self._since,
        }

    def load_state_dict(self, state: dict) -> None:
        self.curve, self._since = state["curve"], state["since"]
        self._last.extend(state["last"])
        (self._steps, self._left_at), self._told = state["steps"], state["told"]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self._pending.append(outputs["mean"])
        if trainer.global_step % self.LOOK_EVERY == 0:
            self.look()
            for logger in trainer.loggers:
                lr = trainer.optimizers[0].param_groups[0]["lr"]
                logger.log_metrics({"train/loss": self.loss, "lr": lr}, step=trainer.global_step)

    def on_validation_end(self, trainer, module) -> None:
        scores = module.scores["val"]
        if trainer.state.fn == "fit":
            self.look()
            total, count = self._since
            if count:
                value = scores[self.metric.name].value
                self.curve.append((trainer.global_step, total / count, value))
            self._since = [0.0, 0]
        for logger in trainer.loggers:
            values = {f"val/{name}": score.value for name, score in scores.items()}
            if self.curve:
                best = max if self.metric.better == "higher" else min
                values[f"val/best_{self.metric.name}"] = best(value for *_, value in self.curve)
            logger.log_metrics(values, step=trainer.global_step)

    def on_train_end(self, trainer, module) -> None:
        self.look()

    def look(self) -> None:
        if not self._pending:
            return
        stacked = torch.stack(self._pending)
        if self._trainer is not None and self._trainer.world_size > 1:  # all ranks judge one loss
            stacked = self._trainer.strategy.reduce(stacked, reduce_op="mean")
        losses = stacked.tolist()
        self._pending = []
        self.loss = sum(losses) / len(losses)
        if not math.isfinite(self.loss):
            raise Diverged(
                f"The training loss is {self.loss}: the run diverged. Try a lower optim.lr "
                f"(now {self.lr:g}), a longer optim.warmup, or precision=32-true."
            )
        for loss in losses:
            self._since = [self._since[0] + loss, self._since[1] + 1]
            self._add(loss)

    def _add(self, loss: float) -> None:
        self._last.append(loss)
        self._steps += 1
        too_few = self.max_steps < FEW or len(self._last) < self._last.maxlen
        if self.untaught is None or too_few:
            return
        if self.final_loss < PLATEAU * self.untaught:
            self._left_at = self._steps
            if self._told:
                self._told = False
                self._say(f"the loss left the plateau at step {self._steps:,}")
        elif not self._told and self._steps - self._left_at >= 0.2 * self.max_steps:
            self._told = True
            self._say(
                f"for {self._steps - self._left_at:,} steps the training loss has not been more "
                f"than 1 % below that of the label frequencies ({self.untaught:.4f}): nothing is "
                "learned yet"
            )

    def _say(self, text: str) -> None:
        if is_main_process():
            print(f"note: {text}", file=sys.stderr)
