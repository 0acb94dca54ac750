"""Augmenters: configurations as data, and `sample`, which draws a Transform from one.

Every range is (low, high), drawn uniformly; a single number fixes it. Angles in degrees, lengths as fractions of the
frame's side; what is drawn is a record of the parameters, never an image.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxmarks import affine, keys, transform
from jaxmarks.image import MAX_VARIANCE
from jaxmarks.transform import Transform

Range = float | tuple[float, float]
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def bounds(value: Range) -> tuple[float, float]:
    """Return the ends of a range.

    Args:
        value: (low, high), or a single number for both.

    Returns:
        (low, high).

    Raises:
        TypeError: for what is no number or pair of numbers, as "12".
        ValueError: for more or fewer than two.
    """
    low, high = (value, value) if isinstance(value, int | float) else value
    return low + 0.0, high + 0.0  # not float(): "12" is no range


def _check(config: object, **limits: tuple[float, float]) -> None:
    """Each named field a range within its limits, both ends included."""
    for name, (least, most) in limits.items():
        value, place = getattr(config, name), f"{type(config).__name__}.{name}"
        try:
            low, high = bounds(value)
        except (TypeError, ValueError):
            raise ValueError(f"{place} must be a number or [low, high], got {value!r}") from None
        if not (least <= low <= high <= most):
            ordered = ", the lower end first" if isinstance(value, tuple | list) else ""
            raise ValueError(f"{place} must lie in {least:g}..{most:g}{ordered}, got {value!r}")


def _check_single(config: object, name: str, kind: type, most: float) -> None:
    """The named field one number of 0..most: a probability or a count has no range."""
    value = getattr(config, name)
    if not isinstance(value, int | kind) or not 0 <= value <= most:
        place = f"{type(config).__name__}.{name}"
        raise ValueError(f"{place} must be a single {kind.__name__} of 0..{most:g}, got {value!r}")


@dataclass(frozen=True)
class Config:
    """Base of a sampler's configuration: a frozen dataclass of ranges, with its function in SAMPLERS. A field that is a
    `float` and no Range is a probability."""

    always_draws: ClassVar[bool] = False  # whether it draws at random however its fields are fixed


@dataclass(frozen=True)
class Identity(Config):
    """Leaves the image as it is."""


@dataclass(frozen=True)
class Geometry(Config):
    """Every affine motion, in this order: mirror, side view, stretch, shear, scale, rotation, shift, crop."""

    rotation: Range = 0.0  # degrees about the centre; positive turns clockwise on the screen
    scale: Range = 1.0
    stretch: Range = 1.0  # width over height: x by sqrt(r), y by 1 / sqrt(r)
    shear: Range = 0.0  # x moves by this times y
    shift_x: Range = 0.0  # fractions of the side
    shift_y: Range = 0.0
    crop: Range = 1.0  # side of a window, a fraction of the frame's, enlarged to the full frame
    crop_x: Range = (0.0, 1.0)  # where the window lies in the room it has: 0 left, 1 right
    crop_y: Range = (0.0, 1.0)
    mirror: float = 0.0  # probability
    side_view: Range = 0.0  # degrees a flat face is turned away: x shrinks by the cosine

    def __post_init__(self):
        _check(self, rotation=(-360, 360), scale=(0.1, 10), stretch=(0.1, 10), shear=(-2, 2), shift_x=(-1, 1))
        _check(self, shift_y=(-1, 1), crop=(0.1, 1), crop_x=(0, 1), crop_y=(0, 1), side_view=(-80, 80))
        _check_single(self, "mirror", float, 1)


@dataclass(frozen=True)
class Colour(Config):
    """Brightness (x + 255 b), then contrast ((x - 128) c + 128), then saturation or grey, then tint."""

    brightness: Range = 0.0
    contrast: Range = 1.0
    saturation: Range = 1.0
    grey: float = 0.0  # probability
    tint: Range = 0.0  # each channel times 1 + its own draw

    def __post_init__(self):
        _check(self, brightness=(-1, 1), contrast=(0.05, 5), saturation=(0, 5), tint=(-0.9, 2))
        _check_single(self, "grey", float, 1)


@dataclass(frozen=True)
class Blur(Config):
    """A Gaussian of this variance in output pixels squared."""

    variance: Range = 0.0

    def __post_init__(self):
        _check(self, variance=(0, MAX_VARIANCE))


@dataclass(frozen=True)
class Bars(Config):
    """Bars of one colour along the sides, each side with its own chance and depth, as round a letterboxed film."""

    chance: float = 0.5  # of each side
    depth: Range = (0.02, 0.2)
    colour: Range = 0.0  # grey level

    def __post_init__(self):
        _check(self, depth=(0, 1), colour=(0, 255))
        _check_single(self, "chance", float, 1)


@dataclass(frozen=True)
class Caption(Config):
    """A band across the image with strokes on it, as of writing."""

    always_draws = True

    top: Range = (0.6, 0.85)
    height: Range = (0.05, 0.15)
    ground: Range = (0.0, 255.0)  # grey level of the band; its strokes are at the other end of the scale
    strokes: int = 8

    def __post_init__(self):
        _check(self, top=(-1, 1), height=(0, 1), ground=(0, 255))
        _check_single(self, "strokes", int, 64)


@dataclass(frozen=True)
class CutOut(Config):
    """A square of one random colour, anywhere."""

    always_draws = True

    side: Range = (0.1, 0.3)

    def __post_init__(self):
        _check(self, side=(0, 1))


@dataclass(frozen=True)
class Chain(Config):
    """All of the parts, one after another."""

    parts: tuple[Config, ...]


@dataclass(frozen=True)
class OneOf(Config):
    """One of the parts, drawn with these probabilities."""

    parts: tuple[Config, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self):
        if not self.parts or len(self.parts) != len(self.probabilities):
            raise ValueError(
                f"OneOf has {len(self.parts)} parts and {len(self.probabilities)} probabilities: give one each"
            )
        numbers = all(isinstance(p, int | float) and p >= 0 for p in self.probabilities)
        if not numbers or not math.isclose(sum(self.probabilities), 1, abs_tol=1e-6):
            raise ValueError(f"OneOf.probabilities must be 0 or more and sum to 1, got {self.probabilities}")


def sometimes(part: Config, chance: float) -> OneOf:
    """Return a part that is applied with a probability, else the image as it is.

    Args:
        part: an augmenter's configuration.
        chance: probability in 0..1.

    Returns:
        the choice between the part and `Identity`.

    Raises:
        ValueError: for a chance outside 0..1.
    """
    return OneOf((part, Identity()), (chance, 1 - chance))


def _uniform(key: jax.Array, config: object, name: str, shape: tuple[int, ...] = ()) -> jax.Array:
    """Each parameter has a key of its own, named after it, so that no two can be correlated."""
    low, high = bounds(getattr(config, name))
    if low == high:
        return jnp.full(shape, low, jnp.float32)
    return jax.random.uniform(keys.named(key, name), shape, jnp.float32, low, high)


def _happens(key: jax.Array, name: str, chance: float, shape: tuple[int, ...] = ()) -> jax.Array:
    return jax.random.uniform(keys.named(key, name), shape) < chance


def _identity(key: jax.Array, config: Identity, size: int) -> Transform:
    return transform.identity()


def _geometry(key: jax.Array, config: Geometry, size: int) -> Transform:
    draw = functools.partial(_uniform, key, config)
    centre = (size - 1) / 2
    flip = jnp.where(_happens(key, "mirror", config.mirror), -1.0, 1.0)
    narrow = jnp.cos(jnp.deg2rad(draw("side_view")))
    wide = jnp.sqrt(draw("stretch"))
    shear, scale, angle = draw("shear"), draw("scale"), jnp.deg2rad(draw("rotation"))
    cos, sin = jnp.cos(angle) * scale, jnp.sin(angle) * scale
    x, y = flip * narrow * wide, 1 / wide  # the diagonal before shear and rotation
    linear = (cos * x, (cos * shear - sin) * y, sin * x, (sin * shear + cos) * y)
    moved = affine.compose(
        affine.about(linear, centre), affine.translation(size * draw("shift_x"), size * draw("shift_y"))
    )
    window = draw("crop")
    room = size * (1 - window)
    enlarge = affine.compose(
        affine.translation(-room * draw("crop_x"), -room * draw("crop_y")), affine.resize(1 / window, 1 / window)
    )
    return transform.from_affine(affine.compose(moved, enlarge))


def _colour(key: jax.Array, config: Colour, size: int) -> Transform:
    draw = functools.partial(_uniform, key, config)
    brightness, contrast = draw("brightness"), draw("contrast")
    saturation = jnp.where(_happens(key, "grey", config.grey), 0.0, draw("saturation"))
    mix = saturation * jnp.eye(3) + (1 - saturation) * jnp.array(_LUMA)[None, :]
    gain = 1 + draw("tint", (3,))
    offset = contrast * (255 * brightness - 128) + 128
    colour = gain[:, None] * jnp.concatenate([contrast * mix, jnp.broadcast_to(offset, (3, 1))], 1)
    return transform.identity()._replace(colour=colour)


def _blur(key: jax.Array, config: Blur, size: int) -> Transform:
    return transform.identity()._replace(blur=_uniform(key, config, "variance"))


def _boxes(x: jax.Array, y: jax.Array, width: jax.Array, height: jax.Array, rgb: jax.Array) -> Transform:
    """Covers f32[K, 9] from upright boxes [K] in pixels of area: x from the frame's left edge, y from its top."""
    zero = jnp.zeros_like(x)
    maps = jnp.stack([width, zero, x - 0.5, zero, height, y - 0.5], -1)
    return transform.identity()._replace(covers=jnp.concatenate([maps, jnp.broadcast_to(rgb, (x.shape[0], 3))], 1))


