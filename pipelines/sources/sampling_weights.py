"""Sampling weights from a file: relative frequencies of the images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmarks import words
from pipelines.sources import image_names, text_tables


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
