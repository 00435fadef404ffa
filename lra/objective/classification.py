"""One class an example, learned by cross-entropy and scored by accuracy."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lra.objective.base import Batch, Net, Objective, Predictions
from lra.objective.metric import Metric, Score, share_score

if TYPE_CHECKING:
    from torch import Tensor

ACCURACY = Metric(name="accuracy", share=True)


class Classification(Objective):
    """The net gives logits (B, outputs); targets are classes (B,)."""

    headline = ACCURACY
    selection = ACCURACY

    def loss(self, net: Net, batch: Batch) -> "Tensor":
        import torch.nn.functional as F  # tables read rows without torch

        return F.cross_entropy(net(batch.ids, batch.lengths).float(), batch.targets)

    def evaluate(self, net: Net, batch: Batch, split: str) -> "Tensor":
        return net(batch.ids, batch.lengths).float()

    def predictions(self, kept: np.ndarray, split: str) -> np.ndarray:
        classes = kept.argmax(1)
        return classes.astype(np.uint8 if kept.shape[1] <= 256 else np.uint16)

    def score(
        self, predictions: Predictions, targets: Any, split: str = "test"
    ) -> dict[str, Score]:
        right = self.values(predictions, targets)
        return {ACCURACY.name: share_score(int(right.sum()), len(right))}

    def values(self, predictions: Predictions, targets: Any) -> np.ndarray:
        return np.asarray(predictions) == targets

    def dummy_targets(self, examples: int, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, self.outputs, examples)

    def untaught_loss(self, label_counts: list[int]) -> float:
        """Returns the entropy of the labels, in nats."""
        total = sum(label_counts)
        return -sum(c / total * math.log(c / total) for c in label_counts if c)

    def trivial(self, manifest) -> dict[str, dict[str, float]]:
        return manifest.baselines