def _bars(key: jax.Array, config: Bars, size: int) -> Transform:
    there = _happens(key, "chance", config.chance, (4,))
    depth = jnp.where(there, jnp.round(size * _uniform(key, config, "depth", (4,))), 0.0)
    left, right, top, bottom = depth
    whole = jnp.float32(size)
    x, y = (
        jnp.stack([0 * left, whole - right, 0 * top, 0 * top]),
        jnp.stack([0 * left, 0 * left, 0 * top, whole - bottom]),
    )
    width, height = jnp.stack([left, right, whole, whole]), jnp.stack([whole, whole, top, bottom])
    return _boxes(
        x, y, jnp.where(depth > 0, width, 0), jnp.where(depth > 0, height, 0), _uniform(key, config, "colour")
    )


def _caption(key: jax.Array, config: Caption, size: int) -> Transform:
    top, height = size * _uniform(key, config, "top"), size * _uniform(key, config, "height")
    ground = _uniform(key, config, "ground")
    band = _boxes(jnp.zeros(1), top[None], jnp.full(1, float(size)), height[None], ground)
    n = config.strokes
    start = size * (0.1 + 0.8 * (jnp.arange(n) + jax.random.uniform(keys.named(key, "start"), (n,))) / max(n, 1))
    width = size * jax.random.uniform(keys.named(key, "width"), (n,), minval=0.01, maxval=0.08)
    tall = height * jax.random.uniform(keys.named(key, "tall"), (n,), minval=0.3, maxval=0.7)
    ink = jnp.where(ground < 128, 255.0, 0.0)
    strokes = _boxes(start, jnp.broadcast_to(top, (n,)) + (height - tall) / 2, width, tall, ink)
    return transform.compose(band, strokes)


