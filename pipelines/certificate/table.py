"""Table of the audit: each probe with its cases, worst value and bound."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxmarks import tta
from jaxmarks.transform import Transform
from pipelines.certificate import cases, draws, pixels, points

# The largest value allowed, and its unit.
BOUNDS: dict[str, tuple[float, str]] = {
    "points there and back, own order": (1e-4, "px"),
    "points and order against float64": (1e-4, "px"),
    "points through images": (1e-3, "px of the image"),
    "frame of images": (1e-9, "px"),
    "algebra of records": (1e-3, "px, grey levels"),
    "centroid of blobs": (0.02, "px"),
    "blobs in images, end to end": (0.02, "px"),
    "pixels against SciPy": (0.01, "grey levels"),
    "restored image, within the mask": (6.0, "grey levels"),
    "restored mask against SciPy": (0.0, "pixels"),
    "mirror is image[:, ::-1]": (0.0, "values"),
    "identity is the image": (0.0, "values"),
    "zone plate shrunk 4 times": (3.0, "grey levels, RMS"),
    "one interpolation over three": (0.25, "quotient of errors"),
    "oracle under views": (1e-3, "px"),
    "correlation of draws": (0.03, "of 1"),
    "gathers of a mix over one": (1.0, "quotient"),
}


class Row(NamedTuple):
    """One measured value."""

    probe: str
    size: int  # side of the input frame; 0: of no size
    case: str
    value: float
    seconds: float = 0.0

    @property
    def bound(self) -> float:
        return BOUNDS[self.probe][0]

    @property
    def ok(self) -> bool:
        return bool(self.value <= self.bound)  # NaN is not

    def to_dict(self) -> dict:
        """Return the row as in audit.json; a value that is not a number becomes null."""
        name = ", ".join([self.probe, self.case, *([str(self.size)] if self.size else [])])
        value = self.value if np.isfinite(self.value) else None
        return {"name": name, "value": value, "bound": self.bound, "unit": BOUNDS[self.probe][1], "ok": self.ok}


def _of_case(case: str, n: int, records: Transform, size: int, images: list[np.ndarray]) -> Iterator[tuple[str, float]]:
    few = cases.some(records, max(8, len(records.affine) // 8))
    sizes = points.IMAGE_SIZES[n % 4 :: 4]
    yield "points there and back, own order", points.there_and_back(records, size)
    yield "points and order against float64", points.moved(records, size)
    yield "points through images", max(points.through_image(records, size, p) for p in points.IMAGE_SIZES)
    yield "algebra of records", points.algebra(few, size)
    yield "centroid of blobs", pixels.blobs(records, size)
    yield "blobs in images, end to end", max(pixels.blob_in_image(few, size, p) for p in sizes)
    yield "pixels against SciPy", pixels.against_scipy(few, size, images[n % len(images)])
    error, disagreement = pixels.restored(few, size)
    yield "restored image, within the mask", error
    yield "restored mask against SciPy", disagreement


def _of_size(size: int) -> Iterator[tuple[str, str, float]]:
    for image_size in points.IMAGE_SIZES:
        yield "frame of images", f"{image_size[0]} x {image_size[1]}", points.frame_of_image(size, image_size)
    for name in tta.NAMES:
        yield "oracle under views", name, points.oracle(tta.views(name, True, size), size, tta.merge)
    yield "mirror is image[:, ::-1]", "noise", pixels.mirrored(size)
    yield "identity is the image", "noise", pixels.unchanged(size)
    yield "zone plate shrunk 4 times", "circles", pixels.zone_plate(size)
    yield "one interpolation over three", "waves of 8 px", pixels.at_once(size)


def _of_draws(chosen: list[str]) -> Iterator[tuple[str, str, float]]:
    for name in draws.SOLVED:
        value, pair = draws.correlation(draws.drawn(name))
        yield "correlation of draws", f"{name}: {pair}", value
    one = draws.gathers(cases.CASES["none"])
    for case in chosen:
        if case in cases.CASES:
            yield "gathers of a mix over one", case, draws.gathers(cases.CASES[case]) / one


def measure(sizes: list[int], keys: int, chosen: list[str], images: list[np.ndarray]) -> Iterator[Row]:
    """Every row, in the order of the table, as it is measured."""
    began = time.monotonic()

    def row(probe: str, size: int, case: str, value: float) -> Row:
        nonlocal began
        began, before = time.monotonic(), began
        return Row(probe, size, case, float(value), began - before)

    for size in sizes:
        yield from (row(probe, size, case, value) for probe, case, value in _of_size(size))
        for n, case in enumerate(chosen):
            found = _of_case(case, n, cases.records(case, size, keys), size, images)
            yield from (row(probe, size, case, value) for probe, value in found)
    yield from (row(probe, 0, case, value) for probe, case, value in _of_draws(chosen))


def worst(rows: list[Row]) -> list[Row]:
    """Return, for each probe and size, the row nearest to its bound, or farthest beyond; in the order of BOUNDS."""
    found: dict[tuple[str, int], Row] = {}
    for row in rows:
        old = found.setdefault((row.probe, row.size), row)
        if (not row.ok, row.value) > (not old.ok, old.value):
            found[row.probe, row.size] = row
    return sorted(found.values(), key=lambda r: (list(BOUNDS).index(r.probe), r.size))


def lines(rows: list[Row]) -> list[str]:
    """The table as text: the worst of each probe and size, where it was, and its bound."""
    head = ("probe", "size", "worst", "bound", "unit", "ok", "at")
    body = [
        (
            r.probe,
            str(r.size or "-"),
            f"{r.value:.2g}",
            f"{r.bound:g}",
            BOUNDS[r.probe][1],
            "yes" if r.ok else "NO",
            r.case,
        )
        for r in worst(rows)
    ]
    previous = ""
    cells: list[tuple[str, ...]] = [head]
    for row in body:
        cells.append(("" if row[0] == previous else row[0], *row[1:]))
        previous = row[0]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    right = (False, True, True, True, False, False, False)
    return [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in cells
    ]


def parse_sizes(text: str) -> list[int]:
    """The sides of a comma-separated list. Raises ValueError in one line."""
    fields = [f.strip() for f in text.split(",")]
    if not all(f.isdigit() and 64 <= int(f) <= 1024 for f in fields):
        raise ValueError(f"`sizes` must be whole numbers of 64..1024, by commas, got {text!r}")
    return [int(f) for f in fields]


def count(sizes: list[int], chosen: list[str]) -> int:
    """Return the number of rows of `measure`."""
    of_size, of_case = len(points.IMAGE_SIZES) + len(tta.NAMES) + 4, 9
    sampled = sum(case in cases.CASES for case in chosen)
    return len(sizes) * (of_size + of_case * len(chosen)) + len(draws.SOLVED) + sampled
