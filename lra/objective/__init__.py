"""Objectives: losses, predictions and scores, in one file and one conf/objective/*.yaml each.

All other code asks the objective: the objective has the loss that is trained on, the metrics that
select and rank, and the predictions that are stored. Imports lra.config and lra.errors; torch only
inside functions on tensors.
"""

from lra.objective.base import Batch, Objective, named
from lra.objective.metric import Metric, Score, mean_score, share_score

__all__ = ["Batch", "Metric", "Objective", "Score", "mean_score", "named", "share_score"]
