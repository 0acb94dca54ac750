"""Labels that were copied from one image to another and not edited: the same points to the last digit in images that do not
show the same scene."""

import functools
import hashlib
from collections.abc import Hashable, Sequence

import numpy as np

from pipelines.example import Source
from pipelines.images import decode
from pipelines.packing import duplicates
from pipelines.sources.formats import plain
from pipelines.sources.tables import table_of

_MOST = 4000  # records whose labels are compared before a training, and pairs whose images are compared
_NAMED = 3


def find(source: Source, indices: Sequence[int] | np.ndarray, groups: Sequence[Hashable]) -> list[str]:
    """The records that have exactly the labels of another, different image, as `RECORD = OTHER`, the other being the first
    with these labels. Labels without two points in different places do not count, and nothing of drawn faces does.

    indices: the records of the source. groups: for each what its near-duplicates share, "" where it has none.
    """
    if not source.labelled or source.specification is not None:
        return []
    equal = _equal(np.fromiter((_digest(source, int(i)) for i in indices), np.uint64, len(indices)))

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

    names = (tuple(source.names[int(indices[at])] for at in pair) for pair in equal if not same(*pair))
    return [f"{other} = {first}" for first, other in names if plain.image_of(first) != plain.image_of(other)]


def of_source(source: Source) -> list[str]:
    """`find` in at most _MOST records of a source, the first ones, since copies mostly follow each other."""
    count = min(len(source), _MOST)
    return find(source, range(count), (source.groups or [""] * count)[:count])


def _digest(source: Source, index: int) -> int:
    """64 bits of the digest of a record's label; 0 where it has no two points in different places, or cannot be read, of which
    the run itself tells when it needs it."""
    table = table_of(source)
    try:
        points, mask = table.label(index) if table and table.label else source[index][1:3]
    except (ValueError, OSError):
        return 0
    labelled = np.asarray(points, np.float32)[mask] + np.float32(0)  # no -0
    if not len(labelled) or (labelled == labelled[0]).all():
        return 0
    return int.from_bytes(hashlib.blake2b(labelled.tobytes() + mask.tobytes(), digest_size=8).digest())


def _equal(digests: np.ndarray) -> list[tuple[int, int]]:
    """(first place, other place) of each digest, other than 0, that comes again; at most _MOST."""
    _, first, which = np.unique(digests, return_index=True, return_inverse=True)
    again = np.flatnonzero((first[which] != np.arange(len(digests))) & (digests != 0))[:_MOST]
    return [(int(first[which[at]]), int(at)) for at in again]


def describe(found: Sequence[str]) -> list[str]:
    """A line on what `find` found; none where it found nothing."""
    have = "image has" if len(found) == 1 else "images have"
    named = ", ".join(found[:_NAMED]) + ", ..." * (len(found) > _NAMED)
    return [
        f"warning: labels: {len(found)} {have} exactly the labels of another, different image: {named}; copied and not edited?"
    ] * bool(found)
