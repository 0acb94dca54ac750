"""Sheet of the audit: an image under each sampler, preset and view, and its restoration."""

import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import affine, transform
from jaxmarks.transform import Transform
from pipelines import open as opening
from pipelines import synthetic
from pipelines.certificate import cases
from pipelines.images import decode, placement
from pipelines.reports import sheets

COLUMNS = ("before", "after", "restored", "mask")
_ACROSS = 2  # cases side by side
_log = logging.getLogger("jaxmarks")

_SHOWN = 8  # images of the user's that are shown


def images(data: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images u8[h, w, 3] with their points: drawn faces, or of `data` the first few that can be decoded.

    data: a contest folder, a folder of images, or drawn:COUNT. Raises ValueError where nothing can be decoded.
    """
    if data is None:
        drawn = [synthetic.draw(index, num_points=68, faults=False) for index in range(4)]
        return [(face.image, face.truth) for face in drawn]
    plain = Path(data).is_dir() and not opening.is_set(data)
    source = opening.open_images(data, 1) if plain else opening.open_source(data)
    found = []
    for index in range(len(source)):
        try:
            example = source[index]
            image = decode.pixels(example.image)
        except decode.DecodeError as error:
            _log.warning("%s: %s", source.names[index], error)
            continue
        found.append((image, example.points[example.mask]))
        if len(found) == _SHOWN:
            break
    if not found:
        raise ValueError(f"`data` {data}: no image there can be decoded")
    return found


def _bytes(image: jax.Array | np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(image)).astype(np.uint8)


def _telling(records: Transform) -> int:
    """Return the index of the record farthest from the identity: the one to show."""
    moved, coloured = (
        np.abs(np.asarray(leaf) - neutral).reshape(len(leaf), -1).sum(1)
        for leaf, neutral in ((records.affine, np.eye(2, 3)), (records.colour, np.eye(3, 4)))
    )
    covered = np.abs(np.asarray(records.covers)[..., [0, 4]]).prod(-1).sum(-1)
    return int(np.argmax(moved + coloured + np.asarray(records.blur) + covered / 500))


def row(case: str, records: Transform, image: np.ndarray, points: np.ndarray, size: int) -> list[np.ndarray]:
    """The four images u8[size, size, 3] of a case: an image u8[h, w, 3] with its points [points, 2]."""
    t = jax.tree.map(lambda leaf: leaf[_telling(records)], records)
    canvas = placement.place(image, size, placement.canvas_side(size, 1.25))
    fit = transform.from_affine(jnp.asarray(canvas.fit, jnp.float32))
    extent = jnp.asarray(canvas.extent, jnp.float32)
    placed = affine.apply(canvas.frame, points).astype(np.float32)
    draw = jax.jit(transform.apply_image, static_argnums=2)
    before = draw(fit, canvas.image, size, extent)
    after = draw(transform.compose(fit, t), canvas.image, size, extent)
    restored, mask = jax.jit(transform.restore, static_argnums=2)(t, after, size)
    moved = transform.apply_points(t, jnp.asarray(placed), None)
    back = transform.apply_points(transform.invert(t), moved, None)
    dots = [
        sheets.draw_points(_bytes(i), np.asarray(p)) for i, p in ((before, placed), (after, moved), (restored, back))
    ]
    return [*dots, np.repeat(255 * np.asarray(mask, np.uint8)[..., None], 3, 2)]


def draw(chosen: list[str], size: int, keys: int, images: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """u8 RGB: a row of four images for each case, two cases side by side; images as (image, points)."""
    shown, captions = [], []
    for n, case in enumerate(chosen):
        image, points = images[n % len(images)]
        shown += row(case, cases.records(case, size, min(keys, 16)), image, points, size)
        captions += [case, *COLUMNS[1:]]
    return sheets.contact(shown, len(COLUMNS) * min(_ACROSS, len(chosen)), captions)
