"""Counts of unusual labels before training, by kind: points outside the crop, placeholders for "not labelled", objects of a
few pixels, faces whose norm is zero, and unusual boxes.

Everything is kept and trained on as it is: a point outside of the crop is a legal label.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from jaxmarks.config import Config
from jaxmarks.evaluation import metrics
from jaxmarks.landmarks import Scheme
from pipelines.example import Example, Source
from pipelines.io import schema
from pipelines.shapes import schemes
from pipelines.sources.formats import plain

SMALL = 8.0  # pixels: an object whose longer side has fewer is small
_CHUNK = 256  # images whose labels are counted at a time
_FAR = 1.0  # times the image's longer side: what lies farther outside is far outside
_CODES = (-2, -9, -10, -99, -100, -999, -1000, -9999, -32768, -99999, 999, 9999, 32767, 65535, 99999)
_HUGE = 1e7  # pixels: no coordinate of an image
_AGREE, _SCALED = 0.1, 1.2  # by which the scales of x and y may differ, and what is no other scale
_HELD = 0.75  # of the labelled points: a box that holds fewer was hardly meant
_ROUNDED = 0.01  # pixels by which a box misses its outermost points where it was made from rounded ones
_LEFT = 0.1  # of a box's longer side: what reaches farther outside of the image was hardly meant

KINDS = (
    "unlabelled", "missing", "unit", "crop", "canvas", "image", "far", "zero", "minus", "code", "small", "norm_box",
    "norm_diagonal", "box_image", "box_points", "resized", "in_box", "exchanged", "shown",
)  # fmt: skip


Read = tuple[
    str, Example, tuple[int, int]
]  # file name, example (its pixels are not used), the image's width and height


class View(NamedTuple):
    """Crop of an image that a network sees: the square around its box, or of its short side."""

    size: int = Config.size  # pixels of the input
    canvas: float = Config.canvas  # times the crop: what augmentation can show
    margin: float = Config.box_margin  # of a box, on each side


class Labels(NamedTuple):
    """Labels of some images, in pixels of the images."""

    names: list[str]
    points: np.ndarray  # f64[n, points, 2]
    mask: np.ndarray  # bool[n, points]
    size: np.ndarray  # f64[n, 2]  width, height
    box: np.ndarray  # f64[n, 4]  x, y, width, height; NaN: none


class Kind(NamedTuple):
    """Count of one kind of finding."""

    images: int
    points: int
    examples: list[str]  # file names, of all images


class Counts(NamedTuple):
    """Findings in the labels of `images` images with `points` labelled points, for each of KINDS."""

    images: int
    points: int
    boxed: int  # images that have a box
    kinds: dict[str, Kind]


_WHOLE = schema.Whole(0, 1 << 50)
FORM = {"images": _WHOLE, "points": _WHOLE, "boxed": _WHOLE,
        "kinds": {str: {"images": _WHOLE, "points": _WHOLE, "examples": [str]}}}  # fmt: skip


def labels(rows: Sequence[Read], num_points: int) -> Labels:
    """The labels of some examples as arrays."""
    nothing = np.full(4, np.nan)
    return Labels(
        [name for name, _, _ in rows],
        np.array([e.points for _, e, _ in rows], np.float64).reshape(-1, num_points, 2),
        np.array([e.mask for _, e, _ in rows], bool).reshape(-1, num_points),
        np.array([size for _, _, size in rows], np.float64).reshape(-1, 2),
        np.array([nothing if e.box is None else e.box for _, e, _ in rows], np.float64).reshape(-1, 4),
    )


def count_all(read: Iterable[Read], view: View, scheme: Scheme) -> Counts:
    """`count` of any number of examples; the labels of _CHUNK of them are in memory at a time."""
    parts, rows = [], iter(read)
    while chunk := list(islice(rows, _CHUNK)):
        parts.append(count(labels(chunk, scheme.num_points), view, scheme))
    return added(parts)


def count(found: Labels, view: View, scheme: Scheme) -> Counts:
    """Each kind in some labels, as images under `view` show it, and as the norm of `scheme` has it."""
    kinds = {**_places(found, view), **_whole(found, view, scheme), **_boxes(found)}
    for name in (
        "crop",
        "canvas",
        "image",
        "box_points",
        "resized",
        "in_box",
        "exchanged",
    ):  # which shares of width and height explain
        kinds[name] = np.where(kinds["unit"], 0, kinds[name])
    named = {name: _kind(found.names, each) for name, each in kinds.items()}
    return Counts(len(found.names), int(found.mask.sum()), int((np.all(np.isfinite(found.box), axis=1)).sum()), named)


def _kind(names: Sequence[str], each: np.ndarray) -> Kind:
    """each: i[n], the points of each image."""
    where = np.flatnonzero(each)
    return Kind(len(where), int(each.sum()), [names[int(i)] for i in where])


def _crops(found: Labels, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(centre f64[n, 2], half the side f64[n]) of what the input shows; the first pixel reaches from 0 to 1."""
    boxed = np.all(np.isfinite(found.box), axis=1)
    box = np.where(boxed[:, None], found.box, 0)
    centre = np.where(boxed[:, None], box[:, :2] + box[:, 2:] / 2, found.size / 2)
    return centre, np.where(boxed, box[:, 2:].max(1) * (1 + 2 * margin), found.size.min(1)) / 2


