"""Remarks on where the labels of all images together lie: points that never move, and labels in another unit than pixels."""

from collections.abc import Sequence

import numpy as np

from jaxmarks import words

_STILL = 5  # images with a point, of which one in the same place in all is reported
_SEVERAL = 8  # images whose centres of labels are compared with the middle of the image
_NEAR_CORNER, _EACH = (
    0.42,
    0.47,
)  # of width and height: the mean centre of both, and that of each, is nearer to the corner
_UNITS = {100: "per cent of width and height", 1000: "thousandths of width and height"}


class Positions:
    """Collects the labels of a set, image by image."""

    def __init__(self, num_points: int):
        self._low, self._high = np.full((num_points, 2), np.inf), np.full((num_points, 2), -np.inf)
        self._count = np.zeros(num_points, int)
        self._centres: list[np.ndarray] = []  # of the labels of each image, in shares of its width and height
        self._largest = 0  # side of an image

    def add(self, points: np.ndarray, mask: np.ndarray, size: Sequence[int]) -> None:
        """Take in the labels of an image. size: its width and height."""
        self._low[mask] = np.minimum(self._low, points)[mask]
        self._high[mask] = np.maximum(self._high, points)[mask]
        self._count += mask
        if mask.any():
            self._centres.append(points[mask].mean(0) / size)
            self._largest = max(self._largest, *size)

    def describe(self) -> list[str]:
        """A warning for each kind that was found."""
        return self._still() + self._unit()

    def _still(self) -> list[str]:
        found = np.flatnonzero((self._count >= _STILL) & (self._low == self._high).all(1))
        if not len(found):
            return []
        first = f"point {found[0]} at ({', '.join(f'{v:g}' for v in self._low[found[0]])})"
        return [
            f"warning: labels: {words.counted(len(found), 'point')} in one place in all images, the first {first}: columns"
            " that are no coordinates?"
        ]

    def _unit(self) -> list[str]:
        """Objects lie about the middle of images, on average. Labels in per cent, or of smaller copies, lie nearer to the
        upper left corner. Twice the standard error is allowed for."""
        count = len(self._centres)
        high = self._high.max() if count else 0.0
        if count < _SEVERAL or high <= 1:  # shares of 0..1 are told apart in each image
            return []
        centres = np.array(self._centres)
        mean, both = centres.mean(0), centres.mean(1)
        if both.mean() + 2 * both.std() / np.sqrt(count) > _NEAR_CORNER or mean.max() > _EACH:
            return []
        unit = next((text for end, text in _UNITS.items() if end / 2 < high <= end < self._largest), None)
        guess = f"{unit}?" if unit else "pixels of smaller copies of the images?"
        return [
            f"warning: labels: on average they lie at {mean[0]:.0%} of the width and {mean[1]:.0%} of the height, towards the"
            f" upper left corner, the largest coordinate being {words.number(float(high))}: {guess} Coordinates are pixels"
            " of the image"
        ]
