"""Figures from publications: results/published/, each with its source, locator and status."""

import pandas as pd

from lra.machine import ROOT
from lra.objective.metric import Metric

FOLDER = ROOT / "results" / "published"
METRIC = Metric(name="accuracy", share=True)  # of accuracy.csv
RECALLED = "recalled"  # from memory, not checked against the paper


def accuracy(verified_only: bool = False) -> pd.DataFrame:
    """Returns table, method, model, task, accuracy in %, failed, status, publication, source, year,
    locator."""
    return _read("accuracy.csv", verified_only)


def efficiency(verified_only: bool = False) -> pd.DataFrame:
    """Returns table, method, model, task, metric, length, value, hardware, status, source,
    locator."""
    return _read("efficiency.csv", verified_only)


def summarization(verified_only: bool = False) -> pd.DataFrame:
    """Returns task, method, metric, value, status, source, locator."""
    return _read("summarization.csv", verified_only)


def _read(name: str, verified_only: bool) -> pd.DataFrame:
    frame = pd.read_csv(FOLDER / name)
    for column in frame.select_dtypes(exclude=["number", "bool"]):
        frame[column] = frame[column].fillna("")
    return frame[frame.status != RECALLED] if verified_only else frame
