import math

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.stats.proportion import proportion_confint

from lra.objective import Metric, Score, mean_score, share_score
from lra.report import statistics

SHARE = Metric(name="accuracy", share=True)


def interval(accuracies, n_test):
    scores = [share_score(round(p * n_test), n_test) for p in accuracies]
    return statistics.interval(scores, SHARE)


def test_one_seed_has_wilsons_interval():
    expected = proportion_confint(740, 2000, method="wilson")
    assert interval([0.37], 2000) == pytest.approx(expected, abs=1e-12)


def test_several_seeds_hold_both_kinds_of_noise():
    """Worked by hand: p = 0.37, s = 0.01, n = 3, t(2) = 4.3027; Wilson's of 740 of 2,000."""
    seeds = 4.302653 * 0.01 / 3**0.5
    below, above = proportion_confint(740, 2000, method="wilson")
    low, high = interval([0.36, 0.37, 0.38], 2000)
    assert low == pytest.approx(0.37 - math.hypot(seeds, 0.37 - below), abs=1e-6)
    assert high == pytest.approx(0.37 + math.hypot(seeds, above - 0.37), abs=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("p, n", [(0.0, 2000), (1.0, 2000), (0.0, 50), (1.0, 1)])
def test_no_number_of_seeds_makes_0_or_100_percent_certain(p, n, seeds):
    low, high = interval([p] * seeds, n)
    assert (low, high) == pytest.approx(proportion_confint(p * n, n, method="wilson"), abs=1e-9)
    assert high - low > 1 / (n + 4)


def test_the_part_of_the_test_set_is_not_averaged_out_by_seeds():
    low, high = interval([0.5] * 100, 1000)
    assert (low, high) == pytest.approx(proportion_confint(500, 1000, method="wilson"))


def arena(rng, seeds, examples, level=0.0, spread=0.15):
    """Right or wrong for models whose seeds differ in skill and whose examples differ in
    difficulty, the same examples for all: bool (seeds, examples); the true accuracy as well."""
    difficulty = rng.normal(0, 1.5, examples)
    skill = level + rng.normal(0, spread, seeds)
    right = rng.random((seeds, examples)) < special.expit(skill[:, None] - difficulty)
    return right, difficulty


def shares(right):
    """Returns scores without their bounds, which take time and which several seeds do not need."""
    return [Score(value=p, n=right.shape[1], low=0, high=0) for p in right.mean(1).tolist()]


def accuracy(level, spread=0.15):
    """Over all seeds and examples, by integration."""
    x, w = np.polynomial.hermite_e.hermegauss(60)
    sd = (1.5**2 + spread**2) ** 0.5
    return float((w * special.expit(level + sd * x)).sum() / w.sum())


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
def test_coverage_is_at_least_93_percent(n, spread):
    """Covers other seeds and other test sets; 1,000 arenas, so that 95 % would give 93.6-96.4 %."""
    rng, truth, arenas = np.random.default_rng([n, int(100 * spread)]), accuracy(0.3, spread), 1000
    held = 0
    for _ in range(arenas):
        right, _ = arena(rng, n, 500, 0.3, spread)
        low, high = statistics.interval(shares(right), SHARE)
        held += low <= truth <= high
    assert held / arenas >= 0.93


def test_single_seeds_are_compared_by_mcnemar():
    a = np.array([[1] * 40 + [0] * 10 + [1] * 30], bool)
    b = np.array([[1] * 40 + [1] * 10 + [0] * 30], bool)
    assert statistics.p_value(a, b) == pytest.approx(stats.binomtest(10, 40).pvalue)
    assert statistics.p_value(a, a) == 1.0


@pytest.mark.parametrize("seeds", [(2, 2), (3, 3), (5, 3), (1, 3)])
@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0])
def test_equal_models_are_told_apart_no_more_often_than_the_level(seeds, spread):
    """Two models of one skill, where the test set, both, or the seeds make the noise. Holm's
    correction asks for small levels, too."""
    rng = np.random.default_rng([*seeds, int(10 * spread)])
    found = []
    for _ in range(400):
        both, _ = arena(rng, sum(seeds), 300, 0.3, spread)
        found.append(statistics.p_value(both[: seeds[0]], both[seeds[0] :]))
    for level, most in ((0.05, 0.075), (0.01, 0.02), (0.001, 0.005)):
        assert np.mean(np.array(found) < level) <= most


