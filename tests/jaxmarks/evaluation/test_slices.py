"""Slices: size and asymmetry by hand and by SciPy's Procrustes, thirds by counting."""

import numpy as np
import pytest
from scipy.spatial import procrustes

from jaxmarks import landmarks
from jaxmarks.evaluation import slices

MIRROR = landmarks.scheme(68).mirror


def symmetric(random, points=68):
    face = random.rand(points, 2)
    image = face[MIRROR] * (-1, 1)
    return (face + image) / 2


def test_size_is_that_of_the_labelled_box():
    truth = np.array([[[0.0, 0.0], [4.0, 9.0], [99.0, 99.0]]] * 2)
    mask = np.array([[True, True, False], [False] * 3])
    np.testing.assert_array_equal(slices.sizes(truth, mask), [6, np.nan])


def test_asymmetry_is_what_procrustes_leaves(random):
    noise = np.linspace(0.01, 0.2, 5)[:, None, None]  # so little that SciPy, which may reflect, does not
    truth = 100 * (symmetric(random) + noise * random.randn(5, 68, 2))
    for face, found in zip(truth, slices.asymmetry(truth, np.ones((5, 68), bool), MIRROR), strict=True):
        _, _, left = procrustes(face, face[MIRROR] * (-1, 1))  # squares, both of unit size
        assert found == pytest.approx(np.sqrt(left), rel=1e-9)


def test_a_symmetric_face_has_none_however_it_is_tilted_and_one_that_turns_has_more_and_more(random):
    angle, face = 0.7, symmetric(random)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    depth = np.abs(face[:, 0]) - 1  # a ridge seen from the front
    yaws = [np.stack([face[:, 0] * np.cos(a) + depth * np.sin(a), face[:, 1]], 1) for a in (0, 0.2, 0.4, 0.8)]
    truth = np.stack([30 * yaw @ turn.T + (500, 40) for yaw in yaws])
    found = slices.asymmetry(truth, np.ones(truth.shape[:2], bool), MIRROR)
    assert found[0] < 1e-6 and (np.diff(found) > 0.02).all() and found[-1] <= 1


def test_only_pairs_that_are_both_labelled_count(random):
    truth, mask = symmetric(random)[None].repeat(3, 0), np.ones((3, 68), bool)
    truth[0, 36], mask[0, 36] = 1e6, False
    mask[1] = False
    truth[2] = 7.0  # all in one place
    found = slices.asymmetry(truth, mask, MIRROR)
    assert found[0] < 1e-6 and np.isnan(found[1:]).all()


def test_thirds_hold_equal_numbers_and_leave_out_what_is_not_known(random):
    values = random.permutation(np.arange(30.0))
    values = np.append(values, np.nan)
    found = slices.terciles(values, slices.NAMES["size"])
    assert [(s.name, s.inside.sum()) for s in found] == [("small", 10), ("medium", 10), ("large", 10)]
    assert [(s.low, s.high) for s in found] == [(0, 9), (10, 19), (20, 29)]
    assert not any(s.inside[-1] for s in found)


def test_equal_values_stay_together():
    (only,) = slices.terciles(np.full(9, 5.0), slices.NAMES["pose"])
    assert only.name == "straight" and only.inside.all()
    assert slices.terciles(np.full(3, np.nan), slices.NAMES["pose"]) == []
    found = slices.terciles(np.array([1.0, 1, 1, 1, 2, 3]), slices.NAMES["brightness"])
    assert sum(s.inside.sum() for s in found) == 6 and found[0].inside[:4].all()


def test_luminance_of_plain_colours():
    image = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0]]], np.uint8)
    np.testing.assert_allclose(slices.luminance(image), [[255, 76.245, 149.685]])
