"""Seconds that the threads of the loader spent, by what they did."""

import threading
import time
from collections import defaultdict

KINDS = ("read", "decode", "keep", "place")  # an image's file or record; its canvas; a store; a batch on the devices


class _Timed:
    """A block that is timed: several for each image, so that `contextmanager` would be too slow."""

    __slots__ = ("_costs", "_kind", "_began")

    def __init__(self, costs: "Costs", kind: str):
        self._costs, self._kind = costs, kind

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._costs.add(self._kind, time.perf_counter() - self._began)


class Costs:
    """Sums of seconds by kind, from all threads, and the images that they were spent on."""

    def __init__(self):
        self._lock, self._seconds, self._images = threading.Lock(), defaultdict(float), 0

    def of(self, kind: str) -> "_Timed":
        """Return a block whose seconds are added to a kind of KINDS, whether it ends well or not."""
        return _Timed(self, kind)

    def add(self, kind: str, seconds: float) -> None:
        """Add seconds to a kind of KINDS."""
        with self._lock:
            self._seconds[kind] += seconds

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
