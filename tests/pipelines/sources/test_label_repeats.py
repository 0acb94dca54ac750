"""Coordinates that come again where chance would hardly repeat them."""

import numpy as np
import pytest

from pipelines.sources import label_repeats

NAMES = [f"{i}.jpg" for i in range(30)]


def described(points) -> list[str]:
    return label_repeats.describe(NAMES[: len(points)], points, np.arange(points.shape[1]))


@pytest.fixture
def points(random):
    """f[30, 8, 2] with two decimals."""
    return np.round(np.linspace(20, 120, 16).reshape(8, 2) + random.normal(0, 9, (30, 8, 2)), 2)


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_labels_by_hand_need_no_line(points, decimals):
    assert not described(np.round(points, decimals))
    assert not described(3 * np.round(points / 3))  # on a lattice, as a network of few pixels gives them


@pytest.mark.parametrize("decimals", [0, 2])
def test_places_filled_with_a_mean(points, decimals):
    points = np.round(points, decimals)
    points[[2, 5, 9, 14, 20, 28], 3] = np.round(points[:, 3].mean(0), decimals)
    [line] = described(points)
    assert "1 point in exactly the same place in several of 30 images" in line and "point 3 at (" in line
    assert ") in 6" in line


def test_what_is_not_labelled_and_placeholders_do_not_count(points):
    points[3:12, 2] = np.nan
    points[4:16, 5] = 0
    assert not described(points)
    assert not described(np.full((30, 8, 2), np.nan)) and not described(points[:, :0])


def test_places_filled_down(points):
    for image, at in ((3, 1), (4, 1), (9, 6), (17, 0), (21, 7)):
        points[image, at] = points[image - 1, at]
    [line] = described(points)
    assert "5 points in 5 of 30 images exactly where the image before has them: 3.jpg, 4.jpg, 9.jpg, ..." in line
    assert not described(np.round(points))  # whole pixels of what stands still
    points[13] = points[12]  # a copy, of which another line tells
    assert "5 points in 5 of 30" in described(points)[0]


def test_coordinates_with_two_digits(points):
    rounded = np.array([float(f"{v:.2g}") for v in points.ravel()]).reshape(points.shape)
    assert any("are multiples of ten" in line for line in described(rounded))
    assert not described(10 * np.round(points))
