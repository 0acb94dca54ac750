"""Remarks on the labels of a set before training, a line for each kind that was counted."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxmarks import words
from jaxmarks.config import Config
from jaxmarks.landmarks import Scheme
from pipelines.example import Source
from pipelines.images import decode, orientation
from pipelines.label_checks.label_counts import KINDS, SMALL, Counts, Read, View, count_all
from pipelines.label_checks.label_positions import Positions

MOST = 4000  # images whose labels are read before a training, evenly taken from larger sets
SHARE = 0.1  # of the images: a kind that is more frequent is a warning, as shares in place of pixels always are
_NAMED = 3  # images of a kind that are named
_HIDDEN = ("canvas", "resized", "in_box", "exchanged")  # kinds that only others tell of
_OF_IMAGES = (
    "unlabelled",
    "unit",
    "small",
    "shown",
    "norm_box",
    "norm_diagonal",
    "box_image",
    "box_points",
)  # kinds of whole objects, not of points
_PLACEHOLDERS = {
    "zero": "at (0, 0)",
    "minus": "at (-1, -1)",
    "code": "at codes such as (-999, -999), or -1 -1 in .pts files",
}


def remarks(source: Source, config: Config, scheme: Scheme) -> list[str]:
    """What a person should know of a source's labels before training on them, a line each: `describe` of at most MOST images.
    Nothing of drawn faces, which are made by intent."""
    if config.data.startswith("drawn:") or not source.labelled:
        return []
    chosen = np.unique(np.linspace(0, len(source) - 1, min(MOST, len(source))).astype(int))
    turned, unread, positions = [], {}, Positions(scheme.num_points)

    def counted(one: tuple[Read, bool]) -> Read:
        (name, example, size), is_turned = one
        turned.append(is_turned)
        positions.add(name, example.points, example.mask, size)
        return one[0]

    with ThreadPoolExecutor(config.threads) as pool:
        found = pool.map(lambda i: _read(source, int(i), unread), chosen)
        read = (counted(one) for one in found if one is not None)
        counts = count_all(read, View(config.size, config.canvas, config.box_margin), scheme)
    lines = (
        _describe_unread(unread, len(chosen))
        + positions.describe()
        + orientation.describe(sum(turned), counts.images)
        + describe(counts, scheme)
    )
    if any(len(counts.kinds[name].examples) > _NAMED for name in KINDS if name not in _HIDDEN):
        lines.append("labels: prepare.py names the images of each kind, in report.txt")
    if len(chosen) < len(source):
        lines.append(f"labels: counted in {len(chosen)} of {len(source)} images, evenly taken; prepare.py counts all")
    return lines


def _read(source: Source, index: int, unread: dict[int, str]) -> tuple[Read, bool] | None:
    """(a record, whether its image is displayed turned or mirrored); None where the record cannot be read: its name and the
    reason go to `unread`."""
    try:
        example = source[index]
        turned = isinstance(example.image, bytes) and orientation.turned(example.image)
        return (source.names[index], example._replace(image=b""), decode.image_size(example)), turned
    except (ValueError, OSError) as error:
        unread[index] = f"{source.names[index]}: {error}"
        return None


def _describe_unread(unread: dict[int, str], of: int) -> list[str]:
    """The records that no count has: the set passed its check, so that it was damaged or changed since."""
    if not unread:
        return []
    records, first = words.counted(of, "record"), unread[min(unread)]
    return [f"warning: labels: {len(unread)} of {records} cannot be read; the first: {first}"]


def describe(c: Counts, scheme: Scheme) -> list[str]:
    """The counts for a person, a line for each kind that was found; what more than SHARE of the images have, and shares in
    place of pixels, is a warning, with its remedy."""
    return [line for line, _ in with_names(c, scheme)]


def with_names(c: Counts, scheme: Scheme) -> list[tuple[str, list[str]]]:
    """Each line of `describe`, with the names of all images of its kind."""
    found = [name for name in KINDS if c.kinds[name].images and name not in _HIDDEN]
    return [(_line(name, c, scheme), c.kinds[name].examples) for name in found]


def _line(name: str, c: Counts, scheme: Scheme) -> str:
    kind = c.kinds[name]
    often = kind.images > SHARE * c.images or name == "unit"  # which nobody means
    remedy = f"; {_remedy(name, c)}" if often and _remedy(name, c) else ""
    examples = f"{', '.join(kind.examples[:_NAMED])}{', ...' * (kind.images > _NAMED)}"
    canvas = c.kinds["canvas"].points if name == "crop" else 0
    hidden = f"; {canvas} of these lie where no augmentation brings them into it" if canvas else ""
    of = c.images * scheme.num_points if name == "missing" else c.points
    points = "" if name in _OF_IMAGES else f" ({kind.points} of {words.counted(of, 'point')}{hidden})"
    have = "has" if kind.images == 1 else "have"
    said = (
        f"{kind.images} of {words.counted(c.images, 'image')} {have} {_what(name, scheme)}{points}: {examples}{remedy}"
    )
    return f"{'warning: ' if remedy else ''}labels: {said}"


def _what(name: str, scheme: Scheme) -> str:
    if name in _PLACEHOLDERS:
        return f'points {_PLACEHOLDERS[name]}, often meant as "not labelled", which are trained on as they are'
    norm = f"points {scheme.norm[0]} and {scheme.norm[1]}" if scheme.norm else "their points"
    return {
        "unlabelled": "no labelled point, and nothing to train on",
        "missing": "points that are not labelled",
        "unit": "all points within 0..1 pixels (.pts: as the file has them), as if they were shares of width and height",
        "crop": "points outside the crop that the network is shown",
        "image": "points outside the image",
        "far": "points far outside the image, more than its longer side away",
        "small": f"an object of fewer than {SMALL:g} pixels",
        "shown": f"an object of which the network sees fewer than {SMALL:g} pixels",
        "norm_box": f"{norm} in one place or not both labelled: their NME is divided by the box of the labelled points",
        "norm_diagonal": "labelled points without an area: their NME is divided by the diagonal of the image",
        "box_image": "a bounding box that reaches outside the image by over a tenth of its side",
        "box_points": "a bounding box that does not hold three quarters of its labelled points",
    }[name]


def _remedy(name: str, c: Counts) -> str:
    """What to do about a kind that many images have; empty where nothing is to be done."""
    empty = "leave such fields empty (COCO: visibility 0; .pts: nan nan), and they are not trained on"
    boxes = "give bounding boxes about the objects (`boxes` FILE: file_name,x,y,width,height)"
    if c.boxed:
        boxes = "correct the bounding boxes, or take a larger `box_margin`"
    if name in _PLACEHOLDERS:
        return empty
    if name == "unit":
        return "multiply x by the width and y by the height of each image: coordinates are pixels"
    if name == "box_points" and 2 * c.kinds["exchanged"].images > c.kinds[name].images:
        return "their points lie in the box of another record of their image: boxes and points in another order?"
    if name == "box_points" and 2 * c.kinds["in_box"].images > c.kinds[name].images:
        return "their points lie in it when its corner is added: coordinates from the corner of the box?"
    if name in ("box_image", "box_points") and 2 * c.kinds["resized"].images > c.kinds[name].images:
        return "boxes and points agree with each other, but not with the size of the image: resized after labelling?"
    if name in ("box_image", "box_points"):
        return "corners in place of width and height, or the reverse? Boxes are x, y, width, height (WFLW: corners)"
    if name == "unlabelled":
        return "label them, or leave them out"
    if name in ("image", "far"):
        return "were the images resized or cropped after labelling? Scale the labels, or take the original images"
    if name == "crop":
        if c.kinds["box_points"].images > SHARE * c.images:
            return "boxes and points do not agree, as a line below tells"
        mistaken = sum(c.kinds[n].points for n in _PLACEHOLDERS)
        if 2 * mistaken > c.kinds["crop"].points:
            return f"most may be placeholders, named below: {empty}"
        return boxes
    return f"take a larger `size` in training, or {boxes}" if name == "shown" else boxes if name == "small" else ""
