"""Sampling weights: relative frequencies of the images, from a file or by the share of each of several data sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmarks import data_sets, words
from jaxmarks.config import Config
from pipelines.sources import image_names, text_tables

_NAMED = 3


def read(path: Path, names: Sequence[str]) -> np.ndarray:
    """f64[names] of a comma-separated file: a header, then file_name, weight.

    Raises ValueError, with the line, for an invalid row, a negative weight, a name that has no weight, or where
    all weights are 0.
    """
    scan = text_tables.scan(path, b",", safe=image_names.inner_path)
    if len(scan.columns) != 2:
        raise ValueError(f"{path}:1: {words.counted(len(scan.columns), 'column')}, expected file_name,weight")
    if scan.rejected:
        raise ValueError(f"{path}:{scan.rejected[0].line}: {scan.rejected[0].reason}")
    found = {name: float(scan.row(i)[0]) for i, name in enumerate(scan.names)}
    for name, line in zip(scan.names, scan.lines, strict=True):
        if found[name] < 0:
            raise ValueError(f"{path}:{line}: the weight of {name} is {found[name]:g}, below 0")
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path}: no weight for {missing[0]} ({len(missing)} in all)")
    weights = np.array([found[name] for name in names])
    if not weights.any():
        raise ValueError(f"{path}: all weights are 0")
    return weights


def remarks(path: Path | str, train: Sequence[str], others: Sequence[str]) -> list[str]:
    """A line each on images of weight 0 and on rows that name no image of the data set; none without such, or a file.

    train: names of the images to train on. others: of the set's other images.
    """
    if not path:
        return []
    scan = text_tables.scan(Path(path), b",", safe=image_names.inner_path)
    known, never = {*train, *others}, read(Path(path), train) == 0
    unknown = [name for name in scan.names if name not in known]
    rows = f"weights: {words.counted(len(unknown), 'row')} for images that the data set does not have: "
    rows += words.listed(unknown, _NAMED)
    zero = f"weights: {int(never.sum())} of {words.counted(len(train), 'image')} to train on with a weight of 0, never drawn: "
    zero += words.listed([train[i] for i in np.flatnonzero(never).tolist()], _NAMED)
    return [zero] * bool(never.any()) + [rows] * bool(unknown)


def of(names: Sequence[str], config: Config, path: Path | str) -> np.ndarray | None:
    """f64[names], None where each comes once an epoch: the weights of the file at `path`, if there is one, and within each of
    several sets scaled to the share of the draws that the configuration gives it. Raises ValueError as `read`, and for a set
    of which nothing can be drawn."""
    weights = read(Path(path), names) if path else None
    if not (shares := data_sets.shares(config.shares, len(data_sets.paths(config.data)))):
        return weights
    weights = np.ones(len(names)) if weights is None else weights
    labels = np.array(data_sets.labels(names))
    for place, share in enumerate(shares):
        inside = labels == data_sets.label(place)
        if not (total := weights[inside].sum()):
            raise ValueError(f"`shares`: {data_sets.label(place)} has no image to train on, or no weight above 0")
        weights[inside] *= share * len(names) / total
    return weights
