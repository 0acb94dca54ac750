"""What expected errors are worth: against SciPy, plain loops and sets whose expected errors are right by construction."""

import numpy as np
import pytest
from scipy import stats

from jaxmarks.evaluation import bootstrap, reliability


@pytest.fixture
def known(random):
    """(expected, error, mask, scale, groups) of 40 images of 12 points; the error is exponential about the expected."""
    expected = np.exp(0.5 * random.randn(40, 12) + 0.5 * random.randn(40, 1))
    error, mask = expected * random.exponential(size=(40, 12)), random.rand(40, 12) < 0.8
    return expected, error, mask, 20 + 60 * random.rand(40), np.arange(40) // 4


def test_spearman_is_scipys_with_ties_and_without(random):
    a, b = random.rand(200), random.randint(0, 6, 200)
    for first, second in ((a, b), (a, a + random.rand(200)), (b, -b)):
        assert reliability.spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    a[3] = np.nan
    assert reliability.spearman(a, b) == pytest.approx(stats.spearmanr(a, b, nan_policy="omit").statistic)
    assert np.isnan(reliability.spearman(a, np.ones(200))) and np.isnan(reliability.spearman(a[:0], a[:0]))


def test_weighted_it_is_that_of_the_pairs_repeated(random):
    a, b, weights = random.randint(0, 9, 60), random.rand(60), random.randint(0, 4, 60)
    repeated = stats.spearmanr(a.repeat(weights), b.repeat(weights)).statistic
    assert reliability._spearman(a, b)(weights.astype(float)) == pytest.approx(repeated)


def test_the_three_correlations_are_those_of_their_definition(known):
    expected, error, mask, scale, _ = known
    expected[5, 3] = np.nan
    used = mask & np.isfinite(expected)
    pooled = stats.spearmanr(expected[used], error[used]).statistic
    assert reliability.over_points(expected, error, mask) == pytest.approx(pooled)
    each = [stats.spearmanr(e[u], t[u]).statistic for e, t, u in zip(expected, error, used, strict=True)]
    np.testing.assert_allclose(reliability.within_images(expected, error, mask), each)
    nme = np.array([t[m].mean() for t, m in zip(error, mask, strict=True)]) / scale
    sure = np.array([e[u].mean() for e, u in zip(expected, used, strict=True)]) / scale
    np.testing.assert_allclose(reliability.confidence(expected, mask, scale), sure)
    assert reliability.over_images(expected, mask, scale, nme) == pytest.approx(stats.spearmanr(sure, nme).statistic)


def test_an_image_with_two_points_or_none_has_no_correlation_of_its_own(known):
    expected, error, mask, scale, _ = known
    mask[0], mask[1] = False, np.arange(12) < 2
    found = reliability.within_images(expected, error, mask)
    assert np.isnan(found[:2]).all() and np.isfinite(found[2:]).all()
    assert np.isnan(reliability.confidence(expected, mask, scale)[0])


def test_the_curve_lies_on_the_diagonal_where_expected_errors_are_right(random):
    expected = np.exp(random.randn(500, 40))
    curve = reliability.curve(expected, expected * random.exponential(size=expected.shape), expected < 9)
    assert curve.count.sum() == (expected < 9).sum() and np.ptp(curve.count) <= 1
    assert (np.diff(curve.expected) > 0).all()
    np.testing.assert_allclose(curve.error, curve.expected, rtol=0.08)
    one = reliability.curve(np.array([[2.0]]), np.array([[3.0]]), np.array([[True]]))
    assert one.expected == [2] and one.error == [3] and one.count == [1]


def test_without_the_worst_tenth_is_a_loop(known):
    expected, error, mask, scale, _ = known
    ranked = sorted((-expected[i, k] / scale[i], i, k) for i, k in np.argwhere(mask))
    gone = {(i, k) for _, i, k in ranked[: len(ranked) // 10]}
    rows = [[error[i, k] / scale[i] for k in range(12) if mask[i, k] and (i, k) not in gone] for i in range(40)]
    before, after = reliability.without_worst(expected, error, mask, scale)
    assert before == pytest.approx(np.mean([error[i][mask[i]].mean() / scale[i] for i in range(40)]))
    assert after == pytest.approx(np.mean([np.mean(row) for row in rows if row])) and after < before
    assert np.isnan(reliability.without_worst(expected, error, ~mask & False, scale)).all()


def test_radii_of_the_true_quantiles_cover_at_their_level(random):
    expected = np.exp(random.randn(400, 30))
    error, mask = expected * random.exponential(size=expected.shape), random.rand(400, 30) < 0.7
    radii = {level: -np.log(1 - level) * expected for level in (0.5, 0.9)}
    found = reliability.coverage(error, mask, radii)
    assert found == pytest.approx({0.5: 0.5, 0.9: 0.9}, abs=0.02)
    half = reliability.coverage(
        np.array([[1.0, 2, 3, 9]]), np.array([[True, True, True, False]]), {0.5: np.full((1, 4), 2.0)}
    )
    assert half == {0.5: pytest.approx(2 / 3)}
    assert np.isnan(reliability.coverage(error, mask, {0.5: np.full_like(error, np.nan)})[0.5])


def test_the_report_says_the_same_and_its_intervals_are_of_groups_drawn_again(known):
    expected, error, mask, scale, groups = known
    radii = {0.9: 2.3 * expected}
    found = reliability.report(expected, error, mask, scale, groups, radii)
    before, after = reliability.without_worst(expected, error, mask, scale)
    assert found["points"] == mask.sum()
    assert found["spearman_points"] == pytest.approx(reliability.over_points(expected, error, mask))
    assert found["spearman_within"] == pytest.approx(np.nanmean(reliability.within_images(expected, error, mask)))
    assert found["nme_without"] == pytest.approx(after) and found["fall"] == pytest.approx(100 * (1 - after / before))
    best = reliability.without_worst(error, error, mask, scale)[1]
    assert found["fall_at_most"] == pytest.approx(100 * (1 - best / before)) and best < after
    assert found["coverage_0.9"] == pytest.approx(reliability.coverage(error, mask, radii)[0.9])
    picks, samples = np.random.RandomState(0).randint(0, 10, (bootstrap.RESAMPLES, 10)), []
    for row in picks[:400]:
        drawn = np.concatenate([np.flatnonzero(groups == g) for g in row])
        samples.append(reliability.over_points(expected[drawn], error[drawn], mask[drawn]))
    np.testing.assert_allclose(found["intervals"]["spearman_points"], np.percentile(samples, [2.5, 97.5]), atol=0.02)
    for name, (low, high) in found["intervals"].items():
        assert low < found[name] < high, name


def test_what_has_no_expected_error_has_no_report(known):
    expected, error, mask, scale, groups = known
    assert reliability.report(np.full_like(expected, np.nan), error, mask, scale, groups) == {}
    expected[:39] = np.nan  # one image has: no correlation over images, no interval where it is not drawn
    found = reliability.report(expected, error, mask, scale, np.arange(40))
    assert found["spearman_photographs"] is None and found["intervals"]["spearman_photographs"] is None
    assert found["points"] == mask[39].sum()
