"""Labels that were copied from one image to another and not edited, or only in part: points that are the same to the last
digit in images that do not show the same scene, or the same but for their place, width and height, as a template's that
was placed and not edited."""

import functools
import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from jaxmarks import words
from pipelines.example import Source
from pipelines.images import decode, duplicates
from pipelines.sources.formats import plain
from pipelines.sources.tables import Label, labels_of

_MOST = 4000  # records whose labels are compared before a training, and pairs whose images are compared
_NAMED = 3
_POINTS = 20  # of a template, at least: few whole coordinates are the same by chance
_PROBED, _SAME = 16, 0.004  # coordinates that find it; of its width and height
_RARE = 0.01  # of the labels: fewer are the same by chance, where they lie on a lattice
_PART = 0.5  # of the points: as many in the place that they have in the record before are a copy, edited in part


class Copied(NamedTuple):
    """Records with points of another, different image, as `RECORD = OTHER`."""

    all: list[str]  # with exactly its labels, the other being the first with these
    part: list[str]  # with most of the labels of the record before
    placed: list[str]  # with its labels moved, and scaled by an axis


def find(source: Source, indices: Sequence[int] | np.ndarray, groups: Sequence[Hashable]) -> Copied:
    """The records whose labels are those of another image. Labels without two points in different places do not count, and
    nothing of drawn faces does.

    indices: the records of the source. groups: for each what its near-duplicates share, "" where it has none.
    """
    if not source.labelled or source.specification is not None:
        return Copied([], [], [])
    digests, shares = np.zeros(len(indices), np.uint64), np.zeros(len(indices))
    units: dict[int, np.ndarray] = {}
    for at, (digest, share, unit) in enumerate(_compared(labels_of(source, indices))):
        digests[at], shares[at] = digest, share
        if unit is not None and len(units) < _MOST:
            units[at] = unit
    part = np.flatnonzero((shares >= _PART) & (shares < 1))[:_MOST]
    different = _different(source, indices, groups)
    return Copied(
        [f"{other} = {first}" for first, other in map(different, _equal(digests)) if first],
        [f"{other} = {first}" for first, other in map(different, [(int(at) - 1, int(at)) for at in part]) if first],
        [f"{other} = {first}" for first, other in map(different, _placed(units, digests)) if first],
    )


def of_source(source: Source) -> Copied:
    """`find` in at most _MOST records of a source, the first ones, since copies mostly follow each other."""
    count = min(len(source), _MOST)
    return find(source, range(count), (source.groups or [""] * count)[:count])


def _different(
    source: Source, indices: Sequence[int] | np.ndarray, groups: Sequence[Hashable]
) -> Callable[[tuple[int, int]], tuple[str, str]]:
    """A function from a pair of places in `indices` to the records' names; empty ones where they show the same scene."""

    @functools.lru_cache(2)
    def small(at: int) -> np.ndarray:
        return duplicates.small(decode.pixels(source[int(indices[at])].image))

    def same(first: int, other: int) -> bool:
        if groups[first] == groups[other] != "":
            return True
        try:
            return np.array_equal(small(first), small(other)) or duplicates.alike(small(first), small(other))
        except (ValueError, OSError):  # which the run itself reports when it needs the image
            return True

    def names(pair: tuple[int, int]) -> tuple[str, str]:
        first, other = (source.names[int(indices[at])] for at in pair)
        alone = plain.image_of(first) != plain.image_of(other) and not same(*pair)
        return (first, other) if alone else ("", "")

    return names


def _compared(labels: Iterable[Label | None]) -> Iterator[tuple[int, float, np.ndarray | None]]:
    """(64 bits of the digest of a label, the share of its points that are where those of the label before are, its points in
    shares of their width and height). Zeros and None where no two of the points that count lie in different places."""
    before: Label | None = None
    for label in labels:
        digest, share, unit = 0, 0.0, None
        if label is not None:
            label = np.asarray(label[0], np.float32) + np.float32(0), label[1]  # no -0
        if label is not None and _apart(label[0][label[1]]):
            points, mask = label
            unit = _unit(points, mask)
            digest = int.from_bytes(hashlib.blake2b(points[mask].tobytes() + mask.tobytes(), digest_size=8).digest())
            if before is not None:
                equal = (points == before[0]).all(1) & mask & before[1]
                share = equal.sum() / mask.sum() if _apart(points[equal]) else 0.0
        yield digest, share, unit
        before = label


def _unit(points: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """f32[points * 2] in shares of the width and height of the labelled ones, -1 for others; None for fewer than 20, and
    for points on a line along an axis."""
    known = points[mask]
    if len(known) < _POINTS or not (size := np.ptp(known, axis=0)).all():
        return None
    return np.where(mask[:, None], (points - known.min(0)) / size, -1).astype(np.float32).reshape(-1)


def _placed(units: dict[int, np.ndarray], digests: np.ndarray) -> list[tuple[int, int]]:
    """(first place, later place) of labels that are the same in shares of their width and height, but not as they are; none
    where these are fewer than one in a hundred."""
    places = np.array(list(units), int)
    places = places[np.sort(np.unique(digests[places], return_index=True)[1])]  # of exact copies the first
    if len(places) < 2:
        return []
    shapes = np.stack([units[at] for at in places.tolist()])
    probed = shapes[:, np.linspace(0, shapes.shape[1] - 1, min(_PROBED, shapes.shape[1])).astype(int)]
    near = np.asarray(KDTree(probed).query(probed, k=3, p=np.inf, distance_upper_bound=_SAME)[1])
    one, other = np.repeat(np.arange(len(places)), near.shape[1]), near.reshape(-1)
    one, other = one[other < len(places)], other[other < len(places)]  # beyond: too few are as near
    same = np.array([np.abs(shapes[a] - shapes[b]).max() <= _SAME for a, b in zip(one, other, strict=True)], bool)
    links = coo_array((same[same], (one[same], other[same])), (len(places), len(places)))
    _, first, which = np.unique(connected_components(links)[1], return_index=True, return_inverse=True)
    later = np.flatnonzero(first[which] != np.arange(len(places)))  # of what is linked, all but the first
    found = [(int(places[first[which[at]]]), int(places[at])) for at in later]
    return found if len(found) >= _RARE * len(places) else []


def _apart(points: np.ndarray) -> bool:
    """Return whether not all of some points, at least two, lie in one place."""
    return len(points) > 1 and bool((points != points[0]).any())


def _equal(digests: np.ndarray) -> list[tuple[int, int]]:
    """(first place, other place) of each digest, other than 0, that comes again; at most _MOST."""
    _, first, which = np.unique(digests, return_index=True, return_inverse=True)
    again = np.flatnonzero((first[which] != np.arange(len(digests))) & (digests != 0))[:_MOST]
    return [(int(first[which[at]]), int(at)) for at in again]


def describe(found: Copied) -> list[str]:
    """A line for each kind that was found."""
    edited = "copied and not edited?"
    kinds = (
        (found.all, "exactly the labels of another, different image", edited),
        (found.part, "half of the points or more exactly where the different image before has them", edited),
        (
            found.placed,
            "the labels of another, different image but for their place and size",
            "a template, not edited?",
        ),
    )
    return [_line(*kind) for kind in kinds if kind[0]]


def _line(found: Sequence[str], what: str, why: str) -> str:
    have = "image has" if len(found) == 1 else "images have"
    named = words.listed(found, _NAMED)
    return f"warning: labels: {len(found)} {have} {what}: {named}; {why}"
