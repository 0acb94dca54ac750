"""Head geometry: rings from crown to neck, relief on its front, changed by person and moment.

Head units: about a tenth of a metre; x to the viewer's right, y down, z towards the viewer, eyes near y =
0. A place on the surface is (theta, v): the angle about the vertical axis (0 in front, positive to the
viewer's right) and the ring (0 crown, 12 the rim of the jaw, beyond it the underside and the neck). Seen
from in front, the face without a person's changes is a plane drawing: features are designed there, in
"plan" (x, y), and `places` finds their (theta, v).
"""

from functools import lru_cache

import numpy as np

from pipelines.synthetic.draws import Moment, Person

# y in front, y behind, half width, z in front, z behind
_RINGS = np.array(
    [
        (-1.20, -1.20, 0.00, -0.10, -0.10),
        (-1.17, -1.17, 0.28, 0.26, -0.46),
        (-1.03, -1.03, 0.49, 0.52, -0.76),
        (-0.80, -0.80, 0.65, 0.71, -0.93),
        (-0.50, -0.50, 0.74, 0.82, -1.00),
        (-0.20, -0.20, 0.78, 0.86, -1.00),
        (0.02, 0.00, 0.775, 0.84, -0.97),
        (0.26, 0.16, 0.76, 0.84, -0.90),
        (0.50, 0.26, 0.725, 0.83, -0.82),
        (0.72, 0.31, 0.685, 0.82, -0.74),
        (0.91, 0.34, 0.645, 0.81, -0.68),
        (1.05, 0.36, 0.605, 0.78, -0.63),
        (1.13, 0.38, 0.57, 0.72, -0.60),
        (1.14, 0.42, 0.51, 0.54, -0.58),
        (1.10, 0.55, 0.45, 0.24, -0.56),
        (1.34, 0.95, 0.43, 0.20, -0.58),
        (1.62, 1.40, 0.47, 0.24, -0.62),
    ]
)
AXIS = -0.1  # z of the vertical axis, where a ring is widest
COLUMNS, ROWS = 150, 111  # the coarse grid of the surface
JAW = 12.0  # the ring of the jaw's rim


@lru_cache(maxsize=1)
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """v f[t], and the smoothed ring numbers f[t, 5] there; the first and last ring stay as they are."""
    fine = 32
    v = np.arange((len(_RINGS) - 1) * fine + 1) / fine
    rows = np.stack([np.interp(v, np.arange(len(_RINGS)), column) for column in _RINGS.T], 1)
    reach = np.arange(-fine, fine + 1)
    weight = np.exp(-0.5 * (reach / (0.42 * fine)) ** 2)
    above, below = 2 * rows[0] - rows[fine:0:-1], 2 * rows[-1] - rows[-2 : -fine - 2 : -1]
    padded = np.concatenate([above, rows, below])
    return v, np.stack([np.convolve(c, weight / weight.sum(), "valid") for c in padded.T], 1)


