"""The images with the largest NME: kept on their canvases while predictions pass by, and drawn on a sheet."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmarks import affine, processes
from jaxmarks.evaluation import summary
from jaxmarks.inference import Predicted
from jaxmarks.landmarks import Scheme
from jaxmarks.types import Batch
from pipelines.reports import sheets

_SIDE = 240  # of an image on a sheet, in pixels


class _Kept(NamedTuple):
    nme: float
    index: int
    image: np.ndarray  # u8[canvas, canvas, 3]
    points: np.ndarray  # f64[points, 2]  in pixels of the canvas
    truth: np.ndarray  # f64[points, 2]  NaN where not labelled

    @property
    def order(self) -> float:
        """The largest NME first, what has none last."""
        return -float(np.nan_to_num(self.nme, nan=-1.0))


class Worst:
    """The `count` images with the largest NME of all that were added."""

    def __init__(self, scheme: Scheme, count: int):
        self._scheme, self._count = scheme, count
        self._kept: list[_Kept] = []

    def add(self, batch: Batch, found: Predicted) -> None:
        """Take in the predictions, in pixels of the images, of a batch's real examples."""
        nme = summary.per_image(found.points, found.truth, found.mask, self._scheme, found.diagonal)["nme"]
        for at in np.argsort(-np.nan_to_num(nme, nan=-1.0), kind="stable")[: self._count]:
            to_canvas = affine.compose(batch.frame[at], affine.invert(batch.fit[at].astype(np.float64)))
            known = np.where(found.mask[at][:, None], found.truth[at], np.nan)
            placed = [affine.apply(to_canvas, points) for points in (found.points[at], known)]
            self._kept.append(_Kept(float(nme[at]), int(found.index[at]), np.array(batch.image[at]), *placed))
        self._kept = sorted(self._kept, key=lambda kept: kept.order)[: self._count]

    def share(self) -> None:
        """Take in what other processes of the run kept, so that all keep the same."""
        own = [np.stack(column) for column in zip(*self._kept, strict=True)] or None
        found = [
            _Kept(float(nme), int(index), *rest)
            for each in processes.gather_arrays(own)
            for nme, index, *rest in zip(*each, strict=True)
        ]
        self._kept = sorted(found, key=lambda kept: kept.order)[: self._count]

    def sheet(self, names: Sequence[str]) -> np.ndarray | None:
        """Return the images as u8 RGB, the worst first, prediction green, truth red; None where none was added."""
        images = [sheets.fitted(sheets.overlay(k.image, k.points, k.truth), _SIDE) for k in self._kept]
        captions = [f"{sheets.shortened(names[k.index])}  NME {k.nme:.3f}" for k in self._kept]
        return sheets.contact(images, 4, captions) if images else None
