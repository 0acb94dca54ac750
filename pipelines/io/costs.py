"""Seconds that the threads of the loader spent, by what they did."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

KINDS = ("read", "decode", "keep", "place")  # an image's file or record; its canvas; a store; a batch on the devices


class Costs:
    """Sums of seconds by kind, from all threads, and the images that they were spent on."""

    def __init__(self):
        self._lock, self._seconds, self._images = threading.Lock(), defaultdict(float), 0

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        """Add the seconds of a block to a kind of KINDS, whether it ends well or not."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[kind] += time.perf_counter() - began

    def add_images(self, count: int) -> None:
        """Count images of a batch that was made."""
        with self._lock:
            self._images += count

    def take(self) -> dict[str, float]:
        """Return the seconds an image by kind since the last call, and begin anew; empty where there was none."""
        with self._lock:
            found, images = dict(self._seconds), self._images
            self._seconds, self._images = defaultdict(float), 0
        return {kind: found.get(kind, 0.0) / images for kind in KINDS} if images else {}

    def rate(self, threads: int) -> float | None:
        """Return the images a second of so many threads that wait for nothing, so far; None: nothing was made yet."""
        with self._lock:
            spent = sum(self._seconds.values())
            return threads * self._images / spent if spent else None
