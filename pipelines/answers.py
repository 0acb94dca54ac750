"""From predictions back to files: tables, sheets, and the mean face to compare with."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxmarks import affine
from jaxmarks.config import Config
from jaxmarks.predict import Predicted
from pipelines import decode, files, loader
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
    captions = [sheets.shortened(name) for name in names]
    if row is not None:
        captions = [
            f"{c} {v:.2f}{'' if k else ' x'}" for c, v, k in zip(captions, row["each"], row["kept"], strict=True)
        ]
    with files.whole(path) as file:
        file.write(decode.encode_png(sheets.batch_sheet(images, points, captions)))
