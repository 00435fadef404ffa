"""The seam between a kind of task and the code that trains, stores, compares and prints it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from hydra.utils import instantiate

from lra import config
from lra.objective.metric import Metric, Score

if TYPE_CHECKING:
    from torch import Tensor

Net = Callable[..., "Tensor"]  # (ids (B, P, N), lengths (B, P)) -> (B, ...)
Predictions = np.ndarray | list[str]


class Batch(NamedTuple):
    """A batch of B examples of P documents, padded to N. indices: their places in the split."""

    ids: "Tensor"  # (B, P, N)
    lengths: "Tensor"  # (B, P)
    targets: "Tensor"  # (B, ...)
    indices: "Tensor"  # (B,)

    def part(self, start: int, stop: int) -> "Batch":
        """Returns the examples from start up to stop."""
        return Batch(*(field[start:stop] for field in self))

    def on(self, device) -> "Batch":
        """Returns the batch on a device.

        The name is not `to`: Lightning would call such a method in place of its own asynchronous
        transfer of each tensor.
        """
        return Batch(*(field.to(device) for field in self))


class Objective(ABC):
    """The loss, predictions and scores of one kind of task.

    name: the name of its yaml. outputs: the width of the model's head; None if only rows are read.
    """

    headline: ClassVar[Metric]  # on test: ranks the models and heads the tables
    selection: ClassVar[Metric]  # on val: chooses the weights and the setting
    inherits: ClassVar[bool] = False  # its weights are there to begin other runs with (init=...)
    uneven: ClassVar[bool] = False  # batches of as many examples differ in their units
    labelled: ClassVar[bool] = True  # the packed labels are its targets, and stored for all rows

    def __init__(self, name: str, outputs: int | None):
        self.name, self.outputs = name, outputs

    def attach(self, texts) -> None:  # noqa: B027 (most need none)
        """Takes the tokenizer and the references of the packed data, before the first batch
        (data_prep/pack.py: Texts)."""

    def targets(self, labels: np.ndarray, indices: list[int], split: str) -> Any:
        """Returns the targets that `score` compares with: the labels, or texts.

        labels: of the examples at `indices` of the split, in the same order."""
        return labels

    def units(self, batch: Batch) -> float:
        """Returns the weight of a batch's loss where batches are put together: its examples."""
        return len(batch.indices)

    @abstractmethod
    def loss(self, net: Net, batch: Batch) -> "Tensor":
        """Returns the mean over the batch's units, a scalar in float32."""

    @abstractmethod
    def evaluate(self, net: Net, batch: Batch, split: str) -> "Tensor":
        """Returns the values that an evaluation keeps of each example: (B, ...), in float32."""

    @abstractmethod
    def predictions(self, kept: np.ndarray, split: str) -> Predictions:
        """Returns one prediction an example from all that `evaluate` kept, in the split's order.
        The predictions on test are stored with the row."""

    @abstractmethod
    def score(
        self, predictions: Predictions, targets: Any, split: str = "test"
    ) -> dict[str, Score]:
        """Returns every metric by name: on val at least `selection`, on test `headline`.

        targets: labels (n,), or a list of texts an example."""

    @abstractmethod
    def values(self, predictions: Predictions, targets: Any) -> np.ndarray | None:
        """Returns (n,), one value an example, bool for a share, so that models can be compared
        example by example. The mean of the values is the headline metric; None if the metric is not
        a mean."""

    def details(self, predictions: Predictions, targets: Any) -> dict[str, np.ndarray]:
        """Returns metric -> (n,), scores that are stored beside the row, one an example."""
        return {}

    def dummy_targets(self, examples: int, rng: np.random.Generator) -> np.ndarray:
        """Returns targets for random inputs, where only time and memory count."""
        return np.zeros(examples, np.int64)

    def untaught_loss(self, label_counts: list[int]) -> float | None:
        """Returns the loss of a model that knows the label frequencies alone; None: unknown."""
        return None

    def trivial(self, manifest) -> dict[str, dict[str, float]]:
        """Returns the trivial rules of the packed data that score the headline metric: rule ->
        split -> value. The rules are classifiers, so any other objective has none."""
        return {}


def named(name: str) -> Objective | None:
    """Returns the objective of a row, to read its predictions; None where its yaml is gone."""
    if name not in config.objectives():
        return None
    facts = config.plain(config.objective_file(name))
    untied = {
        key: value for key, value in facts.items() if not str(value).startswith(("${", "???"))
    }
    return instantiate(untied, outputs=None)
