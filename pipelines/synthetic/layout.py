"""Landmark layout: the curves of the features in plan, and the 971, 68 and 5 points on them.

Left and right are the viewer's: block "left" has the smaller x on an unturned face. The 971 points in
RECIPE.md's order: ovals from the chin upwards; brows, irises and eye outlines round their curve from the
inner end over the upper edge; sides of the nose from the eye down and in to the middle; ridge from the top
to the tip; lips from the left corner to the right (upper outer, upper inner, lower outer, lower inner
edge); the pupils.
"""

import numpy as np

from pipelines.synthetic import head
from pipelines.synthetic.draws import Moment, Person

NUM_POINTS = (5, 68, 971)
Curves = dict[str, np.ndarray]

# right half of the face oval as (theta in degrees, v): chin to ear, ear to the middle of the hairline
_LOWER = np.array([(0, 12), (22, 12), (44, 11.95), (60, 11.7), (72, 11), (79, 9.6), (82, 8), (83, 6.6)])
_UPPER = np.array([(83, 6.6), (81, 5.7), (73, 4.75), (58, 4.0), (38, 3.55), (18, 3.36), (0, 3.3)])
_NAMES_971 = (  # the order of the blocks
    "lower_left", "lower_right", "upper", "brow_left", "brow_right", "side_left", "side_right", "ridge",
    "iris_left", "eye_left", "iris_right", "eye_right", "lip_top", "lip_top_in", "lip_low", "lip_low_in",
    "pupil_left", "pupil_right",
)  # fmt: skip


