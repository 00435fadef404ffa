"""Objectives: losses, predictions and scores, in one file and one conf/objective/*.yaml each.

Everything else asks the objective: it trains on its loss, selects and ranks by its metrics, and
stores its predictions. Imports lra.config and lra.errors; torch only where tensors are at work.
"""

from lra.objective.base import Batch, Objective, named
from lra.objective.metric import Metric, Score, mean_score, share_score

__all__ = ["Batch", "Metric", "Objective", "Score", "mean_score", "named", "share_score"]
