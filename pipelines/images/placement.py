"""Placement: an image on its canvas by a single reduction, and the frames between image, canvas and input.

Frames: image -> canvas happens here, in float64; canvas -> input is left to the device.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from pipelines.example import Example
from pipelines.images.decode import reduced, reduced_size, resized
from pipelines.images.decoders import DecodeError, check, decoded
from pipelines.images.jpeg import orientation


class Canvas(NamedTuple):
    """An image on the fixed square that travels to the device."""

    image: np.ndarray  # u8[side, side, 3]
    frame: np.ndarray  # f64[2, 3]  image -> input
    fit: np.ndarray  # f64[2, 3]  canvas -> input
    extent: np.ndarray  # f64[4]  first and last true pixel: x0, y0, x1, y1
    size: tuple[int, int]  # width, height of the image that the frame is of


def canvas_side(size: int, factor: float) -> int:
    """Return the side of the canvas.

    Args:
        size: side of the input in pixels.
        factor: the canvas's side over the input's.

    Returns:
        pixels, rounded up.
    """
    return int(np.ceil(round(factor * size, 6)))


class _Axes(NamedTuple):
    """x to a x + b, y to c y + d, in plain floats: matrices cost too much for every image."""

    a: float = 1.0
    c: float = 1.0
    b: float = 0.0
    d: float = 0.0

    def then(self, other: "_Axes") -> "_Axes":
        return _Axes(self.a * other.a, self.c * other.c, self.b * other.a + other.b, self.d * other.c + other.d)

    def inverse(self) -> "_Axes":
        return _Axes(1 / self.a, 1 / self.c, -self.b / self.a, -self.d / self.c)

    def matrix(self) -> np.ndarray:
        return np.array([[self.a, 0.0, self.b], [0.0, self.c, self.d]])


def _resize(a: float, c: float) -> _Axes:
    """Return the map that makes sides a and c times as long, pixel centres at whole numbers."""
    return _Axes(a, c, (a - 1) / 2, (c - 1) / 2)


def _shift(b: float, d: float) -> _Axes:
    return _Axes(1.0, 1.0, b, d)


def canvas(example: Example, size: int, side: int, margin: float = 0.0, out: np.ndarray | None = None) -> Canvas:
    """Return an example's image on its canvas: its short side, or the square about its box, is to be the input's width.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves the short side (the box) `size` pixels or more; what is left
    is reduced by area, once, and never enlarged. The canvas is cut or padded about the centre; padding repeats the
    edge, and `extent` tells it from the image.

    Args:
        example: the example; its box is x, y, width, height in pixels of the image, whose first pixel reaches from 0 to
            1 here (its centre is our 0).
        size: side of the input in pixels.
        side: of the canvas in pixels.
        margin: what is added on each side of a box, as a share of its longer side.
        out: u8[side, side, 3] in one piece, which is to hold the canvas's image; None: a new array.

    Returns:
        the canvas.

    Raises:
        DecodeError: as `decode`, and for a box without area or outside the image.
    """
    given, before = example.image, _Axes()
    out = np.empty((side, side, 3), np.uint8) if out is None else out
    if isinstance(given, np.ndarray):
        image, shown, swap = given, (given.shape[1], given.shape[0]), False
    else:
        header = check(given)
        stored = (header.width, header.height) if header.kind == "JPEG" else None
        reduction = next((r for r in (8, 4, 2) if _square_side(example, stored, margin) / r >= size), 1)
        image, swap = decoded(given, reduction, header), True
        turn = orientation(given) if stored and reduction > 1 else 1
        shown = image.shape[1], image.shape[0]
        if stored is not None and reduction > 1:
            shown = (stored[1], stored[0]) if turn >= 5 else stored
        if example.size:
            before = _resize(shown[0] / example.size[0], shown[1] / example.size[1])
        if reduction > 1:
            before = before.then(_smaller(shown, reduction, turn))
    whole = example.size or shown
    if example.box is None:
        return _centred(image, swap, before, size, whole, out)
    check_box(example.box, *whole)
    return _boxed(image, swap, before, example.box, margin, size, whole, out)


def _smaller(shown: tuple[int, int], reduction: int, turn: int) -> _Axes:
    """Return the map of a JPEG of `shown` pixels (as displayed) that is decoded at 1/`reduction`: reduced pixels start
    at the stored corner, so where EXIF moves that corner to the other end of an axis, the partial pixels are at the
    start."""
    left = (-(-n // reduction) - n / reduction for n in shown)
    over = [rest if turn in ends else 0.0 for rest, ends in zip(left, ((2, 3, 6, 7), (3, 4, 7, 8)), strict=True)]
    return _resize(1 / reduction, 1 / reduction).then(_shift(*over))


def place(image: np.ndarray, size: int, side: int) -> Canvas:
    """Return the whole of an image on a canvas, as `canvas` does it.

    Args:
        image: u8[h, w, 3], RGB.
        size: side of the input in pixels.
        side: of the canvas in pixels.

    Returns:
        the canvas.
    """
    out = np.empty((side, side, 3), np.uint8)
    return _centred(image, False, _Axes(), size, (image.shape[1], image.shape[0]), out)


def _square_side(example: Example, stored: tuple[int, int] | None, margin: float) -> float:
    """Return the side, in pixels of the file, of the square that becomes the input; 0 if the header does not state the
    size."""
    if stored is None:
        return 0
    if example.box is None:
        return min(stored)
    return _box_side(example.box, margin) * (min(stored) / min(example.size) if example.size else 1)


def _box_side(box: np.ndarray, margin: float) -> float:
    return float(max(box[2], box[3])) * (1 + 2 * margin)


def check_box(box: np.ndarray, width: int, height: int) -> None:
    """Raise DecodeError unless a box has an area and overlaps the image.

    Args:
        box: f64[4], x, y, width, height in pixels.
        width: of the image in pixels.
        height: of the image in pixels.

    Raises:
        DecodeError: for any other box.
    """
    x, y, w, h = box
    if not (np.isfinite(box).all() and w > 0 and h > 0 and x < width and y < height and x + w > 0 and y + h > 0):
        raise DecodeError(f"box outside the image: {', '.join(f'{v:g}' for v in box)} of {width} x {height}")


def _boxed(
    image: np.ndarray,
    swap: bool,
    before: _Axes,
    box: np.ndarray,
    margin: float,
    size: int,
    whole: tuple[int, int],
    out: np.ndarray,
) -> Canvas:
    """Return the canvas of the square around a box, with its surroundings as far as the canvas reaches; as `_centred`."""
    height, width, side = *image.shape[:2], len(out)
    x, y, w, h = (float(v) for v in box)
    centre, reach = (x + w / 2 - 0.5, y + h / 2 - 0.5), _box_side(box, margin)
    zoom = size / reach
    frame = _Axes(zoom, zoom, (size - 1) / 2 - zoom * centre[0], (size - 1) / 2 - zoom * centre[1])
    middle = centre[0] * before.a + before.b, centre[1] * before.c + before.d
    scale = min(1.0, zoom / math.sqrt(before.a * before.c))
    half, limits = side / 2 / scale + 2, (width, height)
    low = [min(max(math.floor(m - half), 0), n - 1) for m, n in zip(middle, limits, strict=True)]
    high = [min(max(math.ceil(m + half) + 1, a + 1), n) for m, a, n in zip(middle, low, limits, strict=True)]
    cut = image[low[1] : high[1], low[0] : high[0]]
    small = reduced(cut, scale)
    new = small.shape[1], small.shape[0]
    to_small = before.then(_shift(-low[0], -low[1])).then(_resize(new[0] / cut.shape[1], new[1] / cut.shape[0]))
    placed = centre[0] * to_small.a + to_small.b, centre[1] * to_small.c + to_small.d
    starts = [min(max(round(p - (side - 1) / 2), 1 - side), n - 1) for p, n in zip(placed, new, strict=True)]
    placing = _placing(new, starts, side)
    _paste(small, swap, placing, out)
    fit = to_small.then(_shift(-starts[0], -starts[1])).inverse().then(frame)
    return Canvas(out, frame.matrix(), fit.matrix(), placing.extent, whole)


def _centred(
    image: np.ndarray, swap: bool, before: _Axes, size: int, whole: tuple[int, int], out: np.ndarray
) -> Canvas:
    """Return the canvas of the whole image, its short side at the input's full width.

    swap: it is in OpenCV's order of channels. before: map from the image, of size `whole`, to `image`. out: the canvas.
    """
    found = _centring(image.shape[1], image.shape[0], before, size, len(out))
    _paste(resized(image, found.new), swap, found.placing, out)
    return Canvas(out, found.frame, found.fit, found.placing.extent, whole)


class _Placing(NamedTuple):
    """Which pixels of an image a canvas shows, and where."""

    cut: tuple[slice, slice]  # rows, columns of the image
    place: tuple[slice, slice]  # of the canvas
    border: tuple[int, int, int, int]  # top, bottom, left, right: pixels that repeat the image's edge
    extent: np.ndarray  # f64[4]  first and last true pixel


class _Centring(NamedTuple):
    """How an image of some size comes onto a canvas as a whole."""

    new: tuple[int, int]  # width, height of the reduced image
    placing: _Placing
    frame: np.ndarray
    fit: np.ndarray


@functools.lru_cache(1 << 10)  # most images of a set have one of few sizes
def _centring(width: int, height: int, before: _Axes, size: int, side: int) -> _Centring:
    """Return where `_centred` places an image of a size."""
    new = reduced_size(width, height, min(1.0, size / min(height, width)))
    starts = [(n - side) // 2 for n in new]
    short = min(new)  # where it has `size` pixels already the fit is a shift by whole pixels: nothing is smoothed
    offsets = [(n - short) // 2 if short == size else (n - short) / 2 for n in new]
    fit = _shift(starts[0] - offsets[0], starts[1] - offsets[1]).then(_resize(size / short, size / short))
    to_canvas = before.then(_resize(new[0] / width, new[1] / height)).then(_shift(-starts[0], -starts[1]))
    found = _Centring(new, _placing(new, starts, side), to_canvas.then(fit).matrix(), fit.matrix())
    for array in (found.frame, found.fit, found.placing.extent):
        array.setflags(write=False)
    return found


def _placing(size: Sequence[int], starts: Sequence[int], side: int) -> _Placing:
    """Return how an image of size (width, height) lies on a canvas that begins at its pixel `starts` (x, y)."""
    (x, left, right), (y, top, bottom) = (
        (slice(max(s, 0), min(s + side, n)), max(-s, 0), max(s + side - n, 0))
        for s, n in zip(starts, size, strict=True)
    )
    place = slice(top, side - bottom), slice(left, side - right)
    extent = np.array([left, top, side - right - 1, side - bottom - 1], np.float64)
    return _Placing((y, x), place, (top, bottom, left, right), extent)


def _paste(image: np.ndarray, swap: bool, placing: _Placing, out: np.ndarray) -> None:
    """Write an image, in OpenCV's order of channels or not (`swap`), onto a canvas."""
    place = out[placing.place]
    if swap:
        cv2.cvtColor(image[placing.cut], cv2.COLOR_BGR2RGB, dst=place)
    else:
        place[...] = image[placing.cut]
    if any(placing.border):
        cv2.copyMakeBorder(place, *placing.border, cv2.BORDER_REPLICATE, dst=out)
