"""Probes of randomness: independence of the drawn parameters, and the cost of a mix.

Parameters are solved for from the finished matrices, together, so that nothing is taken on trust about keys.
"""

import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import transform
from jaxmarks.augment.samplers import Bars, Blur, Caption, Chain, Colour, Config, CutOut, Geometry, sample, sometimes
from pipelines.certificate import cases, reference

COUNT = 40_000  # keys: by chance a correlation is 0.005 then, and one of 0.03 six deviations away
_SIZE = 128
_CENTRE = (_SIZE - 1) / 2
Draws = dict[str, np.ndarray]  # parameter -> f64[keys]

MOTION = Geometry(
    rotation=(-45, 45), scale=(0.7, 1.3), stretch=(0.75, 1.33), shear=(-0.15, 0.15), shift_x=(-0.1, 0.1),
    shift_y=(-0.1, 0.1), mirror=0.5,
)  # fmt: skip
WINDOW = Geometry(crop=(0.6, 0.95), side_view=(5, 60), mirror=0.5)
LIGHT = Colour(brightness=(-0.3, 0.3), contrast=(0.5, 1.5), saturation=(0.2, 1.8))
TINT = Colour(grey=0.5, tint=(-0.2, 0.2))
MIX = Chain((
    Geometry(rotation=(-45, 45)), Colour(brightness=(-0.3, 0.3)), Blur((0.1, 2.0)), sometimes(Colour(contrast=2.0), 0.5),
    sometimes(Geometry(scale=2.0), 0.5), Bars(chance=0.5, depth=(0.02, 0.2)), CutOut(),
))  # fmt: skip


def motion(t: reference.Record) -> Draws:
    """The parameters of MOTION: a rotation times a scale times a shear times a diagonal, and a shift."""
    m = t.affine
    area = np.linalg.det(m[:, :, :2])
    flip, scale = np.sign(area), np.sqrt(np.abs(area))
    first, second = m[:, :, 0] * flip[:, None], m[:, :, 1]
    wide = np.linalg.norm(first, axis=1) / scale
    shear = np.sum(first * second, 1) / scale**2
    shift = m[:, :, :2] @ np.full(2, _CENTRE) + m[:, :, 2] - _CENTRE
    angle = np.rad2deg(np.arctan2(first[:, 1], first[:, 0]))
    return {"rotation": angle, "scale": scale, "stretch": wide**2, "shear": shear,
            "shift_x": shift[:, 0] / _SIZE, "shift_y": shift[:, 1] / _SIZE, "mirror": flip}  # fmt: skip


def window(t: reference.Record) -> Draws:
    """The parameters of WINDOW."""
    m = t.affine
    crop = 1 / m[:, 1, 1]
    centre = m[:, :, :2] @ np.full(2, _CENTRE) + m[:, :, 2]
    places = (_CENTRE + 0.5 - (centre + 0.5) * crop[:, None]) / (_SIZE * (1 - crop[:, None]))
    return {"crop": crop, "crop_x": places[:, 0], "crop_y": places[:, 1], "mirror": np.sign(m[:, 0, 0]),
            "side_view": np.rad2deg(np.arccos(np.clip(np.abs(m[:, 0, 0]) * crop, 0, 1)))}  # fmt: skip


def light(t: reference.Record) -> Draws:
    """The parameters of LIGHT."""
    contrast = t.colour[:, 0, :3].sum(1)
    brightness = ((t.colour[:, 0, 3] - 128) / contrast + 128) / 255
    return {"brightness": brightness, "contrast": contrast,
            "saturation": (t.colour[:, 0, 0] - t.colour[:, 1, 0]) / contrast}  # fmt: skip


def tint(t: reference.Record) -> Draws:
    """The parameters of TINT."""
    gains = t.colour[:, :, :3].sum(2) - 1
    grey = (np.abs(t.colour[:, 0, 1]) > 0.01).astype(float)
    return {"grey": grey, "tint red": gains[:, 0], "tint green": gains[:, 1], "tint blue": gains[:, 2]}


