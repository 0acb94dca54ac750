"""Scheme files, and a sheet that shows a mirror permutation.

Two kinds of file. JSON (`format_version`): num_points, mirror (a list: mirrored point i is the old point mirror[i]), norm
([a, b] or null) and regions (name -> points). Or text: a pair "a,b" a line, counted from 0, # starts a comment; points not
named lie on the axis.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from jaxmarks import landmarks, words
from pipelines.io import files
from pipelines.shapes.symmetry import WEAK, Contradiction, Findings, named

_DIGITS = 6  # of the number of a point: a million of them is no shape
_FIELDS = {"num_points", "mirror", "norm", "regions"}
_SIDE, _LEFT, _PLOT = 900, 56, 150  # pixels of the sheet: the shape's square, the plot's margin and height
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
_SIDES = re.compile("left|right|(?<![a-z])[lr](?![a-z])", re.IGNORECASE)
_RED, _YELLOW, _GREY, _WHITE = (255, 60, 60), (255, 215, 60), (120, 120, 120), (240, 240, 240)


def write_scheme(path: str | Path, scheme: landmarks.Scheme) -> None:
    """Write the JSON file of a scheme whose mirror is known.

    Args:
        path: the file.
        scheme: the scheme.

    Raises:
        ValueError: for a scheme without a mirror permutation.
        OSError: where it cannot be written.
    """
    if scheme.mirror is None:
        raise ValueError(f"{path}: a scheme without a mirror permutation is not written")
    files.write_json(path, landmarks.to_data(scheme))


def load_scheme(path: str | Path, num_points: int | None = None) -> landmarks.Scheme:
    """Return the scheme in a file.

    Args:
        path: a JSON file (.json) or a file of pairs.
        num_points: how many there must be. None: as the file says; a file of pairs does not, and then has as many as
            the highest named needs.

    Returns:
        the scheme.

    Raises:
        ValueError: in one line that names the file, where it holds no scheme of so many points.
        OSError: where it cannot be read.
    """
    if Path(path).suffix.lower() == ".json":
        return _from_json(path, num_points)
    pairs = list(_pairs(path))
    if not pairs:
        raise ValueError(f"{path}: no pair there; expected lines such as 36,45")
    count = num_points or 1 + max(max(a, b) for _, a, b in pairs)
    mirror, line_of = np.arange(count, dtype=np.int32), {}
    for line, a, b in pairs:
        if max(a, b) >= count:
            raise ValueError(f"{path}:{line}: point {max(a, b)}, but there are {count} points, counted from 0")
        for point in {a, b}:
            if point in line_of:
                raise ValueError(f"{path}:{line}: point {point} is paired already, on line {line_of[point]}")
            line_of[point] = line
        mirror[a], mirror[b] = b, a
    return named_scheme(mirror)


def named_scheme(mirror: np.ndarray) -> landmarks.Scheme:
    """Return the scheme of a mirror permutation.

    Args:
        mirror: i32[points].

    Returns:
        with a known scheme's norm and regions where the permutation is that one's; else without norm, of one region.
    """
    known = landmarks.scheme(len(mirror))
    if known.mirror is not None and (known.mirror == mirror).all():
        return known
    return landmarks.Scheme(len(mirror), mirror, None, {"all": np.arange(len(mirror))})


def fitting(num_points: int, names: Sequence[str]) -> landmarks.Scheme:
    """Return the known scheme for a number of points, unless their names contradict its mirror permutation.

    Args:
        num_points: 1 or more.
        names: of the points; empty: they have none.

    Returns:
        the known scheme; where it exchanges a point with another one than its name does (left_eye, right_eye), a scheme
        without mirror and norm, of one region.
    """
    known = landmarks.scheme(num_points)
    if known.mirror is None or contradicted(known.mirror.tolist(), names) is None:
        return known
    return landmarks.Scheme(num_points, None, None, {"all": np.arange(num_points)})


def of_data(num_points: int, names: Sequence[str], mirror: Sequence[int]) -> landmarks.Scheme:
    """Return the scheme of a data set that is not given one.

    Args:
        num_points: 1 or more.
        names: of the points; empty: they have none.
        mirror: the mirror permutation that the files say; empty: they say none.

    Returns:
        `named_scheme` of the mirror permutation, else `fitting`.
    """
    return named_scheme(np.array(mirror, np.int32)) if mirror else fitting(num_points, names)


def contradicted(mirror: Sequence[int], names: Sequence[str]) -> int | None:
    """Return the first point that a mirror permutation exchanges with another one than its name does.

    Args:
        mirror: i[points].
        names: of the points; empty: they have none.

    Returns:
        the point; None: the names contradict nothing.
    """
    places = {name: place for place, name in enumerate(names)}
    partners = [(at, places.get(_other_side(name))) for at, name in enumerate(names)]
    return next((at for at, to in partners if to not in (None, at) and mirror[at] != to), None)


def _other_side(name: str) -> str:
    """The name of the mirrored point: left for right, l for r where it is a word; the name itself where it has no side."""
    return _SIDES.sub(lambda found: _OTHER[found[0].lower()] if found[0].islower() else _cased(found[0]), name)


def _cased(word: str) -> str:
    other = _OTHER[word.lower()]
    return other.upper() if word.isupper() else other.capitalize()


def _pairs(path: str | Path) -> Iterator[tuple[int, int, int]]:
    """(line, a, b) of a file of pairs."""
    for number, line in enumerate(files.read_text(path).splitlines(), 1):
        if text := line.split("#")[0].strip():
            fields = text.replace(",", " ").split()
            if len(fields) != 2 or not all(f.isascii() and f.isdigit() and len(f) <= _DIGITS for f in fields):
                raise ValueError(f"{path}:{number}: expected two points such as 36,45, got {text[:40]!r}")
            yield number, int(fields[0]), int(fields[1])


def _from_json(path: str | Path, num_points: int | None) -> landmarks.Scheme:
    data = files.read_json(path)
    if set(data) != _FIELDS:
        raise ValueError(
            f"{path}: the fields are {files.escaped(', '.join(sorted(data)))[:200]}; expected {', '.join(sorted(_FIELDS))}"
        )
    count, regions = data["num_points"], data["regions"]
    if type(count) is not int or count < 1 or (num_points is not None and count != num_points):
        raise ValueError(f"{path}: num_points is {count!r}, expected {num_points or 'a whole number, 1 or more'}")
    mirror = _points(path, "mirror", data["mirror"], count)
    if len(mirror) != count:
        raise ValueError(f"{path}: mirror has {len(mirror)} entries for {count} points")
    if len(np.unique(mirror)) != count:
        raise ValueError(f"{path}: mirror is not a permutation: a point is named twice")
    if len(loose := np.flatnonzero(mirror[mirror] != np.arange(count))):
        raise ValueError(f"{path}: mirror is not its own inverse at points {named(loose)}")
    norm = None if data["norm"] is None else tuple(_points(path, "norm", data["norm"], count).tolist())
    if norm is not None and (len(norm) != 2 or norm[0] == norm[1]):
        raise ValueError(f"{path}: norm is {data['norm']!r}, expected two points or null")
    if not isinstance(regions, dict) or not regions:
        raise ValueError(f"{path}: regions: expected names, each with a list of points")
    parts = {name: _points(path, f"region {name}", part, count) for name, part in regions.items()}
    if (np.bincount(np.concatenate(list(parts.values())), minlength=count) != 1).any():
        raise ValueError(f"{path}: regions: each point belongs to one region, once")
    return landmarks.Scheme(count, mirror, norm, parts)


def _points(path: str | Path, name: str, values: object, count: int) -> np.ndarray:
    if not isinstance(values, list) or not values or not all(type(v) is int and 0 <= v < count for v in values):
        raise ValueError(f"{path}: {name}: expected a list of points from 0 to {count - 1}")
    return np.array(values, np.int32)


def sheet(found: Findings, table: np.ndarray | None = None, against: list[Contradiction] | None = None) -> np.ndarray:
    """Return an image of the mean shape with each pair joined; below, every margin.

    A correct permutation has horizontal lines, one colour for partners, and white points on the axis. Red and thick:
    the faces contradict the pair, or do not distinguish its points. Yellow rings: decided by the order of the list
    alone.

    Args:
        found: of `symmetry.examine`.
        table: i32[points], the permutation that is shown; None: the one that was found.
        against: of `symmetry.contradictions`, with a table.

    Returns:
        u8[h, w, 3], RGB.
    """
    mirror = found.mirror if table is None else table
    bad = (found.margin < WEAK) & ~found.by_order | (found.misfit > 2) if table is None else np.zeros(len(mirror), bool)
    for row in against or []:
        bad[row.point] |= row.margin > WEAK
    image = np.full((_SIDE + _PLOT + 50, _SIDE + 2 * _LEFT, 3), 28, np.uint8)
    _draw_shape(image, found.shape, mirror, bad, found.by_order)
    _draw_margins(image, found, bad)
    swaps = int((mirror != np.arange(len(mirror))).sum()) // 2
    fixed, objects = int((mirror == np.arange(len(mirror))).sum()), words.counted(found.faces, "object")
    head = f"{words.counted(len(mirror), 'point')}, {words.counted(swaps, 'pair')}, {fixed} fixed; {objects}"
    _text(image, f"{'found' if table is None else 'the table'}: {head}", (14, 24), _WHITE, 0.6)
    verdict = f"{bad.sum()} points contradicted or in doubt: {named(bad)}" if bad.any() else "no point in doubt"
    _text(image, verdict, (14, 48), _RED if bad.any() else (120, 255, 140), 0.55)
    return image


def _text(image: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int], size: float = 0.4) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _hues(count: int, strength: int) -> list[tuple[int, int, int]]:
    """A colour for each of the pairs: neighbours in the list differ a little, five turns of the wheel in all."""
    hues = (np.arange(count) * 5 * 180 / count % 180).astype(np.uint8)
    wheel = np.stack([hues, np.full(count, 190), np.full(count, strength)], 1).astype(np.uint8)
    return [(int(r), int(g), int(b)) for r, g, b in cv2.cvtColor(wheel[None], cv2.COLOR_HSV2RGB)[0]]


def _draw_shape(image: np.ndarray, shape: np.ndarray, mirror: np.ndarray, bad: np.ndarray, tied: np.ndarray) -> None:
    low, high = shape.min(0), shape.max(0)
    scale = (_SIDE - 130) / max((high - low).max(), 2 * np.abs(shape[:, 0]).max())
    middle = np.array([_LEFT + _SIDE / 2, 40 + _SIDE / 2])
    places = [(int(x), int(y)) for x, y in np.rint((shape - (0, (low + high)[1] / 2)) * scale + middle)]
    cv2.line(image, (int(middle[0]), 60), (int(middle[0]), _SIDE + 20), (70, 70, 70), 1)
    dim, bright = _hues(len(mirror), 120), _hues(len(mirror), 255)
    order = sorted(range(len(mirror)), key=lambda i: bool(bad[i]))
    radius, thick = 3 if len(mirror) > 200 else 6, int(bad.sum() <= 40)
    for i in order:
        colour = _RED if bad[i] else dim[min(i, mirror[i])]
        cv2.line(image, places[i], places[mirror[i]], colour, 1 + thick * bool(bad[i]), cv2.LINE_AA)
    for i in order:
        cv2.circle(image, places[i], radius, _WHITE if mirror[i] == i else bright[min(i, mirror[i])], -1, cv2.LINE_AA)
        if tied[i] or (bad[i] and thick):
            cv2.circle(image, places[i], radius + 4, _RED if bad[i] else _YELLOW, 2, cv2.LINE_AA)
        if len(mirror) <= 200 or (bad[i] and thick):
            _text(image, str(i), (places[i][0] + 8, places[i][1] - 6), _WHITE, 0.38)


def _draw_margins(image: np.ndarray, found: Findings, bad: np.ndarray) -> None:
    """A bar for each point: its margin from 0 to 1, the line below which it decides nothing."""
    base, count = _SIDE + _PLOT + 26, len(found.margin)
    _text(
        image,
        "margin of each point over its closest rival (1: sure; yellow: a tie, decided by order)",
        (_LEFT, base - _PLOT + 12),
        _GREY,
    )
    width, high = _SIDE / count, _PLOT - 26
    for i, value in enumerate(np.clip(found.margin, 0, 1)):
        colour = _RED if bad[i] else _YELLOW if found.by_order[i] else (90, 170, 110)
        start, end = (
            int(_LEFT + i * width),
            max(int(_LEFT + (i + 1) * width) - (count < 300), int(_LEFT + i * width) + 1),
        )
        image[base - max(3, int(value * high)) : base, start:end] = colour
    cv2.line(image, (_LEFT, base - int(WEAK * high)), (_LEFT + _SIDE, base - int(WEAK * high)), _WHITE, 1)
    for i in range(0, count, max(1, count // 10)):
        _text(image, str(i), (int(_LEFT + i * width), base + 16), _GREY)
