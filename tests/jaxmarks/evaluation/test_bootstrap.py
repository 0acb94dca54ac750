"""The bootstrap against draws made one by one, SciPy's, and how often its interval holds the truth."""

import numpy as np
import pytest
from scipy import stats

from jaxmarks.evaluation import bootstrap


def test_means_are_those_of_groups_drawn_one_by_one(random):
    values, groups = random.rand(12, 2), np.array(list("aaabbcccccdd"))
    values[[0, 5], 0] = np.nan
    found = bootstrap.means(values, groups, seed=3)
    picks = np.random.RandomState(3).randint(0, 4, (bootstrap.RESAMPLES, 4))
    for row in range(50):
        drawn = np.concatenate([values[groups == "abcd"[g]] for g in picks[row]])
        np.testing.assert_allclose(found[row], np.nanmean(drawn, 0))


def test_any_statistic_is_given_the_same_draws(random):
    values, groups = random.rand(9, 1), random.randint(0, 4, 9)
    direct = bootstrap.repeated(lambda w: [float(w @ values[:, 0] / w.sum()), w.sum()], groups)
    np.testing.assert_allclose(direct[:, 0], bootstrap.means(values, groups)[:, 0])
    assert direct[:, 1].min() < 9 < direct[:, 1].max()


def test_the_draws_do_not_depend_on_the_memory_they_are_made_in(random, monkeypatch):
    values, groups = random.rand(30, 1), np.arange(30)
    whole = bootstrap.means(values, groups)
    monkeypatch.setattr(bootstrap, "_CHUNK", 70)
    np.testing.assert_allclose(bootstrap.means(values, groups), whole)


def test_without_groups_it_is_scipys_percentile_interval(random):
    values = random.exponential(size=200)
    ours = bootstrap.interval(bootstrap.means(values[:, None], np.arange(200))[:, 0])
    theirs = stats.bootstrap((values,), np.mean, n_resamples=9999, method="percentile", rng=1).confidence_interval
    np.testing.assert_allclose(ours, theirs, atol=0.1 * (theirs.high - theirs.low))


def covered(samples, groups) -> float:
    """The share of samples f64[m, n] of mean 0 whose interval holds it."""
    found = [bootstrap.interval(bootstrap.means(s[:, None], groups)[:, 0]) for s in samples]
    return float(np.mean([edges[0] <= 0 <= edges[1] for edges in found]))


def test_an_interval_by_group_covers_as_often_as_it_says_and_one_that_ignores_groups_does_not():
    random, groups = np.random.RandomState(1), np.repeat(np.arange(40), 10)
    samples = random.randn(100, 40).repeat(10, 1) + 0.3 * random.randn(100, 400)  # frames of one person are alike
    assert covered(samples, groups) >= 0.87
    assert covered(samples, np.arange(400)) <= 0.6


def test_a_column_known_in_one_group_has_no_interval(random):
    values = random.rand(6, 2)
    values[2:, 1] = np.nan
    found = bootstrap.means(values, np.array([0, 0, 1, 1, 2, 2]))
    assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 1]).all()
    assert bootstrap.interval(found[:, 1]) is None
    assert bootstrap.interval(bootstrap.repeated(lambda w: [1.0], np.zeros(6))) is None


def test_a_resample_without_a_column_is_left_out_of_its_interval():
    values = np.array([[1.0], [3.0], [np.nan], [np.nan]])
    found = bootstrap.means(values, np.arange(4))[:, 0]
    assert np.isnan(found).mean() == pytest.approx((2 / 4) ** 4, abs=0.02)
    assert bootstrap.interval(found) == [1, 3]
