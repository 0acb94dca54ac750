"""kornia and albumentations, as released, under the same probes; imported only on request.

A library is a function (name of an operation, image f32[n, n, 3] in 0..255, points [points, 2]) -> (image, points):
probes judge the image against the points that it returned itself, so conventions such as the sign of an angle do not
matter, and each keeps its defaults.
"""

import functools
import importlib.util
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import affine, transform
from jaxmarks.augment.samplers import Geometry, sample
from pipelines.certificate import cases, reference

Library = Callable[[str, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
_KNOWN = {"mirror": 0.02, "shrink 2 times": 0.02, "enlarge 2 times": 0.02, "rotate": 0.02, "crop and enlarge": 0.02}
_SIGMA, _ANGLE = 4.0, 25.0
_LEAST = 128  # px: in a smaller image what is enlarged is cut off by the frame


def ours(operation: str, image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """jaxmarks: every operation one Transform."""
    size = image.shape[0]
    crop = Geometry(crop=0.75, crop_x=0.5, crop_y=0.5)
    scales = {"shrink 2 times": 1 / 2, "shrink 4 times": 1 / 4, "enlarge 2 times": 2.0}
    geometry = {"mirror": Geometry(mirror=1.0), "rotate": Geometry(rotation=_ANGLE), "crop and enlarge": crop}
    side = size
    if operation in scales:
        side = int(size * scales[operation])
        t = transform.from_affine(jnp.asarray(affine.resize(scales[operation], scales[operation]), jnp.float32))
    elif operation == "rotate, crop, enlarge":
        turned, cut = (sample(jax.random.key(0), g, size) for g in (geometry["rotate"], crop))
        t = transform.compose(turned, cut)
    else:
        t = sample(jax.random.key(0), geometry[operation], size)
    found = jax.jit(transform.apply_image, static_argnums=2)(t, image, side)
    return np.asarray(found), np.asarray(transform.apply_points(t, jnp.asarray(points, jnp.float32), None))


def albumentations(operation: str, image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """albumentations with its defaults; of its points those it keeps."""
    import albumentations as A  # type: ignore[import-not-found]

    n = image.shape[0]
    a, b = n // 8, n - n // 8
    rotate, crop = A.Rotate(limit=(_ANGLE, _ANGLE), p=1), [A.Crop(a, a, b, b, p=1), A.Resize(n, n, p=1)]
    steps = {
        "mirror": [A.HorizontalFlip(p=1)],
        "shrink 2 times": [A.Resize(n // 2, n // 2, p=1)],
        "shrink 4 times": [A.Resize(n // 4, n // 4, p=1)],
        "enlarge 2 times": [A.Resize(2 * n, 2 * n, p=1)],
        "rotate": [rotate],
        "crop and enlarge": crop,
        "rotate, crop, enlarge": [rotate, *crop],
    }[operation]
    found = A.Compose(steps, keypoint_params=A.KeypointParams(format="xy"))(
        image=(image / 255).astype(np.float32), keypoints=np.asarray(points, np.float32)
    )
    return found["image"] * 255.0, np.asarray(found["keypoints"]).reshape(-1, 2)


def kornia(operation: str, image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """kornia with its defaults."""
    import kornia.augmentation as K  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]

    n = image.shape[0]
    rotate, crop = K.RandomRotation((_ANGLE, _ANGLE), p=1.0), [K.CenterCrop(n - 2 * (n // 8), p=1.0), K.Resize((n, n))]
    steps = {
        "mirror": [K.RandomHorizontalFlip(p=1.0)],
        "shrink 2 times": [K.Resize((n // 2, n // 2))],
        "shrink 4 times": [K.Resize((n // 4, n // 4))],
        "enlarge 2 times": [K.Resize((2 * n, 2 * n))],
        "rotate": [rotate],
        "crop and enlarge": crop,
        "rotate, crop, enlarge": [rotate, *crop],
    }[operation]
    batch = torch.tensor(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]
    keypoints = torch.tensor(np.asarray(points, np.float32))[None]
    found, moved = K.AugmentationSequential(*steps, data_keys=["input", "keypoints"])(batch, keypoints)
    return found[0].permute(1, 2, 0).numpy() * 255, moved[0].numpy()


def blob(library: Library, operation: str, size: int) -> float:
    """A blob's centroid against the point the library says: px of its output, the worst of five places."""
    places = np.array([[0.4, 0.45], [0.52, 0.6], [0.61, 0.47], [0.45, 0.57], [0.5, 0.5]]) * size + (0.31, -0.22)
    worst = 0.0
    for place in places:
        grey = cases.blob(size, size, place, _SIGMA)
        image, moved = library(operation, np.repeat(grey[..., None], 3, 2).astype(np.float32), place[None])
        middle = np.rint(moved[0]).astype(int)
        reach = int(min(*(middle + 1), *(np.array(image.shape[1::-1]) - middle)) - 1)
        y, x = max(0, middle[1] - reach), max(0, middle[0] - reach)
        cut = _without_ground(np.asarray(image)[y : middle[1] + reach + 1, x : middle[0] + reach + 1, 0])
        worst = max(worst, float(np.max(np.abs(reference.centroid(cut) + (x, y) - moved[0]))))
    return worst


def _without_ground(cut: np.ndarray) -> np.ndarray:
    """The image where it is connected with the blob: borders of other greys are no part of it."""
    rows, columns = np.indices(cut.shape)
    peak = np.array(np.unravel_index(np.argmax(np.where(cut < 253, cut, 0)), cut.shape))
    near = np.hypot(rows - peak[0], columns - peak[1]) < 0.3 * cut.shape[0]
    return np.where(near, cut, 0)


def zone_plate(library: Library, size: int) -> float:
    """A zone plate shrunk 4 times, against the triangle filter of an antialiased resize: RMS, grey levels."""
    plate = cases.zone_plate(4 * size).astype(np.float32)
    image, _ = library("shrink 4 times", plate, np.array([[size, size]], np.float32))
    return float(np.sqrt(np.mean(np.square(image - reference.antialiased(plate, size)))))


def waves(library: Library, size: int) -> float:
    """Rotation, crop and enlargement of waves of 8 px, against the image computed at the places that the points of
    the library say: RMS, grey levels."""
    corners = np.array([[0.4, 0.4], [0.6, 0.4], [0.4, 0.6]]) * size
    image, moved = library("rotate, crop, enlarge", cases.smooth(size, 8.0), corners)
    matrix = np.linalg.solve(np.hstack([moved, np.ones((3, 1))]), corners).T  # output -> image
    xy = reference.move(matrix, reference.pixels(size))
    deep = ((xy > 6) & (xy < size - 7)).all(-1)
    return float(np.sqrt(np.mean(np.square(image - cases.waves(xy, 8.0))[deep])))


def lost(library: Library, size: int) -> float:
    """Return how many of three points outside the frame a mirror does not map to their place; all, if it rejects them."""
    points = np.array([[-22.0, 1308.0], [size + 5.5, 3.0], [10.0, -0.75]])
    try:
        _, moved = library("mirror", np.zeros((size, size, 3), np.float32), points)
    except ValueError:
        return float(len(points))
    expected = np.array([size - 1.0, 0]) + points * [-1, 1]
    near = [len(moved) and np.abs(moved - e).max(1).min() < 1e-3 for e in expected]
    return float(len(points) - sum(map(bool, near)))


def compare(size: int) -> list[dict]:
    """Rows {name, size, bound, ours, albumentations, kornia} at `size` px, at least 128; None where a library is not
    installed."""
    size = max(size, _LEAST)
    libraries: dict[str, Library] = {"ours": ours, "albumentations": albumentations, "kornia": kornia}
    there = {name for name in libraries if name == "ours" or importlib.util.find_spec(name)}
    probes: dict[str, tuple[float, Callable[[Library], float]]] = {
        f"blob, {name}: px": (bound, functools.partial(blob, operation=name, size=size))
        for name, bound in _KNOWN.items()
    }
    probes["zone plate shrunk 4 times: RMS, grey levels"] = 3.0, lambda library: zone_plate(library, size)
    probes["waves rotated, cropped, enlarged: RMS, grey levels"] = 4.0, lambda library: waves(library, size)
    probes["points outside the frame not returned, of 3"] = 0.0, lambda library: lost(library, size)
    return [
        {
            "name": name,
            "size": size,
            "bound": bound,
            **{n: probe(f) if n in there else None for n, f in libraries.items()},
        }
        for name, (bound, probe) in probes.items()
    ]


def lines(rows: list[dict]) -> list[str]:
    """The comparison as text."""
    names = ("ours", "albumentations", "kornia")
    title = f"same probe at {rows[0]['size']} px, each as released"
    width = max(len(row["name"]) for row in rows)
    head = f"{title:{width}}  {'bound':>6}  " + "  ".join(f"{n:>14}" for n in names)
    body = [
        f"{row['name']:{width}}  {row['bound']:>6g}  "
        + "  ".join(f"{'not installed' if row[n] is None else format(row[n], '.2g'):>14}" for n in names)
        for row in rows
    ]
    missing = [n for n in names if rows[0][n] is None]
    return [head, *body, *([f"python -m pip install {' '.join(missing)} installs what is missing"] if missing else [])]


def beyond(rows: list[dict]) -> list[dict]:
    """Return the rows in which our own value is beyond the bound."""
    return [row for row in rows if not row["ours"] <= row["bound"]]
