"""A second objective: the label as a number, learned by squared error and scored by the distance.

test_seam.py adds this file and its yaml (conf() here), and no other, to a copy of the project.
"""

import numpy as np

from lra.objective.base import Objective
from lra.objective.metric import Metric, mean_score

DISTANCE = Metric(name="distance", better="lower")


class Distance(Objective):
    headline = DISTANCE
    selection = DISTANCE

    def loss(self, net, batch):
        difference = net(batch.ids, batch.lengths).float()[:, 0] - batch.targets
        return difference.square().mean()

    def evaluate(self, net, batch, split):
        return net(batch.ids, batch.lengths).float()[:, 0]

    def predictions(self, kept, split):
        return kept

    def score(self, predictions, targets, split="test"):
        away = self.values(predictions, targets)
        exact = np.mean(np.round(predictions) == targets)
        return {"distance": mean_score(away), "worst": mean_score(away.max(keepdims=True))} | {
            "exact": mean_score(np.array([exact]))
        }

    def values(self, predictions, targets):
        return np.abs(predictions - targets.astype(np.float64))


def conf(target: str) -> str:
    return f"_target_: {target}\nname: distance\noutputs: 1\n"
