"""Points are drawn where they are; sheets hold every image."""

import numpy as np
import pytest

from pipelines.reports import sheets

GREY = np.full((40, 60, 3), 100, np.uint8)


def centre_of_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    weights = np.abs(after.astype(float) - before).sum(-1)
    rows, columns = np.indices(weights.shape)
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("scale", [1, 2, 5])
@pytest.mark.parametrize("point", [(30.0, 20.0), (12.25, 7.75), (41.5, 30.0)])
def test_a_dot_lies_on_its_point_in_the_enlarged_image(scale, point):
    drawn = sheets.draw_points(GREY, np.array([point]), scale=scale)
    assert drawn.shape == (40 * scale, 60 * scale, 3)
    found = centre_of_change(np.full_like(drawn, 100), drawn)
    assert np.abs(found - ((np.array(point) + 0.5) * scale - 0.5)).max() < 0.15


def test_the_image_given_is_not_drawn_on():
    image = GREY.copy()
    sheets.draw_points(image, np.array([[5.0, 5.0]]))
    assert np.array_equal(image, GREY)


def test_points_outside_or_nowhere_are_no_error_and_leave_no_mark():
    points = np.array([[-22, 1308], [np.nan, 5], [5, np.inf], [1e9, -1e9]])
    assert np.array_equal(sheets.draw_points(GREY, points), GREY)


def test_an_overlay_is_green_where_predicted_and_red_where_true_and_small_ones_are_enlarged():
    drawn = sheets.overlay(GREY, np.array([[10.0, 10.0]]), np.array([[40.0, 30.0]]))
    assert drawn.shape == (320, 480, 3)
    green, red = (drawn[int((y + 0.5) * 8), int((x + 0.5) * 8)].astype(int) for x, y in ((10, 10), (40, 30)))
    assert green.argmax() == 1 and green[1] > 200 and red.argmax() == 0 and red[0] > 200
    nowhere = np.full((1, 2), np.nan)  # one point's truth is not known: no dot of it, and no line
    alone = sheets.overlay(GREY, np.array([[10.0, 10.0]]), nowhere)
    assert not (alone[..., 0] > alone[..., 1]).any() and (drawn[int(20.5 * 8), int(25.5 * 8)] != 100).any()
    large = np.zeros((700, 500, 3), np.uint8)
    assert sheets.overlay(large, np.array([[10.0, 10.0]])).shape == large.shape
    told = sheets.overlay(large, np.array([[10.0, 10.0]]), caption="expected error 2 px")
    assert len(told) > 700 and (told[-700:] == sheets.overlay(large, np.array([[10.0, 10.0]]))).all()


@pytest.mark.parametrize(("count", "columns"), [(1, 8), (8, 8), (9, 8), (5, 2)])
def test_a_contact_sheet_shows_every_image_once(count, columns):
    pictures = [np.full((20, 30, 3), 240 + i, np.uint8) for i in range(count)]
    for captions in (None, [f"{i}" for i in range(count)]):
        sheet = sheets.contact(pictures, columns, captions)
        for i in range(count):
            rows, places = np.nonzero((sheet == 240 + i).all(-1))
            y, x = rows.min(), places.min()
            assert (sheet[y : y + 20, x : x + 30] == 240 + i).all()


def test_a_batch_sheet_is_twice_as_large_and_takes_values_at_the_ends_of_the_range():
    images = np.stack([np.zeros((32, 32, 3), np.float32), np.full((32, 32, 3), 255, np.float32)])
    sheet = sheets.batch_sheet(images, np.full((2, 1, 2), -100.0), ["a", "b"])
    assert (sheet == 255).all(-1).sum() >= 64 * 64 and (sheet == 0).all(-1).sum() >= 64 * 64


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (3, 300), (64, 64)])
def test_an_image_is_fitted_whole_and_centred_in_a_square(shape):
    square = sheets.fitted(np.full((*shape, 3), 200, np.uint8), 64)
    rows, columns = np.nonzero((square == 200).all(-1))
    assert square.shape == (64, 64, 3) and max(np.ptp(rows), np.ptp(columns)) == 63
    assert abs(rows.mean() - 31.5) <= 0.5 and abs(columns.mean() - 31.5) <= 0.5
