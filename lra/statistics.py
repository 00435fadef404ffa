"""What the seeds and the test set allow to say: intervals, and comparisons of two models.

Every seed of a model is scored on the same test set. Its accuracy therefore varies for two reasons:
the seed, which n seeds average out, and the test set, which they do not.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lra.rows import score

LEVEL = 0.05
RESAMPLES = 10_000


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

    One seed each: McNemar's exact test. Else a bootstrap over examples and seeds together: examples
    are drawn once for both models, seeds for each by itself. n seeds drawn with replacement spread
    by (n - 1) / n too little, so their deviations are stretched by sqrt(n / (n - 1)).
    """
    if len(a) == len(b) == 1:
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        return float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)
    rng = np.random.default_rng(0)
    # Examples with one pattern of right and wrong are alike: drawing N of them is one multinomial.
    patterns, counts = np.unique(np.concatenate([a, b]), axis=1, return_counts=True)
    N = counts.sum()
    drawn = rng.multinomial(N, counts / N, size=RESAMPLES) / N
    scores = drawn @ patterns.T.astype(float)  # (RESAMPLES, seeds of a and b)
    difference = _over_seeds(scores[:, : len(a)], rng) - _over_seeds(scores[:, len(a) :], rng)
    smaller = min((difference <= 0).sum(), (difference >= 0).sum())
    return min(1.0, 2 * (smaller + 1) / (RESAMPLES + 1))


def _over_seeds(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(resamples, n) -> (resamples,): the mean of n seeds drawn with replacement."""
    resamples, n = scores.shape
    mean = scores.mean(1)
    if n == 1:
        return mean
    drawn = rng.integers(n, size=(resamples, n))
    deviation = np.take_along_axis(scores, drawn, 1).mean(1) - mean
    return mean + (n / (n - 1)) ** 0.5 * deviation


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
