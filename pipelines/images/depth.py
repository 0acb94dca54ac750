"""White values of images of more than 8 bits.

Files of 16 bits often use 10, 12 or 14 of them, and floating-point ones run to 1, to 255 or to 65,535. What an image uses
is the least of these that holds its largest value; a set's images are made bright alike, by what its images use, a few
outliers aside.
"""

from collections.abc import Sequence

import numpy as np

BITS = (8, 10, 12, 14, 16)
SHIFT = (
    "if these are more than noise, save the images with values from 0 on (v/2 + 1/2 for -1..1; v + 32768 for 16 bits)"
)
_OVER = 2.0  # floating-point images that end at 1 overshoot it where they were resampled
_AT_ONCE = 1 << 20  # values that are scaled at one time: bounds the memory
_ODD = 0.1  # the share of a set's images that do not decide for the others


def kind(values: np.ndarray) -> str:
    """The kind of number that values are, in words; each has whites of its own."""
    return "floating-point" if values.dtype.kind == "f" else "16-bit"


def white(values: np.ndarray) -> float:
    """The value that is white by what an image uses: 2^b - 1 with b of `BITS`, or 1 of floating-point values.

    values: of an image, of any shape and kind of number. Raises ValueError where one is not finite, or too large.
    """
    top = float(values.max(initial=0))
    if values.dtype.kind == "f":
        if not np.isfinite(top) or not np.isfinite(values.min(initial=0)):
            raise ValueError("a value that is not finite")
        if top <= _OVER:
            return 1.0
    found = next((2.0**bits - 1 for bits in BITS if top <= 2**bits - 1), None)
    if found is None:
        raise ValueError(f"values up to {top:g}, expected at most {2 ** BITS[-1] - 1}")
    return found


def below(values: np.ndarray) -> float:
    """The share of the values of an image that lie below 0."""
    return float(np.mean(values < 0)) if values.dtype.kind != "u" else 0.0


def usual(whites: Sequence[float]) -> float:
    """The white of a set whose images have these by themselves: the least that all but a tenth of them stay within.
    Raises ValueError if they are missing."""
    if not whites:
        raise ValueError("whites: expected one or more, got none")
    return sorted(whites)[len(whites) - 1 - int(_ODD * len(whites))]


def eight_bits(values: np.ndarray, at_least: float = 0.0) -> np.ndarray:
    """u8 of the shape of `values`: white becomes 255, 0 and less 0; whole numbers lose their lower bits, others are
    rounded. at_least: a white that counts where the image's own is lower. Raises ValueError as `white` does."""
    top = max(white(values), at_least)
    bits = BITS[min(np.searchsorted([2.0**b - 1 for b in BITS], top), len(BITS) - 1)]
    flat, found = values.reshape(-1), np.empty(values.size, np.uint8)
    for start in range(0, len(flat), _AT_ONCE):
        some = flat[start : start + _AT_ONCE]
        if values.dtype.kind in "iu":
            found[start : start + _AT_ONCE] = np.maximum(some, 0) >> (bits - 8)
        else:
            found[start : start + _AT_ONCE] = np.rint(np.clip(some, 0, top) * (255 / top))
    return found.reshape(values.shape)
