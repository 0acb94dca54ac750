"""Synthetic faces with exact landmarks, for the demo and the tests.

`draw` is a pure function of its arguments: points change with GENERATOR_VERSION only, pixels with it or with
another release of OpenCV. Nothing is read from disk; a face takes some ten milliseconds.
"""

from typing import NamedTuple

import numpy as np

from pipelines.synthetic import camera, draws, layout, raster, scene
from pipelines.synthetic.draws import GENERATOR_VERSION
from pipelines.synthetic.faults import spoil
from pipelines.synthetic.layout import NUM_POINTS

__all__ = ["GENERATOR_VERSION", "NUM_POINTS", "Face", "Label", "draw", "label"]


class Face(NamedTuple):
    """An image and what is known of it. Pixel centres lie at whole numbers; points may lie outside."""

    image: np.ndarray  # u8[h, w, 3] RGB
    points: np.ndarray  # f64[points, 2] (x, y) pixels: the label, wrong where outlier
    truth: np.ndarray  # f64[points, 2]: where the landmarks are
    outlier: bool  # the label is wrong on purpose
    person: int  # several faces show one person; numbers are unique within a part


class Label(NamedTuple):
    """Label of a face without its image: the fields of Face, with the size for the image."""

    size: tuple[int, int]  # width, height of the image
    points: np.ndarray
    truth: np.ndarray
    outlier: bool
    person: int


def _check(index: int, part: str, num_points: int) -> None:
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or index < 0:
        raise ValueError(f"index: expected a whole number, 0 or more, got {index!r}: count faces from 0")
    if not isinstance(part, str) or not part:
        raise ValueError(f"part: expected a name such as 'train' or 'val', got {part!r}: name the part of the data set")
    if num_points not in NUM_POINTS:
        raise ValueError(f"num_points: expected one of {NUM_POINTS}, got {num_points!r}: choose one of these")


def _shot(index: int, part: str, flawed: bool) -> tuple:
    """Person, moment, faults, camera and the 971 true landmarks f64[971, 2] of one face."""
    who = draws.person(part, draws.person_of(part, index))
    moment = draws.moment(part, index)
    flaws = draws.faults(part, index) if flawed else draws.Faults()
    view, truth = camera.shoot(who, moment, flaws)
    if flaws.mirror:
        truth = (truth * (-1, 1) + (view.size[0] - 1, 0))[layout.mirror_971()]
    return who, moment, flaws, view, truth


def _label(index: int, part: str, num_points: int, flawed: bool, shot: tuple) -> Label:
    """The label of a shot, wrong where the part's draw says so."""
    *_, view, truth = shot
    points, slip = truth, draws.slip(part, index) if flawed else None
    if slip is not None and slip.other < 0:
        points = truth + np.array(slip.shift) * (truth.max(0) - truth.min(0)).max()
    elif slip is not None:
        *_, other, points = _shot(slip.other, part, True)
        points = (points + 0.5) * (np.array(view.size) / other.size) - 0.5
    chosen = layout.choose(points, num_points), layout.choose(truth, num_points).copy()
    return Label(view.size, *chosen, slip is not None, draws.person_of(part, index))


def label(index: int, *, part: str = "train", num_points: int = 971, faults: bool = True) -> Label:
    """Return the label of the face that `draw` with the same arguments gives, without drawing it: ten times as fast.

    Raises ValueError as `draw` does.
    """
    _check(index, part, num_points)
    return _label(int(index), part, num_points, faults, _shot(int(index), part, faults))


def draw(index: int, *, part: str = "train", num_points: int = 971, faults: bool = True) -> Face:
    """Face `index` of a part: a pure function of its arguments, and its pixels of all but num_points.

    index: 0 or more, without end. num_points: 971 (RECIPE.md's order), 68 (iBUG) or 5 (eyes, tip of the nose,
    corners of the mouth); left is the viewer's left. faults: with those of real data (bars, captions, grey,
    dark, bright, stretched, mirrored, cut off, blurred, coded, about 1 % wrong labels), or without any.
    Raises ValueError where an argument is another.
    """
    _check(index, part, num_points)
    who, moment, flaws, view, _ = shot = _shot(int(index), part, faults)
    rs = draws.stream(part, "picture", int(index))
    image = raster.resample(scene.image(view, who, moment, rs), *view.size)
    return Face(spoil(image, flaws, rs), *_label(int(index), part, num_points, faults, shot)[1:])