def _cut_out(key: jax.Array, config: CutOut, size: int) -> Transform:
    side = size * _uniform(key, config, "side", (1,))
    x, y = jax.random.uniform(keys.named(key, "place"), (2, 1)) * (size - side)[None]
    return _boxes(x, y, side, side, jax.random.uniform(keys.named(key, "colour"), (3,), maxval=255.0))


def _chain(key: jax.Array, config: Chain, size: int) -> Transform:
    drawn = [sample(keys.named(key, f"part {n}"), part, size) for n, part in enumerate(config.parts)]
    return functools.reduce(transform.compose, drawn, transform.identity())


def _one_of(key: jax.Array, config: OneOf, size: int) -> Transform:
    """Every part's few numbers are drawn and one record is taken: the images are rendered once, whatever it is."""
    drawn = [sample(keys.named(key, f"part {n}"), part, size) for n, part in enumerate(config.parts)]
    most = max(t.covers.shape[0] for t in drawn)
    padded = [t._replace(covers=jnp.pad(t.covers, ((0, most - t.covers.shape[0]), (0, 0)))) for t in drawn]
    ends = jnp.cumsum(jnp.array(config.probabilities[:-1], jnp.float32))
    chosen = jnp.sum(jax.random.uniform(keys.named(key, "which")) >= ends)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves)[chosen], *padded)


SAMPLERS: dict[type[Config], Callable[..., Transform]] = {
    Identity: _identity,
    Geometry: _geometry,
    Colour: _colour,
    Blur: _blur,
    Bars: _bars,
    Caption: _caption,
    CutOut: _cut_out,
    Chain: _chain,
    OneOf: _one_of,
}


def sample(key: jax.Array, config: Config, size: int) -> Transform:
    """Return a Transform of the size x size input frame to itself, drawn by the key alone.

    Args:
        key: a typed key.
        config: an augmenter's configuration.
        size: side of the frame in pixels.

    Returns:
        a Transform of one image; the number of its covers follows from the configuration.
    """
    return SAMPLERS[type(config)](key, config, size)