def _places(found: Labels, view: View) -> dict[str, np.ndarray]:
    """Kinds of single points: i[n], how many of each image. A point is of one kind besides "crop" and "canvas"."""
    centre, half = _crops(found, view.margin)
    edge, (x, y) = found.points + 0.5, np.moveaxis(found.points, -1, 0)
    off = np.abs(edge - centre[:, None]).max(-1)
    beyond = (np.abs(edge - found.size[:, None] / 2) - found.size[:, None] / 2).max(
        -1
    )  # outside of the image, in pixels
    outside, same = beyond > 0, x == y
    zero, minus = same & (x == 0), same & (x == -1)
    code = outside & ((same & np.isin(x, _CODES)) | (np.abs(found.points).max(-1) >= _HUGE))
    usual = outside & ~zero & ~minus & ~code
    far = usual & (beyond > _FAR * found.size.max(1)[:, None])
    kinds = {
        **{"crop": off > half[:, None], "canvas": off > view.canvas * half[:, None]},
        **{"image": usual & ~far, "far": far, "zero": zero, "minus": minus, "code": code},
    }
    return {name: (found.mask & each).sum(1) for name, each in kinds.items()}


def _whole(found: Labels, view: View, scheme: Scheme) -> dict[str, np.ndarray]:
    """Kinds of whole objects: i[n], 1 where an image is of the kind."""
    low, high = metrics.extremes(found.points, found.mask)
    side, counted = (high - low).max(1), found.mask.sum(1)
    shown = side * view.size / (2 * _crops(found, view.margin)[1])
    most = counted >= max(2, (scheme.num_points + 1) // 2)  # of a few points nobody knows the object's size
    instead = metrics.fallback(found.points, found.mask, scheme, np.hypot(*found.size.T)) * (counted > 0)
    small = most & (side < SMALL)
    shares = ((low >= 0) & (high <= 1)).all(1) | ((low >= -1) & (high <= 0)).all(1)  # .pts: less the 1 it counts from
    unit = (counted > 1) & (side > 0) & (found.size.max(1) > 4) & shares
    return {
        "unlabelled": (counted == 0).astype(int),
        "unit": unit.astype(int),
        "missing": found.mask.shape[1] - counted,
        "small": (small & ~unit).astype(int),
        "shown": (most & ~small & ~unit & (shown < SMALL)).astype(int),
        "norm_box": (instead == 1).astype(int),
        "norm_diagonal": (instead == 2).astype(int),
    }


def _boxes(found: Labels) -> dict[str, np.ndarray]:
    """Kinds of bounding boxes, which tell of other numbers than x, y, width, height: i[n], 1 where an image is of the kind."""
    low, high = found.box[:, :2], found.box[:, :2] + found.box[:, 2:]
    beyond = np.maximum(-low, high - found.size).max(1)  # NaN where there is no box
    edge = found.points + 0.5
    around = (low[:, None] - _ROUNDED <= edge) & (edge <= high[:, None] + _ROUNDED)
    held = (found.mask & around.all(-1)).sum(1)
    boxed, labelled = np.isfinite(found.box).all(1), found.mask.sum(1)
    left, missed = beyond > _LEFT * found.box[:, 2:].max(1), boxed & (held < _HELD * labelled)
    outside = (found.mask & ((edge < 0) | (edge > found.size[:, None])).any(-1)).any(1)
    within = ~(found.mask & ((edge < 0) | (edge > found.box[:, None, 2:])).any(-1)).any(1)
    in_box, exchanged = missed & within & (low > 0).any(1), missed & _exchanged(found)
    scaled = missed & _scaled(found) & ~_otherwise(found) & ~in_box & ~exchanged
    return {
        "box_image": left.astype(int),
        "box_points": missed.astype(int),
        "resized": ((left & ~missed & outside) | scaled).astype(int),
        "in_box": in_box.astype(int),
        "exchanged": exchanged.astype(int),
    }


def _exchanged(found: Labels) -> np.ndarray:
    """bool[n]: the points lie in the box of the record before or behind, which is of the same image, and not in their own."""
    low, high = found.box[:, :2], found.box[:, :2] + found.box[:, 2:]
    images, inside = [plain.image_of(name) for name in found.names], np.zeros(len(found.names), bool)
    for at in range(len(images) - 1):
        if images[at] == images[at + 1]:
            for one, other in ((at, at + 1), (at + 1, at)):
                edge = found.points[one][found.mask[one]] + 0.5
                inside[one] |= bool(((low[other] <= edge) & (edge <= high[other])).all(-1).mean() >= _HELD)
    return inside


def _otherwise(found: Labels) -> np.ndarray:
    """bool[n]: the box holds all points when its last two numbers are read the other way: as lengths in place of a corner,
    or the reverse."""
    start, lengths, edge = found.box[:, :2], found.box[:, 2:], found.points + 0.5
    ends = (
        start + (lengths + start),
        lengths,
    )  # of a box whose corner was a length, and of one whose length was a corner
    beyond = ((edge < start[:, None]) | (edge > end[:, None]) for end in ends)
    return np.any([~(found.mask & outside.any(-1)).any(1) for outside in beyond], axis=0)


def _scaled(found: Labels) -> np.ndarray:
    """bool[n]: the points lie about the place of the box in an image of another size, x and y scaled alike."""
    corners = metrics.extremes(found.points, found.mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.log((corners[0] + corners[1] + 1) / (2 * found.box[:, :2] + found.box[:, 2:]))  # of the centres
    return (np.abs(scale[:, 0] - scale[:, 1]) < _AGREE) & (np.abs(scale.mean(1)) > np.log(_SCALED))


def added(parts: Sequence[Counts]) -> Counts:
    """The counts of all parts together."""
    images, points, boxed = (
        (sum(values) for values in zip(*(p[:3] for p in parts), strict=True)) if parts else (0, 0, 0)
    )
    kinds = {}
    for name in KINDS:
        each = [p.kinds[name] for p in parts]
        examples = [e for k in each for e in k.examples]
        kinds[name] = Kind(sum(k.images for k in each), sum(k.points for k in each), examples)
    return Counts(images, points, boxed, kinds)


def to_data(c: Counts) -> dict[str, Any]:
    """The counts as plain data."""
    return {**c._asdict(), "kinds": {name: kind._asdict() for name, kind in c.kinds.items()}}


def from_data(data: dict[str, Any]) -> Counts:
    """The inverse of `to_data`; data of the form FORM."""
    nothing = Kind(0, 0, [])._asdict()  # of a set that was packed before a kind was counted
    found = {name: data["kinds"].get(name, nothing) for name in KINDS}
    kinds = {name: Kind(*(kind[field] for field in Kind._fields)) for name, kind in found.items()}
    return Counts(data["images"], data["points"], data["boxed"], kinds)


def default(source: Source) -> tuple[View, Scheme]:
    """Return the view without a run: the defaults of train.py, and the scheme of the data set."""
    return View(), schemes.of_data(source.num_points, source.point_names, source.mirror)
