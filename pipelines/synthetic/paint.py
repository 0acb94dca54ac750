"""Skin colours and hair on the coarse grid, and features as curves on the fine one.

The fine grid is FINE times the coarse one in both directions; a painted image of it is draped over the
head.
"""

from functools import lru_cache

import numpy as np

from pipelines.synthetic import head, raster
from pipelines.synthetic.draws import Moment, Person
from pipelines.synthetic.layout import Curves

FINE = 4
_WHITE, _TEETH, _MOUTH, _TONGUE = (240, 238, 234), (246, 243, 232), (88, 26, 30), (172, 74, 80)


def texels(at: np.ndarray) -> np.ndarray:
    """(theta, v) f[n, 2] as (x, y) on the fine grid."""
    theta, v = head.grid()
    column = np.interp(at[:, 0], theta, np.arange(head.COLUMNS))
    row = np.interp(at[:, 1], v, np.arange(head.ROWS))
    return (np.stack([column, row], 1) + 0.5) * FINE - 0.5


@lru_cache(maxsize=1)
def ground() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """theta, v, the smooth head (x, y, z) and how far it faces the front: f32[ROWS, COLUMNS(, 3)]."""
    theta, v = head.grid()
    turn, ring = np.meshgrid(theta, v)
    single = np.float32
    front = np.clip(np.cos(turn) * 3, 0, 1)
    return (
        turn.astype(single),
        ring.astype(single),
        head.base(turn, ring).astype(single),
        front.astype(single),
    )


@lru_cache(maxsize=4)
def noise(along: int = 1) -> np.ndarray:
    """A fixed field of unit noise f32[1024, 1024], cut up by all faces; in strands `along` rows long."""
    field = np.random.RandomState(971).standard_normal((1024, 1024)).astype(np.float32)
    return np.sum([np.roll(field, k, 0) for k in range(along)], 0) / np.float32(along**0.5)


def _ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to low, 1 from high, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _blob(x: np.ndarray, y: np.ndarray, wide: float, high: float) -> np.ndarray:
    return np.exp(-((x / wide) ** 2) - (y / high) ** 2)


@lru_cache(maxsize=32)
def hair_mask(style: str) -> np.ndarray:
    """Return the share of each coarse vertex under hair, f[ROWS, COLUMNS] in 0..1."""
    turn, ring, *_ = ground()
    degrees = np.abs(np.degrees(turn))
    front = {"fringe": 4.85, "bob": 4.75, "beanie": 4.3, "curls": 3.75, "crop": 3.7}.get(style, 3.6)
    side = {"long": 7.5, "bob": 7.5, "beanie": 5.3, "fringe": 6.0}.get(style, 5.4)
    at = (0, 28, 52, 66, 80, 92, 104, 130, 180)
    line = np.interp(degrees, at, (front, front + 0.1, front + 0.35, 4.6, side, side + 0.2, 8.3, 10.6, 11.2))
    if style == "short":
        line = line + 0.3 * np.sin(turn) * np.cos(turn / 2) ** 4
    if style in ("fringe", "bob"):
        line = line + 0.09 * np.sin(11 * turn + 2 * np.sin(5 * turn)) * (degrees < 60)
    if style == "beanie":
        line = np.interp(degrees, (0, 60, 100, 180), (4.2, 4.5, 5.4, 6.4))
    mask = _ramp(line - ring, -0.1, 0.16)
    if style == "bald":
        return np.zeros(mask.shape)
    return mask * _ramp(degrees, 66, 80) * _ramp(ring, 4.2, 5.2) if style == "crown" else mask


