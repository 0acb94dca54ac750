"""Ensembles of trained runs: opened with their views, and the points of every view of a source's images.

Views are chunked so that a bounded number of images goes through a network at one time.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxmarks import backend, inference
from jaxmarks.config import Config
from jaxmarks.inference import Member, Predicted, ViewPoints
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.example import Source
from pipelines.runs.restore import Trained

Batches = Iterable[Sequence[tuple[Batch, int]]]  # a batch for each member, of the same images, and its real examples


class Ensemble(NamedTuple):
    """Trained runs, ready to predict; the first one's input frame is that of all predictions."""

    runs: list[Trained]
    members: list[Member]
    batch: int  # images of a batch
    at_once: int  # views of images that may go through a network at one time

    @property
    def views(self) -> int:
        """Number of views of an image, over all members."""
        return sum(member.count for member in self.members)

    @property
    def devices(self) -> int:
        """The least number that each member's devices divide."""
        return math.lcm(*(member.mesh.size for member in self.members))

    @property
    def configs(self) -> list[Config]:
        """The members' configurations, to load images by."""
        return [dataclasses.replace(t.run.config, batch=self.batch) for t in self.runs]


def of_runs(runs: Sequence[Trained], views: str, at_once: int | None = None) -> Ensemble:
    """Return the ensemble of some runs, each under a set of views.

    Args:
        runs: one or more, of the same points.
        views: as `tta.view_configs` takes it.
        at_once: how many images may go through a network at one time; None: so many as are fast, on a CPU those whose
            layers its caches hold.

    Returns:
        the ensemble, with the batch that follows.

    Raises:
        ValueError: as `tta.view_configs`.
    """
    at_once = at_once or (32 if backend.is_cpu() else 128)
    made = Ensemble(list(runs), [t.plan.member(views)(t.state) for t in runs], 0, at_once)
    most = max(member.count for member in made.members)
    return made._replace(batch=max(at_once // most // made.devices, 1) * made.devices)


def view_points(
    over: Ensemble, source: Source, faults: loader.Faults | None = None, batches: Batches | None = None
) -> Iterator[ViewPoints]:
    """Return the points of every view of every decodable image of a source, in order.

    Args:
        over: the ensemble.
        source: the data set.
        faults: where images that cannot be decoded are added; None: nowhere.
        batches: those of the source, where they are loaded already; None: they are loaded.

    Returns:
        an iterator, a batch at a time, in pixels of the first member's input.
    """
    batches = loader.together(source, over.configs, faults=faults) if batches is None else batches
    return inference.view_points(over.members, batches, at_once=max(1, over.at_once // over.batch))


def merged(
    over: Ensemble,
    weights: np.ndarray,
    how: str,
    source: Source,
    faults: loader.Faults | None = None,
    batches: Batches | None = None,
) -> Iterator[Predicted]:
    """Return predictions of every decodable image of a source, in order.

    Args:
        over: the ensemble.
        weights: as `inference.merged` has them.
        how: as `inference.merged` has it.
        source: the data set.
        faults: where images that cannot be decoded are added; None: nowhere.
        batches: those of the source, where they are loaded already; None: they are loaded.

    Returns:
        an iterator, a batch at a time, in pixels of the first member's input.
    """
    return inference.merged(view_points(over, source, faults, batches), weights, how=how)
