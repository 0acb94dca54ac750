"""Inspection of each record of a table, once: its outcome, its digest, and facts for the report."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.example import Example, Source, record_digest
from pipelines.images import cut_off, decode, duplicates, jpeg_scans, orientation, placement, sizes, unused
from pipelines.label_checks import sections
from pipelines.packing import report
from pipelines.sources.tables import Images

_QUALITY = 95  # of images that are encoded again


class Seen(NamedTuple):
    """Facts of a record once its image was decoded."""

    index: int
    reason: str | None  # why it cannot be used; None: it can
    example: Example | None  # as it is to be stored
    digest: bytes = b""
    size: tuple[int, int] = (0, 0)  # width, height of the image, as displayed
    spread: float | None = None  # side of the labels' box over that of the image; None: no label
    fingerprint: int | None = None
    marks: tuple[str, ...] = ()  # which of sections.MARKS it has


def look(source: Source, index: int, working_size: int = 0) -> Seen:
    """Open one record. working_size: reduce the short side, or the box, of its image to so many pixels."""
    try:
        example, file = _opened(source, index)
        stored = example.image
        image = decode.pixels(stored)
        if example.box is not None:
            placement.check_box(example.box, image.shape[1], image.shape[0])
    except decode.DecodeError as error:
        return Seen(index, str(error), None)
    height, width = image.shape[:2]
    example = _stored(example, image, working_size)
    digest = record_digest(source.names[index], example)
    spread, prints = _spread(example, width, height), duplicates.fingerprint(image)
    return Seen(index, None, example, digest, (width, height), spread, prints, _marks(stored, file, image))


def _opened(source: Source, index: int) -> tuple[Example, bytes | None]:
    """A record and its file as it is, read once; None where there is none, or it is not known."""
    if not isinstance(source, Images):
        return source[index], None
    file = source.encoded(index)
    return source.made(index, file), file


def _marks(stored: bytes | np.ndarray, file: bytes | None, image: np.ndarray) -> tuple[str, ...]:
    """The marks of an image, from what its source gives, from its file where that is known, and from its pixels."""
    encoded = stored if isinstance(stored, bytes) else b""
    file = file or encoded
    has = {"turned": orientation.turned(encoded), "flat": cut_off.ends_flat(image), "damaged": jpeg_scans.damaged(file)}
    found = {mark for mark, true in has.items() if true}.union(unused.of(file))
    return tuple(mark for mark in sections.MARKS if mark in found)


def add(marks: dict[str, list[str]], name: str, seen: Seen) -> None:
    """Add a record's name to the lists of the marks that it has."""
    for mark in seen.marks:
        marks.setdefault(mark, []).append(name)


def small(source: Source, index: int) -> np.ndarray | None:
    """A record's image as `duplicates.alike` compares it; None where it cannot be decoded."""
    try:
        return duplicates.small(decode.pixels(source[index].image))
    except decode.DecodeError:
        return None


def _stored(example: Example, image: np.ndarray, working_size: int) -> Example:
    height, width = image.shape[:2]
    if not working_size:
        return example if isinstance(example.image, bytes) else example._replace(image=decode.encode_png(image))
    side = min(width, height) if example.box is None else max(example.box[2:])
    small = decode.reduced(image, working_size / float(side))
    return example._replace(image=decode.encode_jpeg(small, _QUALITY), size=(width, height))


def _spread(example: Example, width: int, height: int) -> float | None:
    if not example.mask.any():
        return None
    points = example.points[example.mask]
    return float(np.sqrt(np.prod(points.max(0) - points.min(0)) / (width * height)))


def foreseen(source: Source) -> list[str]:
    """Lines on what opening each image of a source will find, by headers alone: how many are missing, or have another size
    than the format says, with the first of each."""
    if not isinstance(source, Images):
        return []
    table, found = source.table, []
    for index, name in enumerate(table.images or table.names):
        stated = None if table.sizes is None or not table.sizes[index].all() else table.sizes[index].tolist()
        if (reason := sizes.glance(table.root / name, stated, table.where)) is not None:
            found.append(table.rejection(index, reason))
    count = f"{len(found)} of {words.counted(len(source), 'image')} cannot be used:"
    return [count, *report.examples(found)] if found else []


def over(source: Source, start: int, stop: int, workers: int, working_size: int = 0) -> Iterator[Seen]:
    """Yield `look` at the records start .. stop - 1 in order, by threads, with few of them in memory at a time."""
    if isinstance(source, Images):
        source.frames_told = True  # by whoever tells of marks
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for index in range(start, stop):
            waiting.append(pool.submit(look, source, index, working_size))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