def bars(t: reference.Record) -> Draws:
    """The depths of all four bars and their colour; 0 where it is missing."""
    depths = {
        name: t.covers[:, k, n] for k, (name, n) in enumerate((("left", 0), ("right", 0), ("top", 4), ("bottom", 4)))
    }
    return {**depths, "colour": t.covers[:, 0, 6]}


def caption(t: reference.Record) -> Draws:
    """The band, and each stroke's place, width and height in the band."""
    band, strokes = t.covers[:, 0], t.covers[:, 1:]
    found = {"top": band[:, 5], "height": band[:, 4], "ground": band[:, 6]}
    for k in range(strokes.shape[1]):
        found |= {
            f"start {k}": strokes[:, k, 2],
            f"width {k}": strokes[:, k, 0],
            f"tall {k}": strokes[:, k, 4] / band[:, 4],
        }
    return found


def cut_out(t: reference.Record) -> Draws:
    """The square's side, place in the room it has, and colour."""
    square = t.covers[:, -1]
    room = _SIZE - square[:, 0]
    return {"side": square[:, 0], "x": (square[:, 2] + 0.5) / room, "y": (square[:, 5] + 0.5) / room,
            "red": square[:, 6], "green": square[:, 7], "blue": square[:, 8]}  # fmt: skip


def mix(t: reference.Record) -> Draws:
    """One parameter or choice of each part of MIX."""
    angle = np.arctan2(t.affine[:, 1, 0], t.affine[:, 0, 0])
    contrast = t.colour[:, 0, 0]
    area = np.linalg.det(t.affine[:, :, :2])
    before = (t.colour[:, 0, 3] - np.where(contrast > 1.5, -128, 0)) / contrast
    chosen = {"contrast or not": contrast, "scale or not": area, "blur": t.blur / area.round()}
    return {"rotation": angle, "brightness": before, **chosen, "bar": t.covers[:, 0, 0], "cut out": cut_out(t)["x"]}


SOLVED: dict[str, tuple[Config, Callable[[reference.Record], Draws]]] = {
    "motion": (MOTION, motion), "crop": (WINDOW, window), "colour": (LIGHT, light), "tint": (TINT, tint),
    "bars": (Bars(chance=0.5, depth=(0.02, 0.2), colour=(0.0, 255.0)), bars), "caption": (Caption(), caption),
    "cut out": (CutOut(), cut_out), "parts of a chain": (MIX, mix),
}  # fmt: skip


def drawn(name: str, count: int = COUNT, draw: Callable = sample) -> Draws:
    """The parameters of `count` draws by the keys of a run's first draws."""
    config, solve = SOLVED[name]
    records = cases.drawn(config, _SIZE, count, draw=draw)
    return solve(reference.record(records))


def correlation(found: Draws) -> tuple[float, str]:
    """The largest absolute correlation of two parameters, and which they are."""
    constant = [name for name, values in found.items() if np.ptp(values) == 0]
    if constant:
        return float("inf"), f"{constant[0]} is constant"
    matrix = np.corrcoef(np.stack(list(found.values())))
    return max(
        (abs(float(matrix[i, j])), f"{a} ~ {b}") for (i, a), (j, b) in itertools.combinations(enumerate(found), 2)
    )


def _equations(jaxpr) -> Iterator:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            if hasattr(inner, "eqns"):
                yield from _equations(getattr(inner, "jaxpr", inner))


def gathers(config: Config, size: int = 32, render: Callable = transform.apply_image, draw: Callable = sample) -> int:
    """Return the number of gathers over a whole image in sampling and rendering under `config`, including branches."""

    def whole(seed, image):
        return render(draw(jax.random.key(seed), config, size), image, size)

    traced = jax.make_jaxpr(whole)(jnp.uint32(0), jnp.zeros((size, size, 3), jnp.uint8))
    found = (e for e in _equations(traced.jaxpr) if e.primitive.name == "gather")
    return sum(int(np.prod(e.outvars[0].aval.shape)) >= size * size for e in found)
