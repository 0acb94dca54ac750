"""Overlays: images with their predictions drawn on them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmarks import affine, words
from jaxmarks.inference import Predicted
from pipelines.example import Source
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import overwrites
from pipelines.predictor import Predictor
from pipelines.reports import sheets
from pipelines.sources.formats import plain

_SIDE = 1600  # pixels of an overlay's longer side, at most


def paths(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the overlay of each image below a folder.

    Args:
        folder: of the overlays.
        names: of the images' files.

    Returns:
        NAME.jpg for NAME.png, NAME.jpg and the like, with a number where another has that name already.

    Raises:
        ValueError: for a name that leads out of the folder.
    """
    taken: dict[str, None] = {}  # in the order of the names
    for name in names:
        image = plain.image_of(name)
        stem = made = os.path.splitext(image)[0] + name[len(image) :]
        number = 1
        while made in taken:
            number += 1
            made = f"{stem}.{number}"
        taken[made] = None
    return [overwrites.below(folder, f"{made}.jpg") for made in taken]


def write(places: Sequence[Path], source: Source, found: Predicted, net: Predictor, limit: float) -> None:
    """Write images with their predictions, as JPEG of at most 1600 pixels.

    Each shows its predicted points, the true ones where they are known, the part that the network saw, and what to
    expect of it.

    Args:
        places: the file of each image of the source, of `paths`.
        source: the data set.
        found: predictions in pixels of the images.
        net: the predictor that they are of.
        limit: the NME that the confidence is of.

    Raises:
        OSError: where a file cannot be written.
    """
    columns = found.expected.mean(1), net.confidence(found, limit)
    inputs = affine.apply(affine.invert(found.frame), _corners(net.plan.config.size))
    each = zip(found.index, found.points, found.truth, found.mask, inputs, *columns, strict=True)
    for index, points, truth, mask, corners, error, sure in each:
        example = source[int(index)]
        image = decode.pixels(example.image)
        size = np.array(example.size or image.shape[1::-1])  # that points are in; the image may be packed smaller
        image = decode.reduced(image, _SIDE / max(image.shape[:2]))
        placed = [
            (p + 0.5) * image.shape[1::-1] / size - 0.5
            for p in (points, corners, np.where(mask[:, None], truth, np.nan))
        ]
        text = "" if np.isnan(error) else f"expected error {words.number(error, 2)} px, NME below {limit:g}: {sure:.0%}"
        drawn = sheets.overlay(image, placed[0], placed[2] if mask.any() else None, placed[1], text)
        with files.whole(places[int(index)]) as file:
            file.write(overwrites.marked(decode.encode_jpeg(drawn, 88)))


def _corners(size: int) -> np.ndarray:
    """f64[4, 2]: the corners of the input, in its pixels."""
    low, high = -0.5, size - 0.5
    return np.array([[low, low], [high, low], [high, high], [low, high]])
