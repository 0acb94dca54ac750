"""Label review page: one image at a time, decisions by mouse or keys.

One file that needs no other and no network. What comes from data stands in one block of JSON; the script puts names into
the page as text, never as HTML. Points are drawn over the image in pixels of the image.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.example import Example
from pipelines.images import decode
from pipelines.reports import html

_SIDE = 640  # pixels of an image's longer side, at most
_AROUND = 0.2  # of the face: what is shown about label and prediction on each side


class Item(NamedTuple):
    """An image to decide about."""

    name: str
    example: Example
    prediction: np.ndarray  # f[points, 2]  in pixels of the image
    score: float
    reason: str
    similar: tuple[str, Example] | None = None  # the similar image that the label is unlike: its name, and itself


def page(title: str, items: Sequence[Item], lead: str) -> str:
    """The whole page, the items in their order. Raises DecodeError for an image that cannot be decoded, and OSError."""
    data = html.json_of([_item(item) for item in items])
    key = hashlib.sha256(data.encode()).hexdigest()
    return html.page("review.html", title=title, lead=lead, key=key, data=data)


def _item(item: Item) -> dict:
    other = item.similar
    return {
        "name": html.plain(item.name),
        "score": round(item.score, 2),
        "reason": item.reason,
        **_shown(item.example, item.prediction),
        "prediction": [_numbers(p) for p in item.prediction],
        "similar": None if other is None else {"name": html.plain(other[0]), **_shown(other[1], np.zeros((0, 2)))},
    }


def _shown(example: Example, prediction: np.ndarray) -> dict:
    """An image and its label, and what part of it is shown: that about label and prediction."""
    image = decode.pixels(example.image)
    known = example.mask & np.isfinite(example.points).all(1)
    scale = image.shape[1] / (example.size[0] if example.size else image.shape[1])  # points are the image's
    view, low, high = _around(np.concatenate([example.points[known], prediction]), np.array(image.shape[1::-1]) / scale)
    first, last = (
        np.floor(low * scale).astype(int),
        np.minimum(np.maximum(np.ceil(high * scale), np.floor(low * scale) + 1), image.shape[1::-1]).astype(int),
    )
    part = image[first[1] : last[1], first[0] : last[0]]
    return {
        "view": _numbers(view),
        "place": _numbers(np.concatenate([first / scale - 0.5, (last - first) / scale])),
        "image": html.data_of(decode.reduced(part, _SIDE / max(part.shape[:2]))),
        "label": [_numbers(p) if k else None for p, k in zip(example.points, known, strict=True)],
    }


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(v), 2) for v in values]


def _around(points: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the shown square (x, y, side, side) around the points, at most twice the image of `size` (width, height),
    and the corners of its part of the image, f64[2] each."""
    near = np.clip(points, -size / 2, 1.5 * size)
    low, high = near.min(0), near.max(0)
    side = max(float((high - low).max()) * (1 + 2 * _AROUND), 0.05 * float(size.max()))
    corner = (low + high) / 2 - side / 2
    first, last = np.clip(corner, 0, size - 1), np.clip(corner + side, 1, size)
    return np.concatenate([corner, [side, side]]), first, last
