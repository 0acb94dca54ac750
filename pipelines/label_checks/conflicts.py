"""Labels that contradict each other: copies of one image whose points are apart, and an object of one image labelled twice.

Only where a point of one is a point of the other in the same place: the images have the same bytes, or the same size and,
when they are made small, the same pixels but for what coding changes. Frames of a video in which anything moved are not
such, so their labels may differ.
"""

import functools
import hashlib
import itertools
import unicodedata
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.example import Source
from pipelines.images import decode, duplicates
from pipelines.sources.formats import plain

_APART = 0.05  # of the object's longer side: labels of identical images that differ more contradict each other
# The same of nearly identical ones. On average: from where on two records of one image are of two objects.
_ANOTHER = 0.15
_CODING = 12  # grey levels of the small image, by which copies may differ
_COMPARED = 16  # images before it in its group that each is compared with
_MOST = 4000  # records of groups that are compared before a training
_NAMED = 2

FORM = {"one": str, "other": str, "pixels": float, "same_bytes": bool}


class Pair(NamedTuple):
    """Two records whose labels contradict each other."""

    one: str
    other: str
    pixels: float  # the largest distance of a point in one to that in the other
    same_bytes: bool  # of the images

    def __str__(self) -> str:
        return f"{self.one}, {self.other}: {words.number(self.pixels)} px"


class _Label(NamedTuple):
    name: str
    points: np.ndarray
    mask: np.ndarray


class _Image(NamedTuple):
    """An image and the labels of its records."""

    index: int  # of one of them
    digest: bytes
    size: tuple[int, int]
    labels: list[_Label]


def find(source: Source, indices: Sequence[int] | np.ndarray, groups: Sequence[Hashable]) -> list[Pair]:
    """The contradictions within each group of near-duplicates, the largest distance first. groups: one for each of the
    records `indices` of the source."""
    members: dict[Hashable, list[int]] = {}
    for index, group in zip(indices, groups, strict=True):
        members.setdefault(group, []).append(int(index))
    several = [some for some in members.values() if len(some) > 1] if source.labelled else []
    return sorted((pair for some in several for pair in _within(source, some)), key=lambda p: (-p.pixels, p))


def of_source(source: Source) -> list[Pair]:
    """`find` in the groups that a source knows, in at most _MOST of its records."""
    grouped = [(i, group) for i, group in enumerate(source.groups or ()) if group][:_MOST]
    return find(source, [i for i, _ in grouped], [group for _, group in grouped])


def _within(source: Source, members: list[int]) -> Iterator[Pair]:
    images = _images(source, members)

    @functools.lru_cache(4 * _COMPARED)
    def small(index: int) -> np.ndarray:
        return duplicates.small(decode.pixels(source[index].image)).astype(np.int16)

    for at, image in enumerate(images):
        for one, other in itertools.combinations(image.labels, 2):
            worst, mean, side = _distance(one, other)
            if side and mean <= _ANOTHER * side:
                yield Pair(one.name, other.name, worst, True)
        for before in images[max(0, at - _COMPARED) : at]:
            equal = before.digest == image.digest
            pixels, one, other = _farthest(before.labels, image.labels, _APART if equal else _ANOTHER)
            if not pixels or before.size != image.size:
                continue
            if equal or np.abs(small(before.index) - small(image.index)).max() <= _CODING:
                yield Pair(one, other, pixels, equal)


def _images(source: Source, members: list[int]) -> list[_Image]:
    found: dict[str, _Image] = {}
    for index in members:
        try:
            example = source[index]
            size = decode.image_size(example)
        except (ValueError, OSError):  # which the run itself reports when it needs it
            continue
        label = _Label(source.names[index], example.points, example.mask)
        data = example.image if isinstance(example.image, bytes) else example.image.tobytes()
        new = _Image(index, hashlib.sha256(data).digest(), size, [])
        found.setdefault(plain.image_of(label.name), new).labels.append(label)
    return list(found.values())


def _farthest(first: list[_Label], second: list[_Label], share: float) -> tuple[float, str, str]:
    """(pixels, record, record): the largest distance of a label of the image with fewer to the nearest of the other, among
    those beyond this share of the object's side; 0 where none is."""
    few, many = sorted((first, second), key=len)
    found = [(0.0, "", "")]
    for one in few:
        worst, side, other = min((*_distance(one, label)[::2], label.name) for label in many)
        if worst > share * side:
            found.append((worst, min(one.name, other), max(one.name, other)))
    return max(found)


def _distance(one: _Label, other: _Label) -> tuple[float, float, float]:
    """(largest, mean) distance of the points that both have, and the longer side of their box, in pixels; zeros where
    they have none. The side is 20 pixels at least, so that what differs by less than one contradicts nothing."""
    both = one.mask & other.mask
    if not both.any():
        return 0.0, 0.0, 0.0
    first, second = one.points[both], other.points[both]
    away = np.hypot(*(first - second).T)
    side = max(float(np.ptp(first, axis=0).max()), float(np.ptp(second, axis=0).max()), 1 / _APART)
    return float(away.max()), float(away.mean()), side


def describe(pairs: Sequence[Pair]) -> list[str]:
    """A line for pairs of two images, and one for pairs of one; none where there are none."""
    own, copies = (
        [p for p in pairs if (plain.image_of(p.one) == plain.image_of(p.other)) == same] for same in (True, False)
    )
    alike = "identical" if all(pair.same_bytes for pair in copies) else "identical or nearly identical"
    have = "has" if len(copies) == 1 else "have"
    kinds = (copies, "pair", f"of {alike} images {have} labels"), (own, "object", "labelled twice in one image,")
    return [_line(some, words.counted(len(some), noun), what) for some, noun, what in kinds if some]


def _apart(one: str, other: str) -> tuple[str, str]:
    """Two names as they can be told apart: those that differ by their form of Unicode alone as ASCII."""
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    return (ascii(one), ascii(other)) if same and one != other else (one, other)


def _line(pairs: Sequence[Pair], count: str, what: str) -> str:
    named = "; ".join(", ".join(_apart(pair.one, pair.other)) for pair in pairs[:_NAMED]) + "; ..." * (
        len(pairs) > _NAMED
    )
    apart = f"up to {words.number(pairs[0].pixels, 2)} px apart"
    return f"warning: labels: {count} {what} {apart}: {named}; review them (rank.py), or remove one of each"
