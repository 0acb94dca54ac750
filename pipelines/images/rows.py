"""Examples on canvases as arrays: what a batch is made of, and what a store keeps."""

from typing import NamedTuple

import numpy as np

from jaxmarks import affine
from pipelines.example import Example
from pipelines.images.placement import Canvas


class Rows(NamedTuple):
    """Examples on their canvases; axis 0 is the example."""

    image: np.ndarray  # u8[n, side, side, 3]
    about: np.ndarray  # of `about`, [n]


def about(num_points: int) -> np.dtype:
    """Return the form of what is known of an example beside its canvas."""
    return np.dtype(
        [
            ("points", "<f8", (num_points, 2)),  # in pixels of the input
            ("mask", "?", (num_points,)),
            ("frame", "<f8", (2, 3)),  # image -> input
            ("fit", "<f8", (2, 3)),  # canvas -> input
            ("extent", "<f8", (4,)),  # first and last true pixel of the canvas
            ("size", "<i8", (2,)),  # width, height of the image
            ("index", "<i8"),  # of the example in its source
        ]
    )


def empty(count: int, side: int, num_points: int) -> Rows:
    """Return memory for examples, with any content."""
    return Rows(np.empty((count, side, side, 3), np.uint8), np.empty(count, about(num_points)))


def describe(rows: Rows, at: int, example: Example, canvas: Canvas, index: int) -> None:
    """Write what is known of an example beside its canvas into row `at`, its points still in pixels of its image; index:
    of the example in its source."""
    rows.about[at] = (example.points, example.mask, canvas.frame, canvas.fit, canvas.extent, canvas.size, index)


def to_input(rows: Rows, which: np.ndarray) -> None:
    """Map the points of some rows, i[n], from pixels of their images to pixels of the input: of all at once."""
    about = rows.about
    about["points"][which] = affine.apply(about["frame"][which], about["points"][which])