@lru_cache(maxsize=8)
def beard_mask(beard: str) -> np.ndarray:
    """Return the share of each coarse vertex under beard, f[ROWS, COLUMNS] in 0..1."""
    turn, ring, smooth, front = ground()
    x, y = np.abs(smooth[..., 0]), smooth[..., 1]
    lips = 1 - np.exp(-(((x / 0.26) ** 2 + ((y - 0.75) / 0.1) ** 2) ** 2))
    above = _ramp(y, 0.545, 0.6) * _ramp(-x, -0.36, -0.27) * _ramp(-y, -0.8, -0.7)
    chin = _ramp(y, 0.84, 0.93) * _ramp(-x, -0.3, -0.19)
    round_ = _ramp(x, 0.22, 0.3) * _ramp(-x, -0.38, -0.31) * _ramp(y, 0.55, 0.62)
    cheeks = _ramp(y, 0.52, 0.68) * _ramp(y + (0.62 - x) * -0.5, 0.28, 0.44)
    sides = _ramp(np.abs(np.degrees(turn)), 58, 70) * _ramp(y, 0.05, 0.2) * _ramp(-np.abs(np.degrees(turn)), -97, -84)
    full = np.maximum(cheeks * _ramp(-np.abs(np.degrees(turn)), -100, -86), np.maximum(sides, above))
    full = np.maximum(full, chin)
    kinds = {
        "moustache": above,
        "goatee": np.maximum(np.maximum(above, chin), round_),
        "full": full,
        "stubble": full,
    }
    return kinds.get(beard, np.zeros(x.shape)) * lips * front**0.3 * _ramp(-ring, -13.6, -12.6)


def skin(person: Person, moment: Moment, part: tuple[slice, ...]) -> np.ndarray:
    """The colours of a part of the coarse grid, evenly lit, with hair and beard: f32[rows, columns, 3]."""
    _, ring, smooth, front = (field[part] for field in ground())
    x, y, tone = np.abs(smooth[..., 0]), smooth[..., 1], person.skin.astype(np.float32)
    red, dark = tone * np.array([1.0, 0.8, 0.78], np.float32), tone * np.array([0.62, 0.52, 0.5], np.float32)
    flush = 0.6 * _blob(x - 0.42, y - 0.34, 0.17, 0.13) * (0.7 + 0.5 * person.rouge)
    flush = (flush + 0.45 * _blob(x, y - head.nose_tip(person), 0.15, 0.12)) * front
    hollow = 0.34 * _blob(x - 0.3, y + 0.02, 0.19, 0.11) + 0.35 * _blob(x - 0.2, y - 0.5, 0.14, 0.03)
    hollow = (
        hollow
        + 0.35 * _blob(x, y - 0.93 - 0.16 * moment.gap, 0.2, 0.035)
        + 0.1 * person.age * _blob(x - 0.3, y - 0.12, 0.14, 0.03)
    )
    hollow = hollow * front + 0.55 * _ramp(ring, 12.5, 14.0) * (0.35 + 0.65 * front)
    colour = tone + (red - tone) * flush[..., None]
    colour = colour + (dark - colour) * np.clip(hollow, 0, 1)[..., None]
    growth = beard_mask(person.beard)[part] * {"stubble": 0.38}.get(person.beard, 0.93)
    colour = colour + ((person.hair * 0.92).astype(np.float32) - colour) * growth[..., None]
    cover = hair_mask(person.style)[part][..., None]
    return colour + (cap_colour(person, moment).astype(np.float32) - colour) * cover


def cap_colour(person: Person, moment: Moment) -> np.ndarray:
    """The colour on top: the hair's, or a knitted cap's in stripes, f[3] or f[ROWS, 1, 3]."""
    if person.style != "beanie":
        return person.hair
    _, ring = np.meshgrid(np.zeros(1), head.grid()[1])
    stripe = (np.sin(ring * 5.5) > 0.55) | (ring > 3.7)
    other = np.array([244.0, 238, 224]) if moment.cloth.sum() < 500 else np.array([190.0, 60, 56])
    return np.where(stripe[..., None], other, person.skin[::-1] * 0.2 + np.array([60.0, 70, 120]) * 0.8)


