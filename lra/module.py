"""The one LightningModule: loss, optimiser, schedule, and the scores of an evaluation."""

import hashlib
import math
from contextlib import nullcontext

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra.rows import Score, score


def seed_everything(*key: int) -> None:
    """Seeds torch as a pure function of the key, so that no generator state needs storing.

    Keys that differ in trailing zeros alone are the same to SeedSequence: the initial weights and
    the first step share a stream."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))


class Classification(pl.LightningModule):
    """net: (ids B P N, lengths B P) -> logits (B, C). optim: the config group of that name.

    Randomness is seeded before every step from (seed, step, rank) and before every evaluation:
    a resumed run draws what an unbroken one would have drawn.
    """

    def __init__(
        self, net: nn.Module, optim, *, max_steps: int, seed: int, micro_batch: int | None = None
    ):
        """micro_batch: how many examples at once (lra/micro_batch.py); None is the whole batch."""
        super().__init__()
        self.micro_batch = micro_batch
        self.net, self.optim, self.max_steps, self.seed = net, optim, max_steps, seed
        self.scores: dict[str, Score] = {}  # split -> the last evaluation's
        self.predictions: np.ndarray | None = None  # of the last test pass: class by example
        self.logits_sha256: str | None = None  # of its float32 logits
        self._outputs: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return self.net(ids, lengths)

    def on_train_batch_start(self, batch, batch_idx: int) -> None:
        seed_everything(self.seed, self.global_step, self.global_rank)

    def training_step(self, batch, batch_idx: int) -> dict[str, Tensor]:
        """loss: of the last part, for Lightning's backward pass; mean: of the whole batch. The
        gradients of the other parts are there by then."""
        ids, lengths, labels, _ = batch
        self.optimizers(use_pl_optimizer=False).zero_grad()
        size = self.micro_batch or len(labels)
        mean = torch.zeros((), device=self.device)
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            share = len(labels[part]) / len(labels)
            last = start + size >= len(labels)
            with nullcontext() if last else self._no_sync():
                loss = share * F.cross_entropy(self(ids[part], lengths[part]).float(), labels[part])
                if not last:
                    loss.backward()
            mean += loss.detach()
        return {"loss": loss, "mean": mean}

    def _no_sync(self):
        """Ranks exchange gradients once a step, with those of the last part."""
        model = self.trainer.strategy.model
        return model.no_sync() if hasattr(model, "no_sync") else nullcontext()

    def optimizer_zero_grad(self, *_) -> None:
        """Done at the start of the step: here it would undo all parts but the last."""

    def on_before_optimizer_step(self, optimizer) -> None:
        # not Trainer(gradient_clip_val=...): Lightning refuses it with a fused optimiser in bf16
        if self.optim.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters(), self.optim.clip)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=self.optim.lr,
            betas=tuple(self.optim.betas),
            eps=self.optim.eps,
            weight_decay=self.optim.weight_decay,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def learning_rate_factor(self, step: int) -> float:
        """Linear warm-up to 1, then linear or half a cosine to 0, or 1 / sqrt(step)."""
        warmup = max(1, round(self.optim.warmup * self.max_steps))
        if step < warmup:
            return self.optim.start_factor + (1 - self.optim.start_factor) * (step + 1) / warmup
        if self.optim.schedule == "rsqrt":
            return (warmup / (step + 1)) ** 0.5
        if self.optim.schedule == "cosine":  # over all steps, counted from the warm-up's end: LRA's
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / self.max_steps))
        return max(0.0, (self.max_steps - step) / max(1, self.max_steps - warmup))

    def _start(self) -> None:
        seed_everything(self.seed)
        self._outputs = []

    def _step(self, batch) -> None:
        ids, lengths, labels, index = batch
        self._outputs.append((self(ids, lengths).float(), labels, index))

    def _end(self, split: str) -> tuple[Tensor, Tensor]:
        """Scores the split; returns its logits and labels in the order of the examples."""
        outputs = [tuple(t.cpu() for t in output) for output in self._outputs]
        if self.trainer.world_size > 1:
            gathered = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, outputs)
            outputs = [output for rank in gathered for output in rank]
        logits, labels, index = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        order = index.argsort()
        logits, labels = logits[order], labels[order]
        self.scores[split] = score(int((logits.argmax(1) == labels).sum()), len(labels))
        self._outputs = []
        return logits, labels

    def on_validation_epoch_start(self) -> None:
        self._start()

    def validation_step(self, batch, batch_idx: int) -> None:
        self._step(batch)

    def on_validation_epoch_end(self) -> None:
        self._end("val")

    def on_test_epoch_start(self) -> None:
        self._start()

    def test_step(self, batch, batch_idx: int) -> None:
        self._step(batch)

    def on_test_epoch_end(self) -> None:
        logits, _ = self._end("test")
        self.predictions = logits.argmax(1).numpy().astype(np.uint8)
        self.logits_sha256 = hashlib.sha256(logits.numpy().tobytes()).hexdigest()
