"""What the seeds and the test set allow to say: intervals, and comparisons of two models.

Every seed of a model is scored on the same test set. Its accuracy therefore varies for two reasons:
the seed, which n seeds average out, and the test set, which they do not.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lra.rows import score

LEVEL = 0.05
SMALLEST = -300.0  # log of the smallest p-value that is told from zero


def interval(accuracies: Sequence[float], n_test: int) -> tuple[float, float]:
    """95 % interval of the accuracy, for other seeds and another test set of the same kind.

    variance = s^2 / n + p (1 - p) / n_test, the part of the seeds with Student's quantile for n - 1
    degrees of freedom. One seed says nothing of other seeds: then Wilson's interval, which holds
    the test set alone.
    """
    n, p = len(accuracies), float(np.mean(accuracies))
    if n == 1:
        found = score(round(p * n_test), n_test)
        return found.low, found.high
    seeds = stats.t.ppf(1 - LEVEL / 2, n - 1) * np.std(accuracies, ddof=1) / n**0.5
    test = stats.norm.ppf(1 - LEVEL / 2) * (p * (1 - p) / n_test) ** 0.5
    half = float(np.hypot(seeds, test))
    return max(0.0, p - half), min(1.0, p + half)


def p_value(a: np.ndarray, b: np.ndarray) -> float:
    """Whether two models differ. a, b: bool (seeds, N), which test examples are right.

    One seed each: McNemar's exact test. Else the level at which the interval of the difference,
    made as in `interval`, ends at zero. Its part of the seeds is Student's for two samples of one
    variance, which holds for a single seed against several as well; its part of the test set is
    that of the examples' differences, since both models are scored on the same ones. (Welch and
    Satterthwaite's one t-test for both parts errs too often: two or three seeds that happen to
    agree make it forget the seeds.)
    """
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


def ranks(correct: list[np.ndarray]) -> list[tuple[int, int]]:
    """correct: bool (seeds, N) of each model. -> the best and the worst rank of each that the data
    allow: models whose ranges overlap because no pair's p-value survives Holm's correction (over
    all pairs) are tied."""
    best, worst = [1] * len(correct), [len(correct)] * len(correct)
    pairs = list(combinations(range(len(correct)), 2))
    if pairs:
        p_values = [p_value(correct[i], correct[j]) for i, j in pairs]
        told_apart = multipletests(p_values, LEVEL, method="holm")[0]
        for (i, j), apart in zip(pairs, told_apart, strict=True):
            if apart:
                winner, loser = (i, j) if correct[i].mean() > correct[j].mean() else (j, i)
                best[loser] += 1
                worst[winner] -= 1
    return list(zip(best, worst, strict=True))