def test_the_p_value_is_students_where_the_test_set_adds_nothing():
    """Every seed's errors lie elsewhere among a million examples."""
    rng = np.random.default_rng(0)
    N = 10**6
    accuracies = [[0.40, 0.42, 0.47], [0.48, 0.50, 0.53]]
    a, b = (np.array([rng.permutation(N) < round(p * N) for p in side]) for side in accuracies)
    assert statistics.p_value(a, b) == pytest.approx(stats.ttest_ind(*accuracies).pvalue, rel=0.01)


def test_the_p_value_is_that_of_the_examples_where_the_seeds_agree():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1000)) < [[0.5], [0.45]]
    expected = stats.ttest_1samp(a.astype(float) - b, 0).pvalue
    found = statistics.p_value(np.array([a, a]), np.array([b, b, b]))
    assert found == pytest.approx(expected, rel=0.02)


def test_many_models_can_still_be_told_apart():
    """Holm over 300 pairs needs p-values below 0.0002."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 1.5, 4000)
    right = [
        rng.random((3, 4000)) < special.expit(level - difficulty) for level in [2.0] + [0] * 24
    ]
    assert statistics.ranks(right)[0] == (1, 1)


def test_different_models_are_told_apart():
    rng = np.random.default_rng(0)
    a, difficulty = arena(rng, 3, 2000, 0.6, 0.05)
    b = rng.random((3, 2000)) < special.expit(0.0 - difficulty)
    assert statistics.p_value(a, b) < 0.001
    assert statistics.p_value(b, a) < 0.001


def test_ranks_are_ranges_where_models_are_tied():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 1.5, 2000)
    models = [
        rng.random((1, 2000)) < special.expit(level - difficulty) for level in (0.0, 1.5, 0.02, 1.5)
    ]
    assert statistics.ranks(models) == [(3, 4), (1, 2), (3, 4), (1, 2)]
    assert statistics.ranks(models[:1]) == [(1, 1)]


def test_a_metric_that_is_not_a_share_has_the_interval_of_a_mean():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, 400)
    low, high = statistics.interval([mean_score(values)], Metric(name="error", better="lower"))
    expected = stats.norm.interval(0.95, values.mean(), values.std(ddof=1) / 20)
    assert (low, high) == pytest.approx(expected, abs=1e-5)


def test_several_seeds_of_a_mean_hold_both_kinds_of_noise():
    rng = np.random.default_rng(0)
    scores = [mean_score(rng.normal(mean, 2, 400)) for mean in (3.0, 3.2, 3.4)]
    means = [score.value for score in scores]
    seeds = 4.302653 * np.std(means, ddof=1) / 3**0.5
    test = np.mean([(score.high - score.low) / 2 for score in scores])
    low, high = statistics.interval(scores, Metric(name="error", better="lower"))
    assert (high - low) / 2 == pytest.approx(np.hypot(seeds, test), rel=1e-5)


def test_where_less_is_better_the_smaller_mean_wins():
    rng = np.random.default_rng(0)
    low, high = rng.normal(1, 1, (1, 500)), rng.normal(2, 1, (1, 500))
    assert statistics.ranks([high, low], better="lower") == [(2, 2), (1, 1)]
    assert statistics.ranks([high, low], better="higher") == [(1, 1), (2, 2)]
    expected = stats.ttest_rel(low[0], high[0]).pvalue
    assert statistics.p_value(low, high) == pytest.approx(expected, rel=1e-9)
    assert statistics.p_value(low, low) == 1.0
