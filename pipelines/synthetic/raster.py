"""Rasterisation of the synthetic faces: the only module of them that imports OpenCV.

Images are u8[h, w, 3] RGB (or u8[h, w]) and are marked in place; points are (x, y) with pixel centres at
whole numbers. Positions carry four fractional bits, so a curve lies where it should to a sixteenth of a
pixel.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

SHIFT = 4  # fractional bits of a position handed to OpenCV

Colour = Sequence[float] | np.ndarray | float


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points f[n, 2] in OpenCV's fixed point, i32[n, 1, 2]."""
    return np.rint(points * (1 << SHIFT)).astype(np.int32)[:, None]


def _colour(colour: Colour) -> tuple[float, ...]:
    return tuple(min(max(value, 0.0), 255.0) for value in np.atleast_1d(colour).tolist())


def fill(image: np.ndarray, outline: np.ndarray, colour: Colour) -> None:
    """Fill the closed outline f[n, 2], edges smoothed."""
    cv2.fillPoly(image, [_fixed(outline)], _colour(colour), cv2.LINE_AA, SHIFT)


def stroke(image: np.ndarray, path: np.ndarray, colour: Colour, width: float, *, closed: bool = False) -> None:
    """Draw the path f[n, 2], `width` pixels wide (at least one), edges smoothed."""
    cv2.polylines(image, [_fixed(path)], closed, _colour(colour), max(1, round(width)), cv2.LINE_AA, SHIFT)


def inside(image: np.ndarray, outline: np.ndarray, paint: Callable[[np.ndarray, np.ndarray], None]) -> None:
    """Let paint(layer, origin) mark a copy of the outline's box, and keep what fell inside the outline."""
    height, width = image.shape[:2]
    low = np.clip(np.floor(outline.min(0)).astype(int) - 1, 0, (width, height))
    high = np.clip(np.ceil(outline.max(0)).astype(int) + 2, 0, (width, height))
    if np.any(high <= low):
        return
    box = image[low[1] : high[1], low[0] : high[0]]
    layer, alpha = box.copy(), np.zeros(box.shape[:2], np.uint8)
    fill(alpha, outline - low, 255)
    paint(layer, low)
    part = alpha[..., None].astype(np.float32) / 255
    box[:] = np.round(box + (layer.astype(np.float32) - box) * part).astype(np.uint8)


def soften(image: np.ndarray, sigma: float) -> np.ndarray:
    """The image under a Gaussian of `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def smear(image: np.ndarray, length: int, angle: float) -> np.ndarray:
    """The image under a motion of `length` pixels along `angle` radians, centred."""
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.uint8)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    stroke(kernel, np.stack([length - reach, length + reach]), 255, 1)
    weights = kernel.astype(np.float32) + kernel[::-1, ::-1]
    return cv2.filter2D(image, -1, weights / weights.sum(), borderType=cv2.BORDER_REPLICATE)


def resample(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The image at another size: x goes to (x + 0.5) * width / w - 0.5. Shrinking averages."""
    shrinks = width <= image.shape[1] and height <= image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def enlarge(image: np.ndarray, times: int) -> np.ndarray:
    """The grid (any channels, u8 or f32) `times` as fine, linear: x goes to (x + 0.5) * times - 0.5."""
    size = (image.shape[1] * times, image.shape[0] * times)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def lit(image: np.ndarray, shade: np.ndarray, unit: float) -> np.ndarray:
    """image * shade / unit, cut to u8."""
    return cv2.multiply(image, shade, scale=1.0 / unit)


def shaded(image: np.ndarray, shade: np.ndarray, unit: float) -> np.ndarray:
    """`lit` with one shade u8[h, w] for all three channels."""
    return cv2.multiply(image, cv2.cvtColor(shade, cv2.COLOR_GRAY2RGB), scale=1.0 / unit)


def added(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """image + other, cut to u8."""
    return cv2.add(image, other)


def closed(values: np.ndarray) -> np.ndarray:
    """The f32 values with gaps of up to two pixels between larger ones filled by these."""
    return cv2.morphologyEx(values, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))


def write(image: np.ndarray, words: str, place: tuple[int, int], size: float, colour: Colour) -> None:
    """Write the words (ASCII), their lower left corner at `place`, about 22 * size pixels high."""
    width = max(1, round(1.6 * size))
    cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, _colour(colour), width, cv2.LINE_AA)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after JPEG at this quality (1 to 100)."""
    good, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    again = cv2.imdecode(coded, cv2.IMREAD_COLOR) if good else None
    if again is None:
        raise RuntimeError(f"expected a JPEG of an image {image.shape}, got none: check the OpenCV installation")
    return np.ascontiguousarray(again[..., ::-1])
