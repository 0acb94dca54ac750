"""Preprocessing of a run, as other programs can do it: a crop in pixels of the image, made the input."""

from typing import Any

import numpy as np

from jaxmarks import affine
from jaxmarks.config import Config
from pipelines import loader
from pipelines.example import Example, Source
from pipelines.images import decode, jpeg
from pipelines.runs import boxed
from pipelines.runs.run_folder import Run

BOUND = 0.05  # pixels of the input: the most that the crop may differ from what the run itself sees
_TURNED = (2, 3, 6, 7), (3, 4, 7, 8)  # EXIF orientations that bring the end of a stored side to the start of x, of y

_TO_IMAGE = "x of the image = (x + 0.5) * cw / size + cx - 0.5, y = (y + 0.5) * ch / size + cy - 0.5"
_PLACE = (
    "cx, cy, cw, ch: first column, first row, width and height of the crop in pixels of the image, whose first pixel"
    " reaches from 0 to 1; fractions count",
    "x of the image is (x + 0.5 - cx) * size / cw - 0.5 in the input; y likewise with cy, ch",
)
_WHOLE = (
    "w, h: sides of the image in pixels, turned as its EXIF says",
    "r: the largest of 8, 4, 2 with min(w, h) / r >= size where the image is a JPEG, which the run then decodes at 1 / r;"
    " else 1",
    "rw = ceil(w / r), rh = ceil(h / r), k = min(1, size / min(rw, rh))",
    "mw = round(rw * k), mh = round(rh * k), halves to even; m = min(mw, mh)",
    "left = (mw - m) / 2, top = (mh - m) / 2, rounded down where m = size",
    "cx = left * r * rw / mw, cy = top * r * rh / mh, cw = m * r * rw / mw, ch = m * r * rh / mh",
    "where its EXIF orientation is 2, 3, 6 or 7, cx is less by r * rw - w; where it is 3, 4, 7 or 8, cy by r * rh - h",
)
_BOXED = (
    "box: x0, y0, width, height in pixels of the image, whose first pixel reaches from 0 to 1",
    "cw = ch = max(width, height) * (1 + 2 * margin)",
    "cx = x0 + (width - cw) / 2, cy = y0 + (height - ch) / 2",
)


def described(run: Run) -> dict[str, Any]:
    """Return words and formulas of what the run does to an image, for the JSON beside an exported network.

    Args:
        run: the run.

    Returns:
        plain data.
    """
    facts = {"size": run.config.size, "boxes": run.boxed, "home": _TO_IMAGE}
    how = (
        "Turn the image as its EXIF says, make it RGB. Resize the crop to `size` by `size`, by area where that makes it"
        " smaller and bilinearly where larger."
    )
    if not run.boxed:
        return {"words": f"{how} The crop is the middle of the image.", "formulas": [*_WHOLE, *_PLACE], **facts}
    words = (
        f"{how} The run was trained on bounding boxes: the crop is the square about the box's centre whose side is the"
        " box's longer side times (1 + 2 margin); outside the image it is grey, 128."
    )
    return {"words": words, "formulas": [*_BOXED, *_PLACE], **facts, "margin": run.config.box_margin}


def misplaced(run: Run, source: Source) -> tuple[float, str]:
    """Return how far apart the run itself and the formulas of `described` place what is seen at the input's corners.

    Of a set that holds reductions of its images the formulas are about those.

    Args:
        run: the run.
        source: images to compare on.

    Returns:
        the largest distance in pixels of the input, and the name of its image, empty where all agree.

    Raises:
        ValueError: where the run was trained on bounding boxes and the source has none.
    """
    boxed.check(run, source)
    config, worst = run.config, (0.0, "")
    corners = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]) * (config.size - 1)
    for batch, count in loader.ordered(source, config):
        for frame, index in zip(batch.frame[:count], batch.index, strict=False):
            example = source[int(index)]
            crop = _crop(example if run.boxed else example._replace(box=None), config)
            placed = (affine.apply(affine.invert(frame), corners) + 0.5 - crop[:2]) * config.size / crop[2:] - 0.5
            away = float(np.linalg.norm(placed - corners, axis=1).max())
            worst = max(worst, (away, source.names[int(index)]))
    return worst


def _crop(example: Example, config: Config) -> np.ndarray:
    """f64[4] cx, cy, cw, ch of `described` in an example's image."""
    if example.box is not None:
        side = max(example.box[2:]) * (1 + 2 * config.box_margin)
        return np.array([*(example.box[:2] + (example.box[2:] - side) / 2), side, side])
    size, stored = config.size, example.image
    sides = np.array(decode.image_size(example._replace(size=None)))  # of the file
    is_jpeg = isinstance(stored, bytes) and jpeg.is_jpeg(stored)
    turn = jpeg.orientation(stored) if isinstance(stored, bytes) and is_jpeg else 1
    r = next((r for r in (8, 4, 2) if is_jpeg and min(sides) / r >= size), 1)
    reduced = -(-sides // r)
    shown = np.array([round(n * min(1, size / min(reduced))) for n in reduced.tolist()])
    first = (shown - min(shown)) / 2
    first = np.floor(first) if min(shown) == size else first
    scale = r * reduced / shown
    start = first * scale - (r * reduced - sides) * [turn in ends for ends in _TURNED]
    crop = np.concatenate([start, min(shown) * scale])
    return crop * np.tile(np.array(example.size or sides) / sides, 2)
