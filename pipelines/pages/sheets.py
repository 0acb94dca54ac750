"""Sheets of pictures with points, and overlays, as u8 RGB arrays."""

import cv2
import numpy as np

_GREEN, _RED, _YELLOW = (80, 255, 120), (255, 70, 70), (255, 220, 90)
_SMALL = 0.5  # of a dot's usual size: two sets of dots are to be told apart
_SHIFT = 4  # OpenCV's fixed-point bits: points are drawn at sixteenths of a pixel


def draw_points(
    image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int] = _GREEN, scale: int = 1, share: float = 1.0
) -> np.ndarray:
    """A copy of u8[h, w, 3], enlarged `scale` times, with a dot on each of points [points, 2] (pixels of the image);
    share: of the dots' usual size."""
    enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else image.copy()
    least, of_side = (0.6, 0.006) if len(points) > 200 else (1.0, 0.011)
    radius = share * max(least, of_side * min(enlarged.shape[:2]))
    placed = (np.asarray(points, np.float64) + 0.5) * scale - 0.5
    for x, y in placed[np.isfinite(placed).all(1) & (np.abs(placed) < 1e5).all(1)]:
        centre = int(round(x * 2**_SHIFT)), int(round(y * 2**_SHIFT))
        cv2.circle(enlarged, centre, int(round(radius * 2**_SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)
    return enlarged


def overlay(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
    """A photograph with its prediction (green) and, where known, its truth (red; NaN: this point's is not), small dots with
    a line from one to the other; small ones enlarged."""
    scale = max(1, round(480 / max(image.shape[:2])))
    if truth is None:
        return draw_points(image, prediction, _GREEN, scale)
    drawn = draw_points(image, truth, _RED, scale, _SMALL)
    ends = ((np.stack([truth, prediction], 1) + 0.5) * scale - 0.5) * 2**_SHIFT
    for one, other in ends[(np.abs(ends) < 1e6).all((1, 2))].round().astype(int):
        cv2.line(drawn, tuple(map(int, one)), tuple(map(int, other)), _YELLOW, 1, cv2.LINE_AA, _SHIFT)
    return draw_points(drawn, (prediction + 0.5) * scale - 0.5, _GREEN, share=_SMALL)


def contact(pictures: list[np.ndarray], columns: int, captions: list[str] | None = None) -> np.ndarray:
    """u8 RGB pictures of one size in a grid, each with its caption below."""
    height, width = pictures[0].shape[:2]
    strip = 16 if captions else 0
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + strip + 4) + 4, columns * (width + 4) + 4, 3), 32, np.uint8)
    for n, picture in enumerate(pictures):
        y, x = 4 + n // columns * (height + strip + 4), 4 + n % columns * (width + 4)
        sheet[y : y + height, x : x + width] = picture
        if captions:
            place = (x + 2, y + height + 12)
            cv2.putText(sheet, captions[n], place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (230, 230, 230), 1, cv2.LINE_AA)
    return sheet


def batch_sheet(images: np.ndarray, points: np.ndarray, captions: list[str], columns: int = 8) -> np.ndarray:
    """A batch as the network saw it: f32[batch, size, size, 3] in 0..255, points in its pixels, drawn twice as large."""
    pixels = np.rint(images).astype(np.uint8)
    return contact([draw_points(i, p, scale=2) for i, p in zip(pixels, points, strict=True)], columns, captions)


def fitted(image: np.ndarray, side: int) -> np.ndarray:
    """The picture inside a side x side square, grey around it."""
    scale = side / max(image.shape[:2])
    small = cv2.resize(
        image,
        (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))),
        interpolation=cv2.INTER_AREA,
    )
    square = np.full((side, side, 3), 64, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square
