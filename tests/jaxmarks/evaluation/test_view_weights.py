"""Weights of views fitted to labels, against SciPy's general minimiser and what is known to be best."""

import numpy as np
import pytest
from scipy.optimize import minimize

from jaxmarks.evaluation import view_weights


@pytest.fixture
def made(random):
    """(points [3, n, points, 2], truth, mask, norm): a good view, a worse one, and one that is off by a constant."""
    truth, norm = random.uniform(0, 96, (60, 7, 2)), random.uniform(20, 40, 60)
    noise = random.randn(3, 60, 7, 2) * np.array([1.0, 3.0, 1.0])[:, None, None, None]
    noise[2] += 9.0
    return truth + noise, truth, random.rand(60, 7) < 0.9, norm


def mean_nme(weights, points, truth, mask, norm) -> float:
    """Written out, face by face."""
    each = []
    for n in range(len(truth)):
        distances = [
            np.hypot(*(sum(w * p[n, k] for w, p in zip(weights, points, strict=True)) - truth[n, k]))
            for k in range(truth.shape[1])
            if mask[n, k]
        ]
        if distances:
            each.append(np.mean(distances) / norm[n])
    return float(np.mean(each))


def test_unpulled_weights_are_where_a_general_minimiser_ends(made, monkeypatch):
    monkeypatch.setattr(view_weights, "_RIDGE", 0.0)
    found = view_weights.fit(*made)
    simplex = {"type": "eq", "fun": lambda w: w.sum() - 1}
    best = minimize(mean_nme, np.full(3, 1 / 3), args=made, bounds=[(0, 1)] * 3, constraints=simplex, method="SLSQP")
    assert abs(found.sum() - 1) < 1e-9 and (found >= 0).all()
    assert mean_nme(found, *made) < best.fun + 1e-5
    assert np.abs(found - best.x).max() < 0.02


def test_a_better_view_counts_more_and_a_far_one_hardly(made):
    good, worse, far = view_weights.fit(*made)
    assert good > worse > far and far < 0.1


def test_views_that_agree_share_alike(random):
    truth = random.uniform(0, 96, (30, 5, 2))
    one = truth + random.randn(30, 5, 2)
    found = view_weights.fit(np.stack([one, one, one]), truth, np.ones((30, 5), bool), np.full(30, 30.0))
    assert np.allclose(found, 1 / 3, atol=1e-6)


def test_what_is_not_labelled_or_not_finite_has_no_influence(made):
    points, truth, mask, norm = made
    spoilt, gone = points.copy(), mask.copy()
    spoilt[1, 4, 2], gone[4, 2] = np.nan, False
    elsewhere = np.where(mask[..., None], truth, 1e6)
    assert np.allclose(
        view_weights.fit(spoilt, elsewhere, mask, norm), view_weights.fit(points, truth, gone, norm), atol=1e-9
    )


def test_nothing_to_fit_on_is_rejected(made):
    points, truth, mask, norm = made
    with pytest.raises(ValueError, match="nothing to fit weights on"):
        view_weights.fit(points, truth, np.zeros_like(mask), norm)
