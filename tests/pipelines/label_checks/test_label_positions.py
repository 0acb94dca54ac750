"""Where the labels of a set lie: points that never move, and labels in another unit than pixels of their images."""

import numpy as np
import pytest

from pipelines.label_checks.label_positions import Positions


def described(points, sizes, mask=None, folders=None) -> list[str]:
    """points: f[images, points, 2] in pixels."""
    positions = Positions(points.shape[1])
    for i, (each, size) in enumerate(zip(points, sizes, strict=True)):
        name = f"{folders[i] if folders else ''}{i}.jpg"
        positions.add(name, each, np.ones(len(each), bool) if mask is None else mask[i], size)
    return positions.describe()


@pytest.fixture
def shares():
    """f[images, points, 2]: shares of width and height, about the middle."""
    random = np.random.default_rng(3)
    return np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.8]]) + random.normal(0, 0.05, (24, 3, 2))


def sizes_of(count: int, low: int, high: int) -> np.ndarray:
    return np.random.default_rng(4).integers(low, high, (count, 2))


def test_pixels_need_no_line(shares):
    sizes = sizes_of(24, 130, 900)
    assert not described(shares * sizes[:, None], sizes)
    assert not described((shares - [0, 0.2]) * sizes[:, None], sizes)  # high up, but in the middle of the width
    assert not described(shares[:4] * 100, sizes[:4])  # too few to say


@pytest.mark.parametrize(
    ("unit", "low", "high", "said"),
    [
        (100, 130, 161, "per cent of width and height?"),
        (100, 400, 900, "per cent of width and height?"),
        (1000, 1200, 1900, "thousandths of width and height?"),
        (256, 512, 513, "smaller copies of the images?"),
    ],
)
def test_another_unit_is_a_warning(shares, unit, low, high, said):
    [line] = described(shares * unit, sizes_of(24, low, high))
    assert line.startswith("warning: labels: on average they lie at") and said in line


def test_a_folder_of_smaller_copies_among_others(shares):
    sizes = np.full((24, 2), 160)
    points = shares * sizes[:, None]
    points[16:] /= 2
    folders = ["a/"] * 16 + ["b/"] * 8
    [line] = described(points, sizes, folders=folders)
    assert "in b/ on average" in line
    points[16:] *= 2
    assert not described(points, sizes, folders=folders)


def test_a_still_camera_with_the_object_to_the_left_needs_no_line(shares):
    sizes = np.full((24, 2), 160)
    assert not described((0.5 * shares + [0.05, 0.2]) * sizes[:, None], sizes)


def test_points_that_are_not_labelled_do_not_count(shares):
    sizes = sizes_of(24, 300, 900)
    points = shares * sizes[:, None]
    points[:, 0] = 0
    mask = np.ones((24, 3), bool)
    mask[:, 0] = False
    assert not described(points, sizes, mask)
    mask[:] = False
    assert not described(points, sizes, mask)


def test_a_point_that_never_moves(shares):
    sizes = sizes_of(24, 300, 900)
    points = shares * sizes[:, None]
    points[:, 1] = [410.5, 200]
    [line] = described(points, sizes)
    assert "1 point in one place in all images, the first point 1 at (410.5, 200)" in line
