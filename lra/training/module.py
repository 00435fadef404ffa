"""The one LightningModule: steps, optimiser, learning rate, and the scores of an evaluation."""

import hashlib
import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lra.objective import Batch, Objective, Score
from lra.objective.base import Predictions
from models.learning import own_settings


def seed_everything(*key: int) -> None:
    """Seeds torch as a pure function of the key, so that no generator state needs storing.

    Keys that differ in trailing zeros alone are the same to SeedSequence: the initial weights and
    the first step share a stream."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))


class Learner(pl.LightningModule):
    """Trains a net on an objective. net: (ids (B, P, N), lengths (B, P)) -> (B, ...).

    Randomness is seeded before every step from (seed, step, rank) and before every evaluation:
    a resumed run draws what an unbroken one would have drawn.
    """

    def __init__(
        self,
        net: nn.Module,
        objective: Objective,
        optim,
        *,
        max_steps: int,
        seed: int,
        micro_batch: int | None = None,
    ):
        """optim: the config group of that name. micro_batch: how many examples go through the net
        at once (lra/training/micro_batch.py); None is the whole batch."""
        super().__init__()
        self.micro_batch = micro_batch
        self.net, self.objective, self.optim = net, objective, optim
        self.max_steps, self.seed = max_steps, seed
        self.scores: dict[str, dict[str, Score]] = {}  # split -> scores of the last evaluation
        self.predictions: Predictions | None = None  # of the last test pass
        self.details: dict[str, np.ndarray] = {}  # its scores by example
        self.outputs_sha256: str | None = None  # of the values it kept of each example, float32
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []  # kept, targets, index

    def on_train_batch_start(self, batch, batch_idx: int) -> None:
        seed_everything(self.seed, self.global_step, self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `loss` of the last part, for Lightning's backward pass, and `mean` of the whole
        batch. The gradients of the other parts are summed already."""
        optimizer: Any = self.optimizers(use_pl_optimizer=False)  # the only one
        optimizer.zero_grad()
        examples, units = len(batch.indices), self._units(batch)
        size = self.micro_batch or examples
        mean = torch.zeros((), device=self.device)
        for start in range(0, examples, size):
            part = batch.part(start, start + size)
            share = self.objective.units(part) / units
            last = start + size >= examples
            with nullcontext() if last else self._no_sync():
                loss = share * self.objective.loss(self.net, part)
                if not last:
                    loss.backward()
            mean += loss.detach()
        return {"loss": loss, "mean": mean}

    def _units(self, batch: Batch) -> float:
        """Returns the units of a rank's share of the step's batch. Ranks average their gradients
        evenly, so where units differ each counts by the mean of all ranks."""
        units = self.objective.units(batch)
        if not self.objective.uneven or self.trainer.world_size == 1:
            return units
        mean = torch.tensor(units, device=self.device, dtype=torch.float64)
        return float(self.trainer.strategy.reduce(mean, reduce_op="mean"))

    def _no_sync(self):
        """Returns a context in which ranks do not exchange gradients: they do so once a step, with
        the last part."""
        model: Any = self.trainer.strategy.model
        return model.no_sync() if hasattr(model, "no_sync") else nullcontext()

    def optimizer_zero_grad(self, *_) -> None:
        """Does nothing, since training_step has zeroed the gradients; zeroing here would undo all
        parts but the last."""

    def on_before_optimizer_step(self, optimizer) -> None:
        # not Trainer(gradient_clip_val=...): Lightning refuses it with a fused optimiser in bf16
        if self.optim.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters(), self.optim.clip)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(
            self.groups(),
            lr=self.optim.lr,
            betas=tuple(self.optim.betas),
            eps=self.optim.eps,
            weight_decay=self.optim.weight_decay,
            fused=True,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def groups(self) -> list[dict[str, Any]]:
        """Returns the parameters in groups of one learning rate and weight decay each.

        A parameter may say its own (models/learning.py). With optim.decay_norms=false vectors,
        such as norms and biases, do not decay.
        """
        found: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in self.parameters():
            decays = self.optim.decay_norms or parameter.ndim > 1
            settings = {
                "lr": self.optim.lr,
                "weight_decay": self.optim.weight_decay if decays else 0.0,
            } | own_settings(parameter)
            found.setdefault((settings["lr"], settings["weight_decay"]), []).append(parameter)
        return [{"params": ps, "lr": lr, "weight_decay": wd} for (lr, wd), ps in found.items()]

    def own_settings(self) -> list[dict[str, float]] | None:
        """Returns each group's lr, weight_decay and number of values; None where all are alike."""
        found = []
        for group in self.groups():
            parameters = group.pop("params")
            found.append(group | {"parameters": sum(p.numel() for p in parameters)})
        return found if len(found) > 1 else None

    def learning_rate_factor(self, step: int) -> float:
        """Returns the share of lr at a step: a linear warm-up to 1, then a line to 0, half a cosine
        towards 0 or (cosine_to_zero) to 0, or 1 / sqrt(step), scaled to 1 at the warm-up's end."""
        warmup = max(1, round(self.optim.warmup * self.max_steps))
        if step < warmup:
            return self.optim.start_factor + (1 - self.optim.start_factor) * (step + 1) / warmup
        if self.optim.decay == "rsqrt":
            return (warmup / (step + 1)) ** 0.5
        if self.optim.decay == "cosine":  # over all steps, counted from the warm-up's end: LRA's
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / self.max_steps))
        if self.optim.decay == "cosine_to_zero":
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.max_steps - warmup)))
        return max(0.0, (self.max_steps - step) / max(1, self.max_steps - warmup))

    def _start(self) -> None:
        seed_everything(self.seed)
        self._kept = []

    def _step(self, batch: Batch, split: str) -> None:
        kept = self.objective.evaluate(self.net, batch, split)
        self._kept.append((kept, batch.targets, batch.indices))

    def _end(self, split: str) -> tuple[np.ndarray, Predictions]:
        """Scores the split; returns what was kept and predicted, in the order of the examples."""
        parts = [tuple(t.cpu() for t in part) for part in self._kept]
        if self.trainer.world_size > 1:  # every rank scores the batches of all ranks
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, parts)
            parts = [part for rank in gathered for part in rank]
        kept, targets, index = (torch.cat(column) for column in zip(*parts, strict=True))
        order = index.argsort()
        found, labels = kept[order].numpy(), targets[order].numpy()
        expected = self.objective.targets(labels, index[order].tolist(), split)
        predictions = self.objective.predictions(found, split)
        self.scores[split] = self.objective.score(predictions, expected, split)
        if split == "test":
            self.details = self.objective.details(predictions, expected)
        self._kept = []
        return found, predictions

    def on_validation_epoch_start(self) -> None:
        self._start()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self._end("val")

    def on_test_epoch_start(self) -> None:
        self._start()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, "test")

    def on_test_epoch_end(self) -> None:
        found, self.predictions = self._end("test")
        self.outputs_sha256 = hashlib.sha256(found.tobytes()).hexdigest()

    def val_score(self) -> Score | None:
        """Returns the last evaluation's score on val that selects weights."""
        return self.scores["val"][self.objective.selection.name] if "val" in self.scores else None
