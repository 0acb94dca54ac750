"""Sheets of images with points, and overlays, as u8 RGB arrays."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipelines.images import decode
from pipelines.io import files

_GREEN, _RED, _YELLOW, _BLUE = (80, 255, 120), (255, 70, 70), (255, 220, 90), (90, 170, 255)
_SMALL = 0.5  # of a dot's usual size: two sets of dots are to be distinguished
_SHIFT = 4  # OpenCV's fixed-point bits: points are drawn at sixteenths of a pixel


def marker(points: int) -> float:
    """Return the radius of a marker, as a share of the side of what is shown: smaller the more points there are, so that they
    stay apart."""
    return float(np.clip(0.08 / np.sqrt(max(points, 1)), 0.003, 0.011))


def shortened(name: str, most: int = 20) -> str:
    """Return a name for a caption, of at most so many characters, cut at its beginning and marked there."""
    return name if len(name) <= most else f"...{name[3 - most :]}"


def draw_points(
    image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int] = _GREEN, scale: int = 1, share: float = 1.0
) -> np.ndarray:
    """A copy of u8[h, w, 3], enlarged `scale` times, with a dot on each of points [points, 2] (pixels of the image);
    share: of the dots' usual size."""
    enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else image.copy()
    least = 0.6 if len(points) > 100 else 1.0
    radius = share * max(least, marker(len(points)) * min(enlarged.shape[:2]))
    placed = (np.asarray(points, np.float64) + 0.5) * scale - 0.5
    for x, y in placed[np.isfinite(placed).all(1) & (np.abs(placed) < 1e5).all(1)]:
        centre = int(round(x * 2**_SHIFT)), int(round(y * 2**_SHIFT))
        cv2.circle(enlarged, centre, int(round(radius * 2**_SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)
    return enlarged


def overlay(
    image: np.ndarray,
    prediction: np.ndarray,
    truth: np.ndarray | None = None,
    crop: np.ndarray | None = None,
    caption: str = "",
) -> np.ndarray:
    """An image with its prediction (green) and, where known, its truth (red; NaN: this point's is not), small dots with
    a line from one to the other; small ones enlarged. crop [4, 2]: the corners of what the network saw, a blue frame; a
    caption stands above it."""
    scale = max(1, round(480 / max(image.shape[:2])))
    if truth is None:
        drawn = draw_points(image, prediction, _GREEN, scale)
    else:
        drawn = draw_points(image, truth, _RED, scale, _SMALL)
        for one, other in _fixed(np.stack([truth, prediction], 1), scale):
            cv2.line(drawn, tuple(map(int, one)), tuple(map(int, other)), _YELLOW, 1, cv2.LINE_AA, _SHIFT)
        drawn = draw_points(drawn, (prediction + 0.5) * scale - 0.5, _GREEN, share=_SMALL)
    if crop is not None:
        width = 1 + max(drawn.shape[:2]) // 800
        cv2.polylines(drawn, list(_fixed(crop[None], scale)), True, _BLUE, width, cv2.LINE_AA, _SHIFT)
    return _captioned(drawn, caption) if caption else drawn


def _fixed(pairs: np.ndarray, scale: int) -> np.ndarray:
    """i32[m, k, 2]: those of f[n, k, 2] that are finite and near, `scale` times enlarged, in OpenCV's fixed point."""
    ends = ((pairs + 0.5) * scale - 0.5) * 2**_SHIFT
    return ends[(np.abs(ends) < 1e6).all((1, 2))].round().astype(np.int32)


def _captioned(image: np.ndarray, caption: str) -> np.ndarray:
    """The image below a line of text, white on dark, as large as its width allows."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    wide = cv2.getTextSize(caption, font, 1, 1)[0][0]
    size = min(0.5 + max(image.shape[:2]) / 2400, 0.96 * image.shape[1] / wide)
    strip = np.full((int(34 * size), *image.shape[1:]), 40, np.uint8)
    cv2.putText(strip, caption, (int(8 * size), int(24 * size)), font, size, (240, 240, 240), 1, cv2.LINE_AA)
    return np.concatenate([strip, image])


def contact(images: list[np.ndarray], columns: int, captions: list[str] | None = None) -> np.ndarray:
    """u8 RGB images of one size in a grid, each with its caption below, of one line or several."""
    height, width = images[0].shape[:2]
    strip = 16 * max(c.count("\n") + 1 for c in captions) if captions else 0
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + strip + 4) + 4, columns * (width + 4) + 4, 3), 32, np.uint8)
    for n, image in enumerate(images):
        y, x = 4 + n // columns * (height + strip + 4), 4 + n % columns * (width + 4)
        sheet[y : y + height, x : x + width] = image
        for line, text in enumerate(captions[n].split("\n") if captions else []):
            place = (x + 2, y + height + 12 + 16 * line)
            cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (230, 230, 230), 1, cv2.LINE_AA)
    return sheet


def batch_sheet(images: np.ndarray, points: np.ndarray, captions: list[str], columns: int = 8) -> np.ndarray:
    """A batch as the network saw it: f32[batch, size, size, 3] in 0..255, points in its pixels, drawn twice as large."""
    pixels = np.rint(images).astype(np.uint8)
    return contact([draw_points(i, p, scale=2) for i, p in zip(pixels, points, strict=True)], columns, captions)


def fitted(image: np.ndarray, side: int) -> np.ndarray:
    """The image inside a side x side square, grey around it."""
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


def write_batch(path: Path, images: np.ndarray, points: np.ndarray, names: Sequence[str], row: np.void | None) -> None:
    """A batch as the network saw it, on a PNG sheet; row: of examples.bin, whose losses go into the captions."""
    captions = [shortened(name) for name in names]
    if row is not None:
        captions = [
            f"{c} {v:.2f}{'' if k else ' x'}" for c, v, k in zip(captions, row["each"], row["kept"], strict=True)
        ]
    with files.whole(path) as file:
        file.write(decode.encode_png(batch_sheet(images, points, captions)))