def _even(path: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Points of the polyline f[n, d] at these fractions of its length."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return np.stack([np.interp(fractions * along[-1], along, column) for column in path.T], 1)


def _smooth(path: np.ndarray, count: int) -> np.ndarray:
    """A curve near the control polygon (its ends kept), equally spaced points: corners cut three times."""
    for _ in range(3):
        a, b = path[:-1] * 0.75 + path[1:] * 0.25, path[:-1] * 0.25 + path[1:] * 0.75
        path = np.concatenate([path[:1], np.stack([a, b], 1).reshape(-1, path.shape[1]), path[-1:]])
    return _even(path, np.linspace(0, 1, count))


def _ovals() -> Curves:
    """(theta, v) of the oval: spaced in (theta / 8 degrees, v), about equal on the surface."""
    scale = np.array([8.0, 1.0])
    lower = _even(_smooth(_LOWER / scale, 200), (np.arange(64) + 0.5) / 64) * scale
    upper = _even(_smooth(_UPPER / scale, 200), np.arange(1, 74) / 73) * scale
    lower, upper = (np.stack([np.radians(a[:, 0]), a[:, 1]], 1) for a in (lower, upper))
    flip = np.array([-1.0, 1.0])
    return {
        "lower_left": lower * flip,
        "lower_right": lower,
        "upper": np.concatenate([upper, upper[-2::-1] * flip]),
    }


_OVALS = _ovals()


def _eye(person: Person, lid: float, gaze: tuple[float, float]) -> Curves:
    """Plan curves of the right eye: outline, iris, pupil, fold of the lid; gaze from the nose outwards."""
    turn = np.arange(64) / 64 * 2 * np.pi
    wide, middle = 0.166 * person.eye_size, 0.33 * person.eye_gap
    along, lift = -np.cos(turn), np.sin(turn)
    top, low = 0.094 * person.eye_size, 0.05 * person.eye_size
    shut = 0.035 * person.eye_size * (1 - min(lid, 1.0))
    upper = -(np.abs(lift) ** 0.9) * (top * lid - shut) * (1 - 0.12 * along)
    lower = np.abs(lift) * (low * min(1, 0.4 + 0.6 * lid) + shut * 0.6) * (1 + 0.12 * along)
    y = np.where(lift > 0, upper, np.maximum(lower, 0)) - person.eye_cant * along
    ring = np.stack([-np.cos(np.arange(63) / 63 * 2 * np.pi), -np.sin(np.arange(63) / 63 * 2 * np.pi)], 1)
    centre = np.array([middle + gaze[0] * 0.09, -0.014 + gaze[1] * 0.09])
    crease = np.linspace(-0.95, 1.05, 12)
    fold = np.stack([middle + crease * wide, -(1 - crease**2) * 0.085 - 0.028 - person.eye_cant * crease], 1)
    outline = np.stack([middle + wide * along, y], 1)
    return {"eye": outline, "iris": centre + 0.076 * ring, "pupil": centre[None], "fold": fold}


def _brow(person: Person, raised: float) -> np.ndarray:
    """Plan outline of the right brow f[64, 2]: upper edge from the nose outwards, lower edge back."""
    t = np.linspace(0, 1, 32)
    arch = 0.045 * person.brow_arch * np.sin(np.pi * np.clip(t * 0.95, 0, 1) ** 1.25)
    line = -0.225 + person.brow_high - arch - 0.07 * raised + 0.1 * min(raised, 0) * (1 - t) * 2 + 0.03 * t**3
    x = person.eye_gap * (0.13 + 0.4 * t)
    half = 0.034 * person.brow_thick * np.clip(1.15 - t**1.8, 0.1, 1) * np.clip(0.55 + 4 * t, 0, 1)
    return np.concatenate([np.stack([x, line - half], 1), np.stack([x, line + half], 1)[::-1]])


def _nose(person: Person) -> Curves:
    """Plan curves of the right half of the nose: its side and the nostril."""
    tip, wide = head.nose_tip(person), person.nose_wide
    side = [(0.095, 0.0), (0.1, tip * 0.4), (0.115 * wide, tip * 0.72), (0.185 * wide, tip - 0.03),
            (0.2 * wide, tip + 0.05), (0.13 * wide, tip + 0.1), (0.02, tip + 0.095)]  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    nostril = np.stack([0.085 * wide + 0.04 * wide * np.cos(turn), tip + 0.068 + 0.018 * np.sin(turn)], 1)
    return {"side": _smooth(np.array(side), 63), "nostril": nostril}


def _lips(person: Person, moment: Moment) -> Curves:
    """Plan curves of the lips, each from the left corner to the right, 32 points."""
    line, half, drop = head.mouth(person, moment)
    t = np.linspace(-1, 1, 32)
    arc, full = 1 - t**2, person.lip_full
    bend = line - (0.125 * moment.smile + 0.012) * (t**2 - 0.3) - 0.008 * arc
    bow = 0.074 * full * (arc**0.8) * (1 - 0.22 * np.exp(-((t / 0.14) ** 2)))
    thin = 1 - 0.25 * max(moment.smile, 0)
    part = drop * arc**0.7
    curves = {"lip_top": bend - bow * thin - 0.12 * part, "lip_top_in": bend - 0.12 * part + 0.006 * arc,
              "lip_low": bend + part + 0.1 * full * thin * arc**0.85,
              "lip_low_in": bend + part + 0.008 * arc}  # fmt: skip
    return {name: np.stack([half * t, y], 1) for name, y in curves.items()}


def plan(person: Person, moment: Moment) -> Curves:
    """The plan curves (x, y) of all features by name; "_left" mirrors "_right", index by index."""
    flip = np.array([-1.0, 1.0])
    nose = _nose(person)
    _, half, _ = head.mouth(person, moment)
    corner = _lips(person, moment)["lip_top"][-1]
    start = nose["side"][44] + (0.015, -0.01)
    nose["smile_line"] = _smooth(np.array([start, (half + 0.06, 0.6), corner + (0.085, 0.03)]), 12)
    curves = dict(_lips(person, moment))
    for side, sign, lid in (("left", -1.0, moment.lids[0]), ("right", 1.0, moment.lids[1])):
        eye = _eye(person, lid, (sign * moment.gaze[0], moment.gaze[1]))
        halves = {**eye, **nose, "brow": _brow(person, moment.brow)}
        curves |= {f"{name}_{side}": path if sign > 0 else path * flip for name, path in halves.items()}
    ridge = np.linspace(-0.03, head.nose_tip(person), 60)
    curves["ridge"] = np.stack([np.zeros(60), ridge], 1)
    return curves


def surface(curves: Curves) -> Curves:
    """(theta, v) f[n, 2] of the plan curves, and of the face oval."""
    found = head.places(np.concatenate(list(curves.values())))
    ends = np.cumsum([len(path) for path in curves.values()])[:-1]
    return dict(zip(curves, np.split(found, ends), strict=True)) | _OVALS


def landmarks(curves: Curves, person: Person, moment: Moment) -> np.ndarray:
    """The 971 landmarks of the (theta, v) curves in head units, f64[971, 3], unturned."""
    at = np.concatenate([curves[name] for name in _NAMES_971])
    return head.solid(at[:, 0], at[:, 1], person, moment)


def mirror_971() -> np.ndarray:
    """The mirror permutation of the 971 points, i64[971]."""
    order = np.arange(971)
    for a, b, size in ((0, 64, 64), (273, 337, 64), (401, 464, 63), (587, 714, 127), (969, 970, 1)):
        order[a : a + size], order[b : b + size] = np.arange(b, b + size), np.arange(a, a + size)
    for first, last in ((128, 272), (841, 872), (873, 904), (905, 936), (937, 968)):
        order[first : last + 1] = np.arange(last, first - 1, -1)
    return order


def _pairs_68() -> np.ndarray:
    """For each of the 68 points the two of the 971 (or twice the same) whose mean it is, i64[68, 2]."""
    jaw, arch = list(range(63, 0, -8)), [0, 8, 16, 23, 31]
    eye, lip, lip_in = [32, 21, 11, 0, 53, 43], [5, 10, 15, 21, 26], [8, 15, 23]
    singles = [
        *jaw,
        0,
        *(64 + i for i in jaw[::-1]),
        *(273 + i for i in arch[::-1]),
        *(337 + i for i in arch),
    ]
    singles += [527, 547, 567, 586, 449, 456, 463, 519, 512]
    singles += [*(650 + i for i in eye), *(777 + i for i in (0, 11, 21, 32, 43, 53))]
    singles += [841, *(841 + i for i in lip), 872, *(905 + i for i in lip[::-1])]
    singles += [873, *(873 + i for i in lip_in), 904, *(937 + i for i in lip_in[::-1])]
    pairs = np.stack([singles, singles], 1)
    for at, other in ((8, 64), (33, 526), (51, 857), (57, 921), (62, 889), (66, 953)):
        pairs[at, 1] = other
    return pairs


_PAIRS_68 = _pairs_68()
_FIVE = np.array([969, 970, 586, 841, 872])


def choose(points: np.ndarray, num_points: int) -> np.ndarray:
    """The 5, 68 or 971 points f[num_points, d] out of the 971, f[971, d]."""
    if num_points == 971:
        return points
    return points[_FIVE] if num_points == 5 else points[_PAIRS_68].mean(1)
