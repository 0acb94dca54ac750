"""Image faults applied after rendering: tone, blur, captions, bars, coding. No point moves."""

import numpy as np

from pipelines.synthetic import paint, raster
from pipelines.synthetic.draws import Faults


def toned(image: np.ndarray, faults: Faults) -> np.ndarray:
    """Grey, too dark or too bright (`gain` multiplies; bright images wash out)."""
    values = image.astype(np.float32)
    if faults.grey:
        values = np.repeat((values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, -1)
    return np.clip(values * faults.gain + (40 if faults.gain > 1 else 0), 0, 255).astype(np.uint8)


def noisy(image: np.ndarray, rs: np.random.RandomState) -> np.ndarray:
    """The camera's noise: up to 3 grey levels."""
    height, width = image.shape[:2]
    field = paint.noise()
    top, left = rs.randint(0, len(field) - height + 1), rs.randint(0, len(field) - width + 1)
    grains = field[top : top + height, left : left + width, None] * np.float32(rs.uniform(0.6, 3))
    return np.clip(image + grains, 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, faults: Faults) -> np.ndarray:
    """Out of focus or shaken, by `blur` of the short side."""
    size = faults.blur * min(image.shape[:2])
    if faults.motion < 0:
        return raster.soften(image, max(size, 0.6))
    return raster.smear(image, max(2, round(size * 3)), faults.motion)


def captioned(image: np.ndarray, words: str, rs: np.random.RandomState) -> np.ndarray:
    """A bar with words across the image, over the face or anywhere else."""
    height, width = image.shape[:2]
    size = width / (len(words) * 22.0)
    tall = int(min(34 * size, height * 0.25))
    top = int(rs.uniform(0.2, 0.95) * (height - tall))
    dark, out = rs.rand() < 0.5, image.copy()
    out[top : top + tall] = (20, 20, 24) if dark else (250, 248, 240)
    raster.write(
        out,
        words,
        (int(width * 0.06), top + int(tall * 0.76)),
        size,
        240 * np.ones(3) if dark else np.zeros(3),
    )
    return out


def barred(image: np.ndarray, bars: tuple[float, float, float, float]) -> np.ndarray:
    """Black bars over the image's top, bottom, left and right, in parts of its height and width."""
    height, width = image.shape[:2]
    top, bottom, left, right = (round(b * s) for b, s in zip(bars, (height, height, width, width), strict=True))
    out = image.copy()
    out[:top], out[height - bottom :], out[:, :left], out[:, width - right :] = 0, 0, 0, 0
    return out


def spoil(image: np.ndarray, faults: Faults, rs: np.random.RandomState) -> np.ndarray:
    """The image u8[h, w, 3] with all its faults; mirrored first where it is."""
    if faults.mirror:
        image = np.ascontiguousarray(image[:, ::-1])
    if faults.blur:
        image = blurred(image, faults)
    if faults.grey or faults.gain != 1:
        image = toned(image, faults)
    image = noisy(image, rs)
    if faults.caption:
        image = captioned(image, faults.caption, rs)
    if any(faults.bars):
        image = barred(image, faults.bars)
    return raster.jpeg(image, faults.quality) if faults.quality else image
