"""Stores of canvases that were decoded once: nowhere, in host memory, in a file of the cache, or on the devices.

Where a canvas is kept changes no bit of a batch: a store gives back what was put into it, or nothing.
"""

from typing import Protocol

import numpy as np

from pipelines.images.rows import Rows, empty


class Store(Protocol):
    """Rows of a training split by their place in it. Threads share it."""

    def get(self, indices: np.ndarray, rows: Rows) -> np.ndarray:
        """Fill the rows of those of `indices` that are kept; bool[n]: which."""
        ...

    def put(self, index: int, rows: Rows, at: int) -> None:
        """Keep row `at` as that of `index`."""
        ...


class Nowhere:
    """Keeps nothing: each image is decoded each time."""

    def get(self, indices: np.ndarray, rows: Rows) -> np.ndarray:
        return np.zeros(len(indices), bool)

    def put(self, index: int, rows: Rows, at: int) -> None:
        pass


class Host:
    """Keeps rows in the memory of this process, which grows while the first epoch runs."""

    def __init__(self, count: int, side: int, num_points: int):
        self._rows, self._there = empty(count, side, num_points), np.zeros(count, bool)

    def get(self, indices: np.ndarray, rows: Rows) -> np.ndarray:
        there = self._there[indices]
        for kept, taken in zip(self._rows, rows, strict=True):
            if there.all():
                np.take(kept, indices, 0, out=taken, mode="clip")  # "raise" would copy once more
            else:
                taken[there] = kept[indices[there]]
        return there

    def put(self, index: int, rows: Rows, at: int) -> None:
        for kept, given in zip(self._rows, rows, strict=True):
            kept[index] = given[at]
        self._there[index] = True
