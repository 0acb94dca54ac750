"""Metrics against plain loops over points and faces."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import landmarks
from jaxmarks.evaluation import metrics, summary

DIAGONAL = np.full(6, 150.0)


def _faces(random, faces=6, points=68):
    truth = 100 * random.rand(faces, points, 2)
    return truth + random.randn(faces, points, 2), truth, random.rand(faces, points) < 0.8


@pytest.mark.parametrize("points", [68, 7])
def test_nme_equals_a_loop(random, points):
    prediction, truth, mask = _faces(random, points=points)
    scheme = landmarks.scheme(points)
    found = metrics.nme(prediction, truth, mask, metrics.norm(truth, mask, scheme, DIAGONAL))
    for i in range(len(truth)):
        labelled = [k for k in range(points) if mask[i, k]]
        if scheme.norm and all(mask[i, k] for k in scheme.norm):
            norm = math.dist(truth[i, scheme.norm[0]], truth[i, scheme.norm[1]])
        else:
            x, y = [truth[i, k, 0] for k in labelled], [truth[i, k, 1] for k in labelled]
            norm = math.sqrt((max(x) - min(x)) * (max(y) - min(y)))
        distances = [math.dist(prediction[i, k], truth[i, k]) for k in labelled]
        assert found[i] == pytest.approx(sum(distances) / len(distances) / norm, rel=1e-9)


def test_on_the_device_it_is_the_same(random):
    prediction, truth, mask = _faces(random)
    scheme = landmarks.scheme(68)
    host = metrics.nme(prediction, truth, mask, metrics.norm(truth, mask, scheme, DIAGONAL))
    p, t, m = (jnp.asarray(a) for a in (prediction, truth, mask))
    np.testing.assert_allclose(metrics.nme(p, t, m, metrics.norm(t, m, scheme, jnp.asarray(DIAGONAL))), host, rtol=1e-4)


def test_a_face_without_labels_counts_nowhere(random):
    prediction, truth, mask = _faces(random)
    mask[2] = False
    rows = summary.per_image(prediction, truth, mask, landmarks.scheme(68), DIAGONAL)
    assert np.isnan(rows["nme"][2]) and np.isfinite(np.delete(rows["nme"], 2)).all()
    assert summary.report(rows, 0.1)["count"] == 5


def test_auc_is_the_area_under_the_cumulative_curve(random):
    errors = 0.15 * random.rand(500)
    limits = (np.arange(20000) + 0.5) / 20000 * 0.1
    curve = (errors[:, None] <= limits).mean(0)
    auc, failure = (column.mean() for column in metrics.by_limit(errors, 0.1))
    assert auc == pytest.approx(curve.mean(), abs=1e-4)
    assert failure == np.count_nonzero(errors > 0.1) / 500


def test_the_contest_score_rounds_and_takes_the_asked_points_with_repeats():
    truth = np.zeros((1, 4, 2))
    prediction = np.array([[[0.4, 0.6], [2.0, 0.0], [9.0, 9.0], [-0.6, 0.0]]])
    score = summary.contest_scores(prediction, truth, [np.array([0, 1, 1, 3])])
    assert score == pytest.approx([(0 + 1 + 4 + 0 + 4 + 0 + 1 + 0) / 8])


def test_a_face_without_an_error_has_no_area_and_is_no_failure():
    area, failed = metrics.by_limit(np.array([0.05, np.nan, 0.2]), 0.1)
    np.testing.assert_array_equal(area, [0.5, np.nan, 0])
    np.testing.assert_array_equal(failed, [0, np.nan, 1])


def test_the_box_and_its_diagonal_by_hand():
    truth = np.array([[[10.0, 20.0], [13.0, 20.0], [11.0, 24.0], [900.0, -7.0]]])
    mask = np.array([[True, True, True, False]])
    assert metrics.box_norm(truth, mask) == pytest.approx(math.sqrt(12))
    assert metrics.diagonal_norm(truth, mask) == pytest.approx(5)
    assert metrics.diagonal_norm(truth, ~mask) == 0


LINE = [[10.0, 5.0 + k] for k in range(5)]
SPREAD = [[0.0, 0.0], [30.0, 40.0], [3.0, 9.0], [8.0, 2.0], [20.0, 1.0]]
TOGETHER = [[7.0, 9.0], [7.0, 9.0], [3.0, 1.0], [8.0, 2.0], [7.0, 9.0]]
FIVE = landmarks.scheme(5)  # its norm: points 0 and 1


@pytest.mark.parametrize(
    ("points", "labelled", "scheme", "instead", "length"),
    [
        (SPREAD, range(5), FIVE, 0, 50),
        (SPREAD, range(1, 5), FIVE, 1, math.sqrt(27 * 39)),  # an eye is not labelled
        (TOGETHER, range(5), FIVE, 1, math.sqrt(5 * 8)),  # the eyes are in one place
        (LINE, range(5), FIVE, 0, 1),  # on a line, but the eyes are apart
        (LINE, range(1, 5), FIVE, 2, 150),
        (LINE, range(5), FIVE._replace(norm=None), 2, 150),
        (SPREAD, [2], FIVE, 2, 150),  # one point
        (TOGETHER, [0, 1, 4], FIVE, 2, 150),  # all in one place
        (SPREAD, range(5), FIVE._replace(norm=None), 0, math.sqrt(30 * 40)),
    ],
)
@pytest.mark.parametrize("zoom", [1.0, 0.213])
def test_a_norm_of_zero_is_the_box_and_then_the_images_diagonal(points, labelled, scheme, instead, length, zoom):
    """Also in another frame, in float32, as a training step has it."""
    truth, mask = zoom * np.array([points]) + 3.7, np.isin(np.arange(5), list(labelled))[None]
    diagonal = zoom * np.array([150.0])
    assert metrics.fallback(truth, mask, scheme, diagonal) == [instead]
    assert metrics.norm(truth, mask, scheme, diagonal) == pytest.approx(zoom * length)
    given = jnp.asarray(truth, jnp.float32), jnp.asarray(mask), scheme, jnp.asarray(diagonal, jnp.float32)
    assert metrics.fallback(*given).tolist() == [instead]
    np.testing.assert_allclose(metrics.norm(*given), zoom * length, rtol=1e-4)
    rows = summary.per_image(truth + [0.6 * zoom, 0.8 * zoom], truth, mask, scheme, diagonal)
    assert rows["nme"] == pytest.approx(1 / length)
    assert all(0 < values[0] < 2 for values in rows.values())