def thickness(person: Person) -> np.ndarray:
    """Return the thickness of hair and beard in head units, f[ROWS, COLUMNS]."""
    turn, ring, *_ = ground()
    deep = {
        "crop": 0.025,
        "short": 0.07,
        "quiff": 0.075,
        "fringe": 0.085,
        "curls": 0.2,
        "bob": 0.11,
        "long": 0.09,
    }
    out = hair_mask(person.style) * deep.get(person.style, 0.05) * (0.45 + 0.55 * _ramp(-ring, -5.5, -3.5))
    if person.style == "quiff":
        out = out + 0.16 * hair_mask("quiff") * _blob(turn, ring - 2.7, 0.9, 1.0)
    if person.style == "curls":
        lumps = np.sin(turn * 13 + 2 * np.sin(ring * 3)) * np.sin(ring * 4.2 + np.sin(turn * 5))
        out = out * (1 + 0.16 * lumps)
    beard = {"goatee": 0.03, "full": 0.05, "moustache": 0.02}.get(person.beard, 0.0)
    return out + beard * beard_mask(person.beard)


def grained(image: np.ndarray, person: Person, part: tuple[slice, ...], rs: np.random.RandomState) -> np.ndarray:
    """The fine grid u8[rows, columns, 3] of a part with strands of hair and pores of skin."""
    rows, columns = image.shape[:2]
    top, side = rs.randint(0, 1024 - rows), rs.randint(0, 1024 - columns)
    field = noise(1 if person.style in ("curls", "crown", "beanie") else 6)[top : top + rows, side : side + columns]
    cover = np.maximum(hair_mask(person.style), beard_mask(person.beard) * 0.9)[part]
    strong = raster.enlarge((1.6 + 14.4 * cover).astype(np.float32), FINE)
    return raster.shaded(image, (field * strong + 100).astype(np.uint8), 100)


def _eye(image: np.ndarray, at: dict[str, np.ndarray], side: str, person: Person, moment: Moment) -> None:
    """One eye: white, iris, pupil and catch light inside the lids; lashes and the fold above."""
    outline, iris, pupil = at[f"eye_{side}"], at[f"iris_{side}"], at[f"pupil_{side}"]
    spark = pupil + np.array([[np.sign(moment.light[0]) * 0.28, -0.34]]) * (iris.max(0) - iris.min(0)) / 2
    ring = np.linspace(0, 2 * np.pi, 10)[:, None]
    spark = spark + 1.9 * np.concatenate([np.cos(ring), np.sin(ring)], 1)

    def ball(layer: np.ndarray, origin: np.ndarray) -> None:
        layer[:] = _WHITE
        raster.stroke(layer, outline[:33] + (0, 2) - origin, np.array(_WHITE) * 0.72, 4)
        raster.fill(layer, iris - origin, person.iris * 0.55)
        for size, colour in ((0.86, person.iris * 1.15), (0.46, np.array([16.0, 14, 16]))):
            raster.fill(layer, pupil + (iris - pupil) * size - origin, colour)
        raster.fill(layer, spark - origin, (255, 255, 255))

    dark = person.skin * 0.25
    raster.inside(image, outline, ball)
    raster.stroke(image, at[f"fold_{side}"], person.skin * 0.66, 1)
    raster.stroke(image, np.concatenate([outline[32:], outline[:1]]), person.skin * 0.6, 1)
    raster.stroke(image, outline[:33], dark, 2 + person.rouge)


