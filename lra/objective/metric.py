"""A metric by name, and a score: its value on a split with the 95 % interval."""

from statistics import NormalDist
from typing import Literal

import numpy as np
from pydantic import BaseModel


class Metric(BaseModel, extra="forbid", frozen=True):
    """A metric by name.

    share: the value is a share of the examples, shown in percent, with a binomial interval.
    """

    name: str
    share: bool = False
    better: Literal["higher", "lower"] = "higher"

    @property
    def heading(self) -> str:
        """The name with its unit: accuracy %."""
        return f"{self.name} %" if self.share else self.name

    @property
    def scale(self) -> float:
        """The factor from a value to the number that is shown."""
        return 100.0 if self.share else 1.0

    @property
    def worst(self) -> float:
        """The worst value of the metric, for a setting that cannot be trained."""
        if self.better == "lower":
            return float("inf")
        return 0.0 if self.share else float("-inf")

    def text(self, value: float) -> str:
        """Returns the number alone, two decimals of a percentage."""
        return f"{100 * value:.2f}" if self.share else f"{value:.4g}"

    def sentence(self, score: "Score") -> str:
        """Returns e.g. `accuracy 36.40 % (34.32-38.53), 728 of 2,000`."""
        interval = f"({self.text(score.low)}-{self.text(score.high)})"
        if self.share:
            return f"{self.name} {self.text(score.value)} % {interval}, {self.counted(score)}"
        return f"{self.name} {self.text(score.value)} {interval}, {score.n:,} examples"

    def counted(self, score: "Score") -> str:
        """Returns `728 of 2,000` for a share, else the number of examples."""
        return f"{score.count:,} of {score.n:,}" if self.share else f"{score.n:,} examples"

    def improves(self, value: float, on: float) -> bool:
        """Returns whether `value` is strictly better than `on`."""
        return value > on if self.better == "higher" else value < on

    def order(self, value: float) -> float:
        """Returns a sort key that puts the best value first."""
        return -value if self.better == "higher" else value


class Score(BaseModel, extra="forbid", allow_inf_nan=False):
    """The value of a metric over n examples, with its 95 % interval."""

    value: float
    n: int
    low: float
    high: float

    @property
    def count(self) -> int:
        """The number of examples that make up a share."""
        return round(self.value * self.n)

    def agrees(self, other: "Score") -> bool:
        """Returns whether both may come from the same predictions, summed in different orders."""
        ours, theirs = (list(score.model_dump().values()) for score in (self, other))
        return self.n == other.n and bool(np.allclose(ours, theirs, rtol=1e-6, atol=1e-9))


def share_score(count: int, n: int) -> Score:
    """Returns count / n with Wilson's interval."""
    from scipy.stats import binomtest  # takes a second, which --help need not wait for

    interval = binomtest(count, n).proportion_ci(0.95, method="wilson")
    return Score(value=count / n, n=n, low=interval.low, high=interval.high)


def mean_score(values: np.ndarray) -> Score:
    """Returns the mean of one value an example (n,) with the normal interval of a mean."""
    n, mean = len(values), float(np.mean(values))
    error = float(np.std(values, ddof=1)) / n**0.5 if n > 1 else 0.0
    half = NormalDist().inv_cdf(0.975) * error
    return Score(value=mean, n=n, low=mean - half, high=mean + half)


def ratio_score(totals: np.ndarray, weights: np.ndarray) -> Score:
    """Returns sum(totals) / sum(weights), both (n,), with the normal interval of a ratio."""
    value = float(totals.sum() / weights.sum())
    errors = mean_score(value + (totals - value * weights) / weights.mean())
    return Score(value=value, n=len(totals), low=errors.low, high=errors.high)


def bootstrap_score(values: np.ndarray, samples: int = 2000) -> Score:
    """Returns the mean of one value an example (n,) with the interval of the percentiles of its
    resampled means. The resampling has a seed of its own: equal values give equal intervals."""
    rng, n = np.random.default_rng(0), len(values)
    means = [values[rng.integers(0, n, n)].mean() for _ in range(samples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Score(value=float(values.mean()), n=n, low=float(low), high=float(high))
