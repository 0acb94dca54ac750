"""Landmark schemes: mirror permutation, norm and regions of a set of points."""

from typing import NamedTuple

import numpy as np


class Scheme(NamedTuple):
    """Mirror permutation, norm and regions of `num_points` points."""

    num_points: int
    mirror: np.ndarray | None  # i32[points]: mirrored point i is the old point mirror[i]; None: not known
    norm: tuple[int, int] | None  # the two points whose distance NME divides by; None: sqrt of the box's area
    regions: dict[str, np.ndarray]  # name -> indices, each point in one region


def _permutation(num_points: int, swaps: list[tuple[int, int, int]], reversals: list[tuple[int, int]]) -> np.ndarray:
    """From blocks (a, b, length) swapped index by index and ranges (first, last) reversed in place."""
    mirror = np.arange(num_points, dtype=np.int32)
    for a, b, length in swaps:
        mirror[a : a + length], mirror[b : b + length] = np.arange(b, b + length), np.arange(a, a + length)
    for first, last in reversals:
        mirror[first : last + 1] = mirror[first : last + 1][::-1]
    return mirror


def _regions(**ranges: tuple[int, int]) -> dict[str, np.ndarray]:
    return {name: np.arange(first, last + 1) for name, (first, last) in ranges.items()}


def _contest() -> Scheme:
    swaps = [(0, 64, 64), (273, 337, 64), (401, 464, 63), (587, 714, 127), (969, 970, 1)]
    reversals = [(128, 272), (841, 872), (873, 904), (905, 936), (937, 968)]
    regions = _regions(
        oval=(0, 272), brows=(273, 400), nose=(401, 586), eyes=(587, 840), mouth=(841, 968), pupils=(969, 970)
    )
    return Scheme(971, _permutation(971, swaps, reversals), (969, 970), regions)


def _ibug() -> Scheme:
    reversals = [(0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67)]
    mirror = _permutation(68, [], reversals)
    for a, b in [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]:
        mirror[a], mirror[b] = b, a
    regions = _regions(oval=(0, 16), brows=(17, 26), nose=(27, 35), eyes=(36, 47), mouth=(48, 67))
    return Scheme(68, mirror, (36, 45), regions)


def _five() -> Scheme:
    regions = _regions(eyes=(0, 1), nose=(2, 2), mouth=(3, 4))
    return Scheme(5, _permutation(5, [], [(0, 1), (3, 4)]), (0, 1), regions)


KNOWN = {971: _contest, 68: _ibug, 5: _five}


def scheme(num_points: int) -> Scheme:
    """Return the scheme known for a number of points: of 971 (the contest's), 68 (iBUG) or 5.

    Args:
        num_points: 1 or more.

    Returns:
        for any other number a scheme without mirror and norm, of one region.

    Raises:
        ValueError: for fewer than one point.
    """
    if num_points < 1:
        raise ValueError(f"a scheme needs at least one point, got {num_points}")
    if num_points in KNOWN:
        return KNOWN[num_points]()
    return Scheme(num_points, None, None, {"all": np.arange(num_points)})


def is_mirror(mirror: object, num_points: int) -> bool:
    """Return whether a value is a mirror permutation.

    Args:
        mirror: any value.
        num_points: of how many points.

    Returns:
        whether it is a list of every point once that is its own inverse.
    """
    if not isinstance(mirror, list) or not all(type(point) is int for point in mirror):
        return False
    return sorted(mirror) == list(range(num_points)) and all(mirror[to] == at for at, to in enumerate(mirror))


def to_data(scheme: Scheme) -> dict:
    """Return the scheme as plain data.

    Args:
        scheme: the scheme.

    Returns:
        its fields, arrays as lists.
    """
    return {
        "num_points": scheme.num_points,
        "mirror": None if scheme.mirror is None else scheme.mirror.tolist(),
        "norm": scheme.norm and list(scheme.norm),
        "regions": {name: part.tolist() for name, part in scheme.regions.items()},
    }


def from_data(data: dict) -> Scheme:
    """Return the scheme that `to_data` wrote.

    Args:
        data: of `to_data`.

    Returns:
        the scheme.
    """
    mirror = None if data["mirror"] is None else np.array(data["mirror"], np.int32)
    norm = (data["norm"][0], data["norm"][1]) if data["norm"] else None
    return Scheme(data["num_points"], mirror, norm, {n: np.array(p, np.int32) for n, p in data["regions"].items()})
