"""Intervals, and comparisons of two models, as far as seeds and test set allow.

Every seed of a model is scored on the same test set. Its score therefore varies for two reasons:
the seed, which n seeds average out, and the test set, which they do not.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from lra.objective import Metric, Score, share_score

LEVEL = 0.05
SMALLEST = -300.0  # log of the smallest p-value that is told from zero


def interval(scores: Sequence[Score], metric: Metric) -> tuple[float, float]:
    """Returns the 95 % interval of the mean score, for other seeds and another test set of the same
    kind.

    variance = s^2 / n + variance of the test set, the part of the seeds with Student's quantile for
    n - 1 degrees of freedom. The part of the test set is Wilson's for a share, on each side, which
    is wider than nothing at 0 and 100 %; else it comes from the scores' own intervals. One seed
    says nothing of other seeds: its own interval is returned, which covers the test set alone.
    """
    n, values = len(scores), [score.value for score in scores]
    if n == 1:
        only = scores[0]
        if metric.share:  # computed again, so that the last digit is today's
            only = share_score(only.count, only.n)
        return only.low, only.high
    p = float(np.mean(values))
    seeds = stats.t.ppf(1 - LEVEL / 2, n - 1) * np.std(values, ddof=1) / n**0.5
    if metric.share:
        low, high = proportion_confint(p * scores[0].n, scores[0].n, LEVEL, method="wilson")
        below, above = math.hypot(seeds, p - low), math.hypot(seeds, high - p)
        return max(0.0, p - below), min(1.0, p + above)
    half = math.hypot(seeds, np.mean([(score.high - score.low) / 2 for score in scores]))
    return p - half, p + half


def p_value(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the p-value of the hypothesis that two models do not differ. a, b: (seeds, N), the
    metric of each test example; bool for a share.

    With one seed each, the test is McNemar's exact test for a share, a paired t-test for other
    metrics. Otherwise the p-value is the level at which the interval of the difference, made as
    in `interval`, ends at zero. The part of the seeds is Student's for two samples of one
    variance, which holds for a single seed against several as well. The part of the test set is
    the variance of the examples' differences, since both models are scored on the same examples.
    (Welch and Satterthwaite's one t-test for both parts errs too often: it ignores the seeds if
    two or three of them happen to agree.)
    """
    if len(a) == len(b) == 1 and a.dtype != bool:
        return float(np.nan_to_num(stats.ttest_rel(a[0], b[0]).pvalue, nan=1.0))
    if len(a) == len(b) == 1:
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        return float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)
    scores = [side.mean(1) for side in (a, b)]
    freedom = len(a) + len(b) - 2
    pooled = sum(((side - side.mean()) ** 2).sum() for side in scores) / freedom
    seeds = (pooled * (1 / len(a) + 1 / len(b))) ** 0.5
    differences = a.mean(0) - b.mean(0)
    test = (differences.var(ddof=1) / len(differences)) ** 0.5
    difference = abs(differences.mean())

    def beyond(log_p: float) -> float:
        half = np.exp(log_p) / 2
        return (
            np.hypot(stats.t.isf(half, freedom) * seeds, stats.norm.isf(half) * test) - difference
        )

    if difference == 0:
        return 1.0
    return float(np.exp(brentq(beyond, SMALLEST, 0))) if beyond(SMALLEST) > 0 else np.exp(SMALLEST)


def ranks(values: list[np.ndarray], better: str = "higher") -> list[tuple[int, int]]:
    """Returns the best and the worst rank that the data allow each model. values: (seeds, N) of
    each model, the metric by test example.

    Models are tied if their ranges overlap, because no pair's p-value survives Holm's correction
    over all pairs.
    """
    best, worst = [1] * len(values), [len(values)] * len(values)
    pairs = list(combinations(range(len(values)), 2))
    if pairs:
        p_values = [p_value(values[i], values[j]) for i, j in pairs]
        told_apart = multipletests(p_values, LEVEL, method="holm")[0]
        for (i, j), apart in zip(pairs, told_apart, strict=True):
            if apart:
                first = (values[i].mean() > values[j].mean()) == (better == "higher")
                winner, loser = (i, j) if first else (j, i)
                best[loser] += 1
                worst[winner] -= 1
    return list(zip(best, worst, strict=True))
