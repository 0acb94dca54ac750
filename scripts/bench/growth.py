"""Growth of the cost of our step with batch, points, size, views and images, and of the start and memory that they need."""

if __name__ == "__main__":
    raise SystemExit("growth.py is a part of run.py, and does nothing by itself")

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import turns
from measure import OURS
from rows import DATA
from turns import Worker

_ROUNDS = 5
_STEP = {"model": "resnet18", "size": 64, "batch": 32, "points": 68}
_VIEWS = (
    "none",
    "flip",
    '["none", {"geometry": {"scale": 1.1}}, {"geometry": {"rotation": 9}}, {"geometry": {"rotation": -9}}]',
    "standard",
)


class Axis(NamedTuple):
    """A setting and its values. sizes: what the values amount to, for the fit."""

    name: str
    side: str
    settings: dict
    field: str
    values: tuple
    sizes: tuple[int, ...]


def _axis(name: str, field: str, values: tuple[int, ...]) -> Axis:
    return Axis(name, "ours_network.train", _STEP, field, values, values)


_SEEN = {"model": "resnet18", "size": 64, "count": 96, "data": f"{DATA}/images"}
AXES = (
    _axis("growth-batch", "batch", (8, 16, 32, 64)),
    _axis("growth-points", "points", (5, 68, 971, 10_000)),
    _axis("growth-size", "size", (64, 96, 128, 160)),
    Axis("growth-views", "ours_network.views", _SEEN, "tta", _VIEWS, (1, 2, 4, 8)),
    Axis(
        "growth-images",
        "ours_data.feed",
        {},
        "images",
        (1000, 10_000, 100_000, 400_000),
        (1000, 10_000, 100_000, 400_000),
    ),
)


def measure(axis: Axis, around: Path) -> dict:
    """{"name", "sizes", "seconds" (medians), "start" (seconds until the first turn is ready), "peak_mb", "exponent"}. Raises
    turns.Failed."""
    found = {"seconds": [], "start": [], "peak_mb": []}
    for value in axis.values:
        with tempfile.TemporaryDirectory(dir=around) as folder, turns.closing([]) as workers:
            began = time.monotonic()
            workers.append(Worker(OURS, "ours", axis.side, {**axis.settings, axis.field: value}, Path(folder)))
            found["start"].append(time.monotonic() - began)
            found["seconds"].append(float(np.median(turns.take(workers, _ROUNDS))))
            found["peak_mb"].append(workers[0].peak_mb())
    fitted = turns.exponent(axis.sizes, found["seconds"])
    return {"name": axis.name, "sizes": list(axis.sizes), **found, "exponent": fitted}


def line(grown: dict) -> str:
    """A line of the table's foot."""
    each = ", ".join(f"{size}: {s:.3f} s" for size, s in zip(grown["sizes"], grown["seconds"], strict=True))
    start, peak = (f"{min(grown[n]):.{d}f} to {max(grown[n]):.{d}f}" for n, d in (("start", 1), ("peak_mb", 0)))
    return f"{grown['name']:26s} {each}; exponent {grown['exponent']:.2f}; start {start} s, memory {peak} MB"
