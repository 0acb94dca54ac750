"""Cases of the audit: every sampler with wide ranges, every preset, every view; and the images to probe them with."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import augment, keys, tta
from jaxmarks.augment.samplers import Bars, Blur, Caption, Chain, Colour, Config, CutOut, Geometry, sample
from jaxmarks.transform import Transform

SAMPLERS: dict[str, Config] = {
    "rotation": Geometry(rotation=(-180, 180)),
    "scale": Geometry(scale=(0.5, 2.0)),
    "stretch": Geometry(stretch=(0.5, 2.0)),
    "shear": Geometry(shear=(-0.5, 0.5)),
    "shift": Geometry(shift_x=(-0.3, 0.3), shift_y=(-0.3, 0.3)),
    "crop": Geometry(crop=(0.5, 1.0)),
    "mirror": Geometry(mirror=0.5),
    "side view": Geometry(side_view=(-60, 60)),
    "colour": Colour(
        brightness=(-0.3, 0.3), contrast=(0.5, 1.5), saturation=(0.2, 1.8), grey=0.1, tint=(-0.2, 0.2)
    ),
    "blur": Blur((0.0, 9.0)),
    "bars": Bars(chance=0.5, depth=(0.02, 0.2), colour=(0.0, 255.0)),
    "caption": Caption(),
    "cut out": CutOut(),
    "chain": Chain(
        (
            Geometry(rotation=(-90, 90), scale=(0.5, 1.2), shift_x=(-0.2, 0.2), shift_y=(-0.2, 0.2), mirror=0.5),
            Colour(brightness=(-0.1, 0.1), contrast=(0.7, 1.3)),
            Blur((0.0, 4.0)),
            CutOut(),
        )
    ),
}  # fmt: skip
CASES: dict[str, Config] = {**SAMPLERS, **augment.PRESETS}
VIEWS = {"views: standard": True, "views: without mirror": False}  # name -> whether the points' mirror is known
_PADDED = 32  # covers of a probed record: one shape, one compilation


def choose(names: str) -> list[str]:
    """The cases of a comma-separated list, all for an empty one. Raises ValueError naming the known ones."""
    known = [*CASES, *VIEWS]
    chosen = [n.strip() for n in names.split(",")] if names else known
    if unknown := [n for n in chosen if n not in known]:
        raise ValueError(f"`augment` {unknown[0]!r} is not known: choose of {', '.join(known)}")
    return chosen


def records(case: str, size: int, count: int, seed: int = 0) -> Transform:
    """`count` drawn records of a case, or its views, with a leading axis."""
    if case in VIEWS:
        return padded(tta.views("standard", VIEWS[case], size))
    return padded(drawn(CASES[case], size, count, seed))


def drawn(config: Config, size: int, count: int, seed: int = 0, draw: Callable = sample) -> Transform:
    """`count` records of a configuration, as a run draws them: by (epoch, position) in the stream "augment"."""
    stream = keys.named(keys.root(seed), "augment")
    positions = jnp.asarray(keys.draws(0, count, count), jnp.int32)
    return jax.vmap(lambda position: draw(keys.at(stream, position), config, size))(positions)


def padded(t: Transform) -> Transform:
    """The same records, with unused covers up to a number that all cases share."""
    return t._replace(covers=jnp.pad(t.covers, ((0, 0), (0, _PADDED - t.covers.shape[1]), (0, 0))))


def some(t: Transform, count: int) -> Transform:
    """The first `count` of a set of records."""
    return jax.tree.map(lambda leaf: leaf[:count], t)


def geometry_of(t: Transform) -> Transform:
    """Records that only move and blur: no colour, no covers."""
    count = len(t.affine)
    return t._replace(colour=jnp.broadcast_to(jnp.eye(3, 4), (count, 3, 4)), covers=jnp.zeros((count, 0, 9)))


def scattered(size: int, count: int, seed: int = 0) -> np.ndarray:
    """f32[count, 2]: points in and around the frame, half of them up to half a side outside it; then far ones."""
    near = np.random.RandomState(seed).uniform(-0.5 * size, 1.5 * size, (count - 4, 2))
    far = np.array([[-22.0, 1308.0], [1308.0, -22.0], [-999.5, 640.25], [0.0, 0.0]])
    return np.concatenate([near, far]).astype(np.float32)


def swaps(count: int) -> np.ndarray:
    """i32[count]: an order under mirroring with pairs, and one point that keeps its name."""
    order = np.arange(count, dtype=np.int32)
    order[1:] = order[1:][::-1]
    return order


def smooth(size: int, period: float) -> np.ndarray:
    """f32[size, size, 3]: waves of `period` pixels between 40 and 215 grey levels, nothing clipped."""
    return waves(np.indices((size, size)).transpose(1, 2, 0)[..., ::-1], period).astype(np.float32)


def waves(xy: np.ndarray, period: float) -> np.ndarray:
    """f64[..., 3]: what `smooth` samples, at any xy [..., 2]."""
    turns = ((1.0, 0.3), (-0.4, 0.9), (0.7, -0.7))
    phases = [2 * np.pi * (a * xy[..., 0] + b * xy[..., 1]) / period / np.hypot(a, b) for a, b in turns]
    return 127.5 + 87.5 * np.sin(np.stack(phases, -1))


def zone_plate(size: int) -> np.ndarray:
    """u8[size, size, 3]: circles ever finer outwards, to one pixel of period 2 at the sides' middles."""
    axis = np.arange(size) - (size - 1) / 2
    radius = axis[None, :] ** 2 + axis[:, None] ** 2
    grey = 127.5 + 127.5 * np.cos(np.pi * radius / size)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2)


def blob(width: int, height: int, centre: np.ndarray, sigma: float) -> np.ndarray:
    """f64[height, width]: a Gaussian of height 250 on black, its centre at (x, y)."""
    across, down = (
        np.exp(-((np.arange(n) - c) ** 2) / (2 * sigma**2)) for n, c in zip((width, height), centre, strict=True)
    )
    return 250 * down[:, None] * across
