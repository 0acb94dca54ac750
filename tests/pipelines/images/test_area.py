"""Reduction by area: OpenCV's bits, and the mean of what a pixel covers."""

import cv2
import numpy as np
import pytest

from pipelines.images import area


def opencv(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("seed", range(4))
def test_any_size_to_any_smaller_one_has_opencvs_bits(seed):
    random = np.random.RandomState(seed)
    for _ in range(100):
        rows, columns = random.randint(1, 300, 2).tolist()
        width, height = random.randint(1, columns + 1), random.randint(1, rows + 1)
        image = random.randint(0, 256, (rows, columns, 3)).astype(np.uint8)
        assert np.array_equal(area.resize(image, width, height), opencv(image, width, height)), (image.shape, width)


@pytest.mark.parametrize(
    ("shape", "width", "height"),
    [
        ((250, 250), 128, 128),  # of 500 px, decoded at a half
        ((160, 160), 128, 128),
        ((180, 250), 178, 128),
        ((512, 512), 129, 511),  # the largest by products
        ((513, 512), 129, 511),  # one by OpenCV
        ((256, 384), 128, 128),  # whole pixels
        ((256, 385), 128, 128),  # along one axis only
        ((128, 200), 171, 128),  # one axis as it is
        ((1, 400), 7, 1),
    ],
)
def test_sizes_of_every_path_have_opencvs_bits(random, shape, width, height):
    image = random.randint(0, 256, (*shape, 3)).astype(np.uint8)
    found = area.resize(image, width, height)
    assert found.dtype == np.uint8 and np.array_equal(found, opencv(image, width, height))
    assert np.array_equal(area.resize(image[:, ::-1], width, height), opencv(image[:, ::-1].copy(), width, height))


def mean_over(values: np.ndarray, count: int) -> np.ndarray:
    """Means over count equal parts of axis 0, in float64: differences of the integral, which is linear within a pixel."""
    integral = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, 0)])
    flat = integral.reshape(len(integral), -1)
    at = np.arange(count + 1) * len(values) / count
    ends = np.stack([np.interp(at, np.arange(len(flat)), column) for column in flat.T], 1)
    return (np.diff(ends, axis=0) * count / len(values)).reshape(count, *values.shape[1:])


@pytest.mark.parametrize(
    ("shape", "width", "height"), [((160, 160), 128, 128), ((71, 233), 90, 64), ((97, 31), 11, 96)]
)
def test_a_pixel_is_the_mean_of_what_it_covers(random, shape, width, height):
    image = random.randint(0, 256, (*shape, 3)).astype(np.uint8)
    known = mean_over(mean_over(image.astype(np.float64), height).swapaxes(0, 1), width).swapaxes(0, 1)
    assert np.abs(area.resize(image, width, height) - known).max() < 0.5 + 1e-3


def test_weights_of_an_axis_add_up_to_one():
    for n, m in ((160, 128), (250, 128), (500, 499), (7, 7), (400, 1)):
        found = area.weights(n, m)
        assert found.shape == (m, n) and np.allclose(found.sum(axis=1), 1, atol=2e-3)
