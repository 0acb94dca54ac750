"""Records on their way into the files of annotation tools: image by image, with the names of their points."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from pipelines.sources.formats import plain
from pipelines.sources.tables import Row

NAMES = "point_names"  # key of the names of all points and their order, in files that have no place for them
KIND = "object"  # the class of written objects, where a format has classes


def by_image(rows: Iterable[Row]) -> Iterator[tuple[str, list[tuple[str, Row]]]]:
    """Yield each image with its records, each with its OBJECT, empty where it has none.

    Raises ValueError for records of one image that are not together, and for one without the size of its image.
    """
    seen: set[str] = set()
    for image, some in groupby(rows, key=lambda row: plain.image_of(row.name)):
        if image in seen:
            raise ValueError(f"{image}: its records are not together in the set")
        seen.add(image)
        records = [(row.name[len(image) + 1 :], row) for row in some]
        if not all(all(row.size) for _, row in records):
            raise ValueError(f"{image}: its size is not known")
        yield image, records


def labelled(row: Row, names: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Yield name, x and y of the labelled points of a record, in the fewest digits that give the same float32 again."""
    found = [float(text) for text in plain.texts(np.where(row.mask[:, None], row.points, 0))]
    for name, x, y, there in zip(names, found[::2], found[1::2], row.mask.tolist(), strict=True):
        if there:
            yield name, x, y


def point_names(num_points: int, names: Sequence[str] = ()) -> list[str]:
    """Return the names of points that are written: those that are known, else point_0, point_1, ..."""
    return list(names) or [f"point_{i}" for i in range(num_points)]
