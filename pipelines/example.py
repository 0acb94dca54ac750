"""Data sets as sources: a length, names, and an example by index; and their digests."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Example(NamedTuple):
    """One image and its label."""

    image: bytes | np.ndarray  # an encoded file, or u8[h, w, 3] RGB
    points: np.ndarray  # f64[points, 2]  in pixels of the image
    mask: np.ndarray  # bool[points]
    box: np.ndarray | None = None  # f64[4]  x, y, width, height of the region to crop, in pixels of the image
    size: tuple[int, int] | None = None  # (width, height) of the image, where the image is a reduction of it


class Source(Protocol):
    """A data set of images, in canonical order: by file name (a test split: in the order of its list).

    What a kind of data set does not have keeps its default: inherit from this class.
    """

    names: Sequence[str]
    num_points: int
    labelled: bool
    boxed: bool = False  # every record has a bounding box, of several sets those of one at least; none otherwise
    replaced: int = 0  # records without a bounding box that has an area: that of the labelled points took its place
    asked: list[np.ndarray] | None = None  # for each image the points to predict; None: all of each
    groups: Sequence[str] | None = None  # what an image's near-duplicates share, or ""; None: they were not looked for
    point_names: Sequence[str] = ()  # in the order of the points; empty: they have none
    mirror: Sequence[int] = ()  # i[points], as `Scheme` has it, where the data's files say it; empty: they do not
    specification: str | None = None  # what a drawn set is known by
    identity: str | None = None  # of a set that was packed or read whole: see `identity`
    sets: Sequence[Sequence[int]] = ()  # of several sets in one: which point of each is each of its points, -1: none

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example:
        """Raise `decode.DecodeError` where the file is not there, OSError where it cannot be read."""
        ...


class Subset(Source):
    """Some examples of a source, in the order given.

    Args:
        source: of which.
        indices: the examples, by their place in the source.
    """

    def __init__(self, source: Source, indices: Sequence[int]):
        self._source, self.indices = source, list(indices)
        self.names = [source.names[i] for i in self.indices]
        self.num_points, self.labelled, self.boxed = source.num_points, source.labelled, source.boxed
        self.point_names, self.mirror, self.sets = source.point_names, source.mirror, source.sets

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[self.indices[index]]


def names_at(source: Source, indices: Sequence[int] | np.ndarray) -> list[str]:
    """Return the file names of some examples.

    Args:
        source: of which.
        indices: i[n], the examples.

    Returns:
        n names.
    """
    return [source.names[int(i)] for i in indices]


def names_digest(source: Source) -> str:
    """Return the sha256 of the names in their order.

    Args:
        source: whose names.

    Returns:
        hexadecimal.
    """
    return hashlib.sha256("\n".join(source.names).encode("utf-8", "surrogateescape")).hexdigest()


def identity(source: Source) -> str:
    """Return the digest of the records' digests, in canonical order: independent of path and times.

    A synthetic set is identified by its specification and the generator's version; a set that was packed or checked
    stores its own.

    Args:
        source: the data set; one without a stored identity is read whole.

    Returns:
        a sha256, hexadecimal.

    Raises:
        OSError: where an image cannot be read.
    """
    if source.specification is not None:
        return hashlib.sha256(source.specification.encode()).hexdigest()
    if source.identity is not None:
        return source.identity
    return identity_of(_digest(source, index) for index in range(len(source)))


def content(source: Source, indices: Iterable[int]) -> str:
    """Return the digest of some records as they are now: of their names, images, labels and boxes.

    Args:
        source: the data set.
        indices: the records, in the order in which they count.

    Returns:
        a sha256, hexadecimal.

    Raises:
        OSError: where an image cannot be read.
    """
    if source.specification is not None:
        return hashlib.sha256(f"{source.specification} {list(indices)}".encode()).hexdigest()
    return identity_of(_digest(source, index) for index in indices)


def _digest(source: Source, index: int) -> bytes:
    try:
        return record_digest(source.names[index], source[index])
    except ValueError as error:  # a missing image is part of what an unchecked set is
        return hashlib.sha256(f"{source.names[index]}\0{error}".encode()).digest()


def identity_of(digests: Iterable[bytes]) -> str:
    """Return the identity of a set from its records' digests.

    Args:
        digests: of `record_digest`, in canonical order.

    Returns:
        a sha256, hexadecimal.
    """
    total = hashlib.sha256()
    for digest in digests:
        total.update(digest)
    return total.hexdigest()


def record_digest(name: str, example: Example) -> bytes:
    """Return the sha256 of a record's name, image, labels as float32, mask, and its box and image size if present.

    Args:
        name: of the file.
        example: the record; points that are not labelled count as 0.

    Returns:
        32 bytes.
    """
    record = hashlib.sha256(name.encode() + b"\0")
    image = example.image if isinstance(example.image, bytes) else example.image.tobytes()
    record.update(hashlib.sha256(image).digest())
    record.update(np.where(example.mask[:, None], example.points, 0).astype("<f4").tobytes())
    record.update(example.mask.tobytes())
    if example.box is not None:
        record.update(b"box" + np.asarray(example.box, "<f8").tobytes())
    if example.size is not None:
        record.update(b"size" + np.asarray(example.size, "<i8").tobytes())
    return record.digest()