def base(theta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The smooth head without relief: f[..., 3] at (theta, v)."""
    at, table = _tables()
    front_y, back_y, wide, front_z, back_z = (np.interp(v, at, column) for column in table.T)
    sine, cosine = np.sin(theta), np.cos(theta)
    round_ = cosine * (1 + 0.25 * sine**2)
    z = AXIS + np.where(cosine > 0, front_z - AXIS, AXIS - back_z) * round_
    return np.stack([wide * sine, front_y + (back_y - front_y) * (1 - cosine) / 2, z], -1)


@lru_cache(maxsize=1)
def grid() -> tuple[np.ndarray, np.ndarray]:
    """theta f[COLUMNS] and v f[ROWS] of the coarse grid: rows equally spaced on the surface."""
    turn = np.linspace(-np.pi, np.pi, COLUMNS)
    v, _ = _tables()
    rings = base(np.array([0.0, np.pi / 2, np.pi])[None], v[:, None])
    step = np.linalg.norm(np.diff(rings, axis=0), axis=-1).max(1)
    along = np.concatenate([[0.0], np.cumsum(step)])
    return turn - 0.1 * np.sin(turn), np.interp(np.linspace(0, along[-1], ROWS), along, v)


@lru_cache(maxsize=1)
def _plan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half-plane steps x f[a], y f[b] and (theta, v) f[b, a, 2] there, found by bisection in v."""
    x, y = np.linspace(0, 0.66, 100), np.linspace(-0.85, 1.08, 290)
    at, table = _tables()
    low, high = np.full((len(y), len(x)), 2.0), np.full((len(y), len(x)), 12.4)
    theta = np.zeros_like(low)
    for _ in range(40):
        v = (low + high) / 2
        theta = np.arcsin(np.clip(x / np.interp(v, at, table[:, 2]), 0, 0.999))
        above = base(theta, v)[..., 1] < y[:, None]
        low, high = np.where(above, v, low), np.where(above, high, v)
    return x, y, np.stack([theta, (low + high) / 2], -1)


def places(plan: np.ndarray) -> np.ndarray:
    """(theta, v) f[n, 2] of the plan points f[n, 2]; |x| up to 0.66, y from -0.85 to 1.08 (cut there)."""
    x, y, values = _plan()
    column = np.clip(np.abs(plan[:, 0]) / x[1], 0, len(x) - 1.001)
    row = np.clip((plan[:, 1] - y[0]) / (y[1] - y[0]), 0, len(y) - 1.001)
    c, r = column.astype(int), row.astype(int)
    fc, fr = (column - c)[:, None], (row - r)[:, None]
    top = values[r, c] * (1 - fc) + values[r, c + 1] * fc
    low = values[r + 1, c] * (1 - fc) + values[r + 1, c + 1] * fc
    found = top * (1 - fr) + low * fr
    return found * np.stack([np.sign(plan[:, 0]), np.ones(len(plan))], 1)


def mouth(person: Person, moment: Moment) -> tuple[float, float, float]:
    """Plan y of the middle of the mouth, its half width, and how far the lower lip has dropped."""
    wide = 0.255 * person.mouth_wide * (1 + 0.2 * moment.smile - 0.16 * moment.gap * (moment.smile < 0.3))
    return 0.74, wide, 0.16 * moment.gap


def nose_tip(person: Person) -> float:
    """Plan y of the tip of the nose."""
    return 0.41 * person.nose_long


def _bump(x: np.ndarray, y: np.ndarray, at: tuple[float, float], wide: float, high: float) -> np.ndarray:
    return np.exp(-(((x - at[0]) / wide) ** 2) - ((y - at[1]) / high) ** 2)


def relief(x: np.ndarray, y: np.ndarray, person: Person, moment: Moment) -> np.ndarray:
    """Return how far the features protrude from (positive) or into the smooth head at the plan point, f[...]."""
    x, tip, wide = np.abs(x), nose_tip(person), person.nose_wide
    line, half, drop = mouth(person, moment)
    eye = 0.325 * person.eye_gap
    along = np.clip((y + 0.08) / (tip + 0.08), 0, 1)
    rise = along * (0.06 + 0.15 * along) * np.exp(-((np.maximum(y - tip, 0) / 0.085) ** 2))
    out = person.nose_high * rise * np.exp(-((x / ((0.075 + 0.035 * along**2) * wide)) ** 2))
    out += 0.075 * person.nose_high * _bump(x, y, (0, tip), 0.1, 0.085)
    out += 0.085 * _bump(x, y, (0.125 * wide, tip + 0.03), 0.065, 0.06)
    out -= 0.13 * _bump(x, y, (eye - 0.03, -0.0), 0.17, 0.13)
    out += 0.07 * _bump(x, y, (eye, 0.0), 0.12, 0.085)
    out += 0.045 * _bump(x, y, (0.25, -0.24), 0.24, 0.085)
    out += (0.05 + 0.035 * moment.smile) * _bump(x, y, (0.4, 0.3 - 0.04 * moment.smile), 0.17, 0.15)
    out -= 0.03 * _bump(x, y, (half + 0.06, line), 0.06, 0.1)
    out += 0.07 * person.lip_full * _bump(x, y, (0, line - 0.045), 0.2, 0.05)
    out += 0.075 * person.lip_full * _bump(x, y, (0, line + 0.06 + drop), 0.17, 0.05)
    out -= 0.04 * _bump(x, y, (0, line + 0.15 + drop * 0.8), 0.2, 0.04)
    return out + 0.07 * person.chin * _bump(x, y, (0, 1.02), 0.17, 0.11)


def solid(theta: np.ndarray, v: np.ndarray, person: Person, moment: Moment) -> np.ndarray:
    """The head of this person at this moment: f[..., 3] in head units at (theta, v) (arrays of one shape)."""
    return shaped(base(theta, v), theta, v, person, moment)


def shaped(shape: np.ndarray, theta: np.ndarray, v: np.ndarray, person: Person, moment: Moment) -> np.ndarray:
    """`solid` where the smooth head f[..., 3] at (theta, v) is known already; computed in its precision."""
    x, y, z = shape[..., 0], shape[..., 1], shape[..., 2]
    front = (np.cos(theta) > 0.15) & (v < 13.0) & (v > 2.0)
    out = np.zeros_like(z)
    fade = np.clip((np.cos(theta[front]) - 0.15) * 3, 0, 1) * np.clip(13.0 - v[front], 0, 1)
    out[front] = relief(x[front], y[front], person, moment) * fade
    broad = np.interp(y, (-0.9, -0.3, 0.25, 0.85, 1.5), (1, person.forehead, person.cheek, person.jaw, 1)).astype(
        y.dtype
    )
    jaw = np.clip((v - 9.5) / 2, 0, 1) * np.clip(15 - v, 0, 1) * np.clip(np.cos(theta) * 1.5, 0, 1)
    down = y * np.where(y > 0, person.length, 1.0) + 0.16 * moment.gap * jaw
    return np.stack([x * broad, down, z + out - 0.05 * moment.gap * jaw], -1)