def _mouth(image: np.ndarray, at: dict[str, np.ndarray], person: Person, moment: Moment) -> None:
    """The lips, and between them teeth and tongue."""
    flesh = person.skin * (0.86, 0.62, 0.62) + np.array([12.0, 0, 4])
    flesh = flesh + (np.array([186.0, 44, 62]) - flesh) * 0.75 * person.rouge
    top, top_in, low_in, low = (at[name] for name in ("lip_top", "lip_top_in", "lip_low_in", "lip_low"))
    hole = np.concatenate([top_in, low_in[::-1]])
    raster.fill(image, np.concatenate([top, top_in[::-1]]), flesh * 0.88)
    raster.fill(image, np.concatenate([low_in, low[::-1]]), flesh)
    raster.stroke(image, low[9:23] * 0.5 + low_in[9:23] * 0.5, np.minimum(flesh * 1.12 + 8, 255), 2)
    drop = low_in[16, 1] - top_in[16, 1]

    def cavity(layer: np.ndarray, origin: np.ndarray) -> None:
        layer[:] = _MOUTH
        deep = min(drop * (0.62 if moment.smile > 0.3 else 0.3), 15.0)
        centre, ring = low_in[15:17].mean(0), np.linspace(0, 2 * np.pi, 24)[:, None]
        tongue = centre + np.concatenate([np.cos(ring) * 20, np.sin(ring) * drop * 0.4], 1)
        raster.fill(layer, tongue - origin, _TONGUE)
        raster.fill(layer, np.concatenate([top_in, top_in[::-1] + (0, deep)]) - origin, _TEETH)
        for k in range(6, 27, 4):
            raster.stroke(layer, np.stack([top_in[k], top_in[k] + (0, deep)]) - origin, (214, 208, 196), 1)

    if drop > 2.5:
        raster.inside(image, hole, cavity)
    raster.stroke(image, top_in if drop > 2.5 else (top_in + low_in) / 2, flesh * 0.5, 1)


def _lines(image: np.ndarray, at: dict[str, np.ndarray], person: Person, moment: Moment) -> np.ndarray:
    """Soft folds of the skin (beside the mouth, on an old forehead), as shade over the painted grid."""
    shade = np.full(image.shape[:2], 128, np.uint8)
    depth = 128 - 34 * np.clip(0.75 * max(moment.smile, 0) + 0.6 * person.age, 0, 1)
    for side in ("left", "right"):
        raster.stroke(shade, at[f"smile_line_{side}"], depth, 3)
        raster.fill(shade, at[f"side_{side}"][38:] + (0, 2.5), 112)
    if person.age > 0.5:
        across = np.linspace(-0.4, 0.4, 12)
        for high in (-0.36, -0.44, -0.52):
            path = np.stack([across, high + 0.06 * across**2], 1)
            raster.stroke(shade, texels(head.places(path)) - at["origin"], 128 - 60 * (person.age - 0.4), 2)
    return raster.soften(shade, 1.8)


def features(
    image: np.ndarray, curves: Curves, person: Person, moment: Moment, first: int, rs: np.random.RandomState
) -> np.ndarray:
    """The fine grid u8[rows, columns, 3] (from column `first`) with the (theta, v) curves painted on."""
    origin = np.array([first, 0])
    spots = texels(np.concatenate(list(curves.values()))) - origin
    ends = np.cumsum([len(path) for path in curves.values()])[:-1]
    at = dict(zip(curves, np.split(spots, ends), strict=True)) | {"origin": origin}
    image = raster.shaded(image, _lines(image, at, person, moment), 128)
    freckles = np.stack([rs.uniform(-0.5, 0.5, person.freckles), rs.normal(0.28, 0.09, person.freckles)], 1)
    for spot in texels(head.places(freckles)) - origin:
        raster.stroke(image, np.stack([spot, spot]), person.skin * 0.8, 1)
    _mouth(image, at, person, moment)
    for side in ("left", "right"):
        _eye(image, at, side, person, moment)
        brow = person.hair if person.style != "bald" else person.hair * 0.7 + person.skin * 0.2
        raster.fill(image, at[f"brow_{side}"], brow * 0.85 + person.skin * 0.1)
        raster.fill(image, at[f"nostril_{side}"], person.skin * (0.34, 0.24, 0.22))
    return image
