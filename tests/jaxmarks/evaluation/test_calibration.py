"""Expected errors: recovered where they are known, covering as often as they say, and never below zero."""

import json

import numpy as np
import pytest

from jaxmarks.evaluation import calibration

POINTS = 6


def made(random, faces: int, noise: float = 1.0, groups: int = 20):
    """(points, spread, truth, mask, norm, diagonal, groups): errors of which the mean is 0.02 (1 + point) of the face + 0.7
    spread."""
    truth = random.uniform(0, 1, (faces, POINTS, 2)) * random.uniform(40, 160, (faces, 1, 1))
    spread = random.gamma(2.0, 2.0, (faces, POINTS))
    mean = 0.02 * (1 + np.arange(POINTS)) * calibration.size_of(truth, np.full(faces, 400.0))[:, None] + 0.7 * spread
    length = mean * (1 + noise * random.uniform(-1, 1, mean.shape))
    angle = random.uniform(0, 2 * np.pi, mean.shape)
    points = truth + (length[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1))
    of = [f"person{n % groups}" for n in range(faces)]
    return points, spread, truth, np.ones(mean.shape, bool), np.full(faces, 50.0), np.full(faces, 400.0), of


def test_what_errors_are_made_of_is_found(random):
    """The size that is known is the prediction's, which errors of this size make a little larger."""
    found = calibration.fit(*made(random, 4000, noise=0.3))
    assert found.spread == pytest.approx(0.7, rel=0.1)
    assert np.all(np.diff(found.usual) > 0.01)
    assert found.usual.mean() == pytest.approx(0.02 * 3.5, rel=0.2)


def test_on_others_the_expected_error_is_the_true_one_on_average_and_covers_as_it_says(random):
    known = calibration.fit(*made(random, 1000))
    points, spread, truth, _, _, across, _ = made(random, 4000)
    expected, error = calibration.expected(known, points, spread, across), np.linalg.norm(points - truth, axis=-1)
    assert expected.mean() == pytest.approx(error.mean(), rel=0.03)
    for level, ratio in zip(calibration.LEVELS, known.ratios, strict=True):
        assert (error <= ratio * expected).mean() == pytest.approx(level, abs=0.02)


def test_a_confidence_is_how_often_the_limit_holds(random):
    known = calibration.fit(*made(random, 2000))
    points, spread, truth, _, norm, across, _ = made(random, 4000)
    expected_nme = calibration.expected(known, points, spread, across).mean(1) / norm
    nme = np.linalg.norm(points - truth, axis=-1).mean(1) / norm
    limit = float(np.median(nme))
    sure = calibration.confidence(known, expected_nme, limit)
    assert ((sure >= 0) & (sure <= 1)).all()
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        there = (sure >= low) & (sure < high)
        assert there.sum() > 100 and (nme[there] <= limit).mean() == pytest.approx(sure[there].mean(), abs=0.08)


def test_expected_errors_follow_the_unit_of_the_points(random):
    points, spread, truth, mask, norm, across, of = made(random, 300)
    known = calibration.fit(points, spread, truth, mask, norm, across, of)
    larger = calibration.fit(3 * points, 3 * spread, 3 * truth, mask, 3 * norm, 3 * across, of)
    assert np.allclose(
        calibration.expected(larger, 3 * points, 3 * spread, 3 * across),
        3 * calibration.expected(known, points, spread, across),
    )
    assert np.allclose(known.ratios, larger.ratios) and np.allclose(known.images, larger.images)


def test_labels_that_are_missing_have_no_influence_and_no_error_is_expected_below_zero(random):
    points, spread, truth, mask, norm, across, of = made(random, 200)
    gone = mask.copy()
    gone[::3, 2], gone[5] = False, False
    known = calibration.fit(points, spread, truth, gone, norm, across, of)
    other = calibration.fit(points, spread, np.where(gone[..., None], truth, -1e6), gone, norm, across, of)
    assert np.allclose(known.usual, other.usual) and np.allclose(known.ratios, other.ratios)
    falling = calibration.fit(truth + 0.1, 1 / (spread + 1), truth, mask, norm, across, of)
    assert (falling.usual >= 0).all() and falling.spread >= 0
    assert (calibration.expected(falling, points, np.zeros(spread.shape), across) >= 0).all()


def test_it_comes_back_from_a_file(random):
    known = calibration.fit(*made(random, 100))
    again = calibration.from_data(json.loads(json.dumps(calibration.to_data(known))))
    assert all(np.array_equal(a, b) for a, b in zip(known, again, strict=True))


@pytest.mark.parametrize(("faces", "groups"), [(calibration.LEAST - 1, 5), (100, 1)])
def test_too_few_to_calibrate_on_is_said_in_one_line(random, faces, groups):
    with pytest.raises(ValueError, match=r"^\d+ labelled images of \d+ groups? are too few [^\n]*`val_fraction`\)$"):
        calibration.fit(*made(random, faces, groups=groups))


def test_points_without_a_prediction_are_left_out(random):
    points, spread, truth, mask, norm, across, of = made(random, 120)
    known = calibration.fit(points[:100], spread[:100], truth[:100], mask[:100], norm[:100], across[:100], of[:100])
    points[100:, 2] = np.nan
    mask[100:] = False
    mask[100:, 2] = True
    again = calibration.fit(points, spread, truth, mask, norm, across, of)
    assert all(np.allclose(a, b) for a, b in zip(known, again, strict=True))


def test_what_was_not_predicted_is_not_sure(random):
    known = calibration.fit(*made(random, 100))
    points, spread = 100 * random.rand(3, POINTS, 2), random.rand(3, POINTS)
    points[1], spread[2, 3] = np.nan, np.nan
    expected = calibration.expected(known, points, spread, np.full(3, 400.0))
    assert np.isfinite(expected[0]).all() and np.isnan(expected[1]).all() and np.isnan(expected[2, 3])
    sure = calibration.confidence(known, expected.mean(1) / 50, 10.0)
    assert sure[0] == 100 / 101 and sure[1] == sure[2] == 0


def test_a_single_point_is_as_large_as_its_image(random):
    """Its error is a share of the image: known on small images, it is expected on larger ones."""
    diagonal, faces = random.uniform(100, 1000, 400), 400
    truth = random.uniform(0, 1, (faces, 1, 2)) * diagonal[:, None, None]
    angle = random.uniform(0, 2 * np.pi, (faces, 1))
    points = truth + 0.03 * diagonal[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    nothing, of = np.zeros((faces, 1)), [f"person{n % 20}" for n in range(faces)]
    known = calibration.fit(points, nothing, truth, np.ones((faces, 1), bool), diagonal, diagonal, of)
    expected = calibration.expected(known, points, nothing, diagonal)
    np.testing.assert_allclose(expected[:, 0], 0.03 * diagonal, rtol=1e-6)
