"""The known schemes against RECIPE's and iBUG's texts, written out here once more."""

import numpy as np
import pytest

from jaxmarks import landmarks

# RECIPE: "Mirroring swaps the blocks ... index by index; reverses each of ...; leaves 527-586"
SWAPPED_971 = [(0, 63, 64, 127), (273, 336, 337, 400), (401, 463, 464, 526), (587, 713, 714, 840), (969, 969, 970, 970)]
REVERSED_971 = [(128, 272), (841, 872), (873, 904), (905, 936), (937, 968)]
PAIRS_68 = """0-16 1-15 2-14 3-13 4-12 5-11 6-10 7-9 17-26 18-25 19-24 20-23 21-22 31-35 32-34 36-45 37-44 38-43 39-42
40-47 41-46 48-54 49-53 50-52 55-59 56-58 60-64 61-63 65-67"""


def partners_971() -> dict[int, int]:
    pairs = {i: i for i in range(527, 587)}
    for a, a_end, b, b_end in SWAPPED_971:
        assert a_end - a == b_end - b
        pairs |= {a + k: b + k for k in range(a_end - a + 1)} | {b + k: a + k for k in range(a_end - a + 1)}
    return pairs | {i: first + last - i for first, last in REVERSED_971 for i in range(first, last + 1)}


def partners_68() -> dict[int, int]:
    pairs = [tuple(map(int, p.split("-"))) for p in PAIRS_68.split()]
    return {i: i for i in range(68)} | dict(pairs) | {b: a for a, b in pairs}


@pytest.mark.parametrize(
    "expected", [partners_971(), partners_68(), {0: 1, 1: 0, 2: 2, 3: 4, 4: 3}], ids=["971", "68", "5"]
)
def test_mirror(expected):
    mirror = landmarks.scheme(len(expected)).mirror
    assert mirror is not None and {i: int(j) for i, j in enumerate(mirror)} == expected


@pytest.mark.parametrize("num_points, fixed", [(971, 61), (68, 10), (5, 1)])
def test_involution_and_fixed_points(num_points, fixed):
    mirror, at = landmarks.scheme(num_points).mirror, np.arange(num_points)
    assert mirror is not None and mirror.dtype == np.int32
    assert (mirror[mirror] == at).all() and (mirror == at).sum() == fixed


@pytest.mark.parametrize("num_points", [971, 68, 5, 13])
def test_regions_partition_and_are_closed_under_the_mirror(num_points):
    scheme = landmarks.scheme(num_points)
    assert sorted(np.concatenate(list(scheme.regions.values())).tolist()) == list(range(num_points))
    if scheme.mirror is not None:
        for part in scheme.regions.values():
            assert sorted(scheme.mirror[part].tolist()) == part.tolist()


@pytest.mark.parametrize("num_points, norm", [(971, (969, 970)), (68, (36, 45)), (5, (0, 1)), (13, None)])
def test_norm(num_points, norm):
    scheme = landmarks.scheme(num_points)
    assert scheme.norm == norm
    if norm is not None:
        assert scheme.mirror is not None and scheme.mirror[norm[0]] == norm[1]


def test_other_numbers_have_no_mirror():
    assert landmarks.scheme(13).mirror is None
    with pytest.raises(ValueError, match="at least one point"):
        landmarks.scheme(0)
