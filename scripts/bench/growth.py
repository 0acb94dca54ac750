"""Growth of the cost of our step with batch, points, size and views."""

if __name__ == "__main__":
    raise SystemExit("growth.py is a part of run.py, and does nothing by itself")

import tempfile
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
    """{"name", "sizes", "seconds" (medians), "exponent"}. Raises turns.Failed."""
    seconds = []
    for value in axis.values:
        with tempfile.TemporaryDirectory(dir=around) as folder:
            settings = {**axis.settings, axis.field: value}
            with turns.closing([Worker(OURS, "ours", axis.side, settings, Path(folder))]) as workers:
                seconds.append(float(np.median(turns.take(workers, _ROUNDS))))
    fitted = turns.exponent(axis.sizes, seconds)
    return {"name": axis.name, "sizes": list(axis.sizes), "seconds": seconds, "exponent": fitted}


def line(grown: dict) -> str:
    """A line of the table's foot."""
    each = ", ".join(f"{size}: {s:.3f} s" for size, s in zip(grown["sizes"], grown["seconds"], strict=True))
    return f"{grown['name']:26s} {each}; exponent {grown['exponent']:.2f}"
