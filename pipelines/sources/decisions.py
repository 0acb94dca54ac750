"""Label decisions: the file that the review page gives, and the source that applies it.

A file of decisions says all that training needs: which images are left out, and the points that replace a label.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.example import Example, Source, Subset, identity
from pipelines.io import csv_text

DECISIONS = ("keep", "exclude", "prediction")
HEADER = ("file_name", "decision", "points")


class Decisions(NamedTuple):
    """Label decisions: excluded and replaced labels; labels that are kept are not listed."""

    excluded: frozenset[str]  # file names
    replaced: dict[str, np.ndarray]  # file name -> f64[points, 2]  in pixels of the image


def read(path: Path, names: Sequence[str], num_points: int) -> Decisions:
    """The decisions of a comma-separated file: a header, then file_name, decision (keep, exclude or prediction), points.

    points: where the decision is `prediction`, x and y of every point in turn, separated by spaces; else empty. Raises
    ValueError, with the line, for another decision, a name that is not among `names` or comes twice, or points that
    are not `num_points` pairs of finite numbers.
    """
    known, seen = set(names), {}
    excluded, replaced = set(), {}
    for line, fields in csv_text.rows(path, HEADER):
        where = f"{path}:{line}"
        if not fields:
            continue
        if len(fields) != len(HEADER):
            raise ValueError(f"{where}: {words.counted(len(fields), 'field')}, expected {','.join(HEADER)}")
        name, decision, points = fields
        if name not in known:
            raise ValueError(f"{where}: {name[:100]!r} is not among the images of the data")
        if name in seen:
            raise ValueError(f"{where}: {name!r} comes twice, first on line {seen[name]}")
        if decision not in DECISIONS:
            raise ValueError(f"{where}: the decision {decision[:40]!r} is not known: {', '.join(DECISIONS)}")
        if points.strip() and decision != "prediction":
            raise ValueError(f"{where}: points beside the decision {decision}; only `prediction` takes any")
        seen[name] = line
        if decision == "exclude":
            excluded.add(name)
        elif decision == "prediction":
            replaced[name] = _points(points, num_points, where)
    if len(excluded) == len(known):
        raise ValueError(f"{path}: all {len(known)} images are excluded")
    return Decisions(frozenset(excluded), replaced)


def _points(text: str, num_points: int, where: str) -> np.ndarray:
    fields = text.split()
    if len(fields) != 2 * num_points:
        raise ValueError(
            f"{where}: {words.counted(len(fields), 'coordinate')}, expected x and y of {words.counted(num_points, 'point')}"
        )
    try:
        found = np.array([float(field) for field in fields])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not np.isfinite(found).all():
        raise ValueError(f"{where}: a coordinate is not finite")
    return found.reshape(num_points, 2)


class Reviewed(Subset):
    """A source without what was excluded, and with predictions in the place of labels. It is other data, and its
    identity says so, unless every label is kept."""

    def __init__(self, source: Source, decisions: Decisions):
        kept = [i for i, name in enumerate(source.names) if name not in decisions.excluded]
        super().__init__(source, kept)
        self.decisions = decisions
        self.identity = _identity(source, decisions)
        if (groups := source.groups) is not None:
            self.groups = [groups[i] for i in kept]

    def __getitem__(self, index: int) -> Example:
        example, points = super().__getitem__(index), self.decisions.replaced.get(self.names[index])
        return example if points is None else example._replace(points=points, mask=np.ones(len(points), bool))


def _identity(source: Source, decisions: Decisions) -> str:
    """The identity of the data under these decisions, in whatever order they were written down."""
    if not decisions.excluded and not decisions.replaced:
        return identity(source)
    total = hashlib.sha256(identity(source).encode())
    for name in sorted(decisions.excluded):
        total.update(b"exclude\0" + name.encode() + b"\0")
    for name, points in sorted(decisions.replaced.items()):
        total.update(b"prediction\0" + name.encode() + b"\0" + points.astype("<f8").tobytes())
    return total.hexdigest()


def applied(source: Source, path: Path | None) -> Source:
    """The source as the decisions of a file have it; as it is without one. Raises ValueError as `read` does."""
    return Reviewed(source, read(path, source.names, source.num_points)) if path else source


def describe(source: Source) -> list[str]:
    """Return a line on the effect of decisions on a source's labels; none if no decision was applied."""
    if not isinstance(source, Reviewed):
        return []
    excluded, replaced = source.decisions
    return [f"decisions: images left out: {len(excluded)}, labels replaced by predictions: {len(replaced)}"]
