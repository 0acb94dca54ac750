"""From predictions back to files: tables, overlays, and the mean face to compare with."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxmarks import affine
from jaxmarks.config import Config
from jaxmarks.predict import Predicted
from pipelines import decode, files, loader, outputs
from pipelines.pages import sheets
from pipelines.sources import Source, Subset

_MEAN_OF = 500  # photographs that make the mean face


def mean_face(train: Source, found: Predicted, config: Config, faults: loader.Faults) -> np.ndarray:
    """The prediction that knows nothing: the mean training label in the input frame, f64[faces, points, 2] in pixels of
    each photograph of `found`. Taken over 500 training photographs spread over the set."""
    chosen = np.unique(np.linspace(0, len(train) - 1, min(_MEAN_OF, len(train))).astype(int))
    total, count = np.zeros((train.num_points, 2)), np.zeros((train.num_points, 1))
    for batch, _ in loader.ordered(Subset(train, chosen.tolist()), config, faults=faults):
        total += np.where(batch.mask[..., None], batch.points, 0).sum(0)
        count += batch.mask.sum(0)[:, None]
    return affine.apply(affine.invert(found.frame), total / np.maximum(count, 1))


def write_table(file: BinaryIO, names: Sequence[str], columns: dict[str, np.ndarray]) -> None:
    """A comma-separated row a photograph: its name, then a column of numbers each."""
    file.write(files.csv_row(["file_name", *columns]))
    for name, *values in zip(names, *columns.values(), strict=True):
        file.write(files.csv_row([name, *(f"{v:.6g}" for v in values)]))


def write_batch(path: Path, images: np.ndarray, points: np.ndarray, names: Sequence[str], row: np.void | None) -> None:
    """A batch as the network saw it, on a PNG sheet; row: of examples.bin, whose losses go into the captions."""
    captions = [name[-20:] for name in names]
    if row is not None:
        captions = [
            f"{c} {v:.2f}{'' if k else ' x'}" for c, v, k in zip(captions, row["each"], row["kept"], strict=True)
        ]
    with files.whole(path) as file:
        file.write(decode.encode_png(sheets.batch_sheet(images, points, captions)))


def overlay_paths(folder: Path, names: Sequence[str]) -> list[Path]:
    """The overlay of each photograph below a folder: NAME.png (a.jpg: a.jpg.png), with a number where another has that
    already. Raises ValueError for a name that leads out of the folder."""
    taken: dict[str, None] = {}  # in the order of the names
    for name in names:
        stem = made = name.removesuffix(".png")
        number = 1
        while made in taken:
            number += 1
            made = f"{stem}.{number}"
        taken[made] = None
    return [outputs.below(folder, f"{made}.png") for made in taken]


def write_overlays(paths: Sequence[Path], source: Source, found: Predicted) -> None:
    """Each photograph with its predicted points, and the true ones where they are known; paths: of each of the source."""
    for index, points, truth, mask in zip(found.index, found.points, found.truth, found.mask, strict=True):
        example = source[int(index)]
        image = decode.decode(example.picture) if isinstance(example.picture, bytes) else example.picture
        scale = np.array(image.shape[1::-1]) / (example.size or image.shape[1::-1])  # below 1: packed at a working size
        placed, known = ((p + 0.5) * scale - 0.5 for p in (points, np.where(mask[:, None], truth, np.nan)))
        drawn = sheets.overlay(image, placed, known if mask.any() else None)
        with files.whole(paths[int(index)]) as file:
            file.write(outputs.marked(decode.encode_png(drawn)))
