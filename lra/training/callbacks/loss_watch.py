"""Records the learning curve, stops when the loss is not finite, and warns on a plateau."""

import math

import pytorch_lightning as pl
import torch

from lra.errors import Diverged
from lra.objective import Metric


class LossWatch(pl.Callback):
    """Looks at the loss every 10 steps, so that a GPU need not wait for the host at each one.

    Plateau: windows of 5 % of the steps (at least 10) whose mean loss is within 1 % of `untaught`,
    for 20 % of the steps without a break. At batch 32 the mean of 10 steps is itself off by about
    1 %, that of 50 by half of it.
    """

    LOOK_EVERY = 10

    def __init__(self, metric: Metric, untaught: float | None, max_steps: int, lr: float):
        """metric: the one on val that selects. untaught: the loss of a model that knows the label
        frequencies alone; None: a plateau cannot be told."""
        self.metric, self.untaught, self.max_steps, self.lr = metric, untaught, max_steps, lr
        self.window = max(10, max_steps // 20)
        self.loss: float | None = None  # mean of the last look
        self.warnings: list[str] = []
        # at each validation: step, mean training loss since the one before, val metric
        self.curve: list[tuple[int, float, float]] = []
        self._since = [0.0, 0]  # sum and count of the losses since the last validation
        self._pending: list[torch.Tensor] = []
        self._sum, self._count, self._flat_steps = 0.0, 0, 0
        self._trainer = None

    def setup(self, trainer, module, stage) -> None:
        self._trainer = trainer

    def state_dict(self) -> dict:
        self.look()  # also: no checkpoint ever holds diverged weights
        return {
            "warnings": self.warnings,
            "sum": self._sum,
            "count": self._count,
            "flat_steps": self._flat_steps,
            "curve": self.curve,
            "since": self._since,
        }

    def load_state_dict(self, state: dict) -> None:
        self.curve, self._since = state["curve"], state["since"]
        self.warnings, self._sum = state["warnings"], state["sum"]
        self._count, self._flat_steps = state["count"], state["flat_steps"]

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
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._count < self.window:
            return
        mean, self._sum = self._sum / self._count, 0.0
        near = self.untaught is not None and abs(mean - self.untaught) <= 0.01 * self.untaught
        self._flat_steps = self._flat_steps + self._count if near else 0
        self._count = 0
        if self._flat_steps >= 0.2 * self.max_steps and not self.warnings:
            self.warnings.append(
                f"plateau: for {self._flat_steps} steps the training loss stayed within 1 % of the "
                f"label entropy {self.untaught:.4f}, so nothing but the label frequencies is "
                "learned. Try another seed, a longer optim.warmup, a lower optim.lr, or more "
                "max_steps."
            )
            print(f"warning: {self.warnings[-1]}")
