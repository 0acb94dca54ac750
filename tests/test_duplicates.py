"""Copies are found whatever their size and coding, strangers are not joined, and nothing is missed."""

import time

import cv2
import numpy as np
import pytest

from pipelines import decode, duplicates, faces


def plain(prints, distance):
    """The same by comparing all pairs, and following what is joined to the first of it."""
    first = list(range(len(prints)))

    def root(i):
        while first[i] != i:
            i = first[i]
        return i

    for i, one in enumerate(prints):
        for j, other in enumerate(prints[:i]):
            if one is not None and other is not None and (one ^ other).bit_count() <= distance:
                low, high = sorted((root(i), root(j)))
                first[high] = low
    return np.array([root(i) for i in range(len(prints))])


def scattered(random, count, centres, flips):
    """Prints about a few centres, up to `flips` bits away; one in ten is None."""
    base = [int.from_bytes(random.bytes(8), "little") for _ in range(centres)]
    prints = []
    for _ in range(count):
        value = base[random.randint(centres)]
        for bit in random.choice(64, random.randint(0, flips + 1), replace=False):
            value ^= 1 << int(bit)
        prints.append(None if random.rand() < 0.1 else value)
    return prints


@pytest.mark.parametrize("distance", [0, 1, 3, 6, 8, 20, 62])
def test_groups_are_those_of_all_pairs(random, distance):
    prints = scattered(random, 200, 15, 9)
    expected = plain(prints, distance)
    assert np.array_equal(duplicates.groups(prints, distance), expected)
    alone = np.array([p is None for p in prints])
    assert (expected == np.arange(200))[alone].all() and 1 < len(set(expected)) < 200 + (distance == 0)


def test_pairs_just_near_enough_are_joined_wherever_their_bits_lie(random):
    for _ in range(300):
        one = int.from_bytes(random.bytes(8), "little")
        bits = random.choice(64, duplicates.D + 1, replace=False)
        near = one ^ sum(1 << int(b) for b in bits[:-1])
        assert duplicates.groups([one, near]).tolist() == [0, 0]
        assert duplicates.groups([one, near ^ 1 << int(bits[-1])]).tolist() == [0, 1]


def test_a_chain_is_one_group_named_by_its_first():
    chain = [(1 << n) - 1 for n in (12, 0, 6, 18, 60)]
    assert duplicates.groups(chain).tolist() == [0, 0, 0, 0, 4]
    assert duplicates.groups([]).tolist() == [] and duplicates.groups([None, None]).tolist() == [0, 1]
    with pytest.raises(ValueError, match="0 to 62 bits, got 63"):
        duplicates.groups([1, 2], 63)


def test_many_prints_many_of_them_equal_or_near_take_seconds(random):
    near = [1 << int(a) | 1 << int(b) for a, b in random.randint(0, 64, (20_000, 2))]
    others = np.frombuffer(random.bytes(8 * 60_000), np.uint64).tolist()
    start = time.perf_counter()
    found = duplicates.groups([0] * 20_000 + near + others)
    assert time.perf_counter() - start < 8
    assert (found[:40_000] == 0).all() and len(set(found[40_000:])) > 59_990


def test_copies_are_joined_and_other_faces_are_not():
    images = [faces.draw(i, faults=False, num_points=5).image for i in range(24)]
    copies = [decode.decode(decode.encode_jpeg(cv2.resize(i, None, fx=0.5, fy=0.5), 50)) for i in images]
    lighter = [np.clip(i.astype(int) + 12, 0, 255).astype(np.uint8) for i in images]
    prints = [duplicates.fingerprint(i) for i in images + copies + lighter]
    assert all(p is not None and 0 <= p < 1 << 64 for p in prints)
    assert np.array_equal(duplicates.groups(prints), np.tile(np.arange(24), 3))


def test_flat_pictures_say_nothing(random):
    dark = np.clip(random.normal(6, 2, (300, 400, 3)), 0, 255).astype(np.uint8)
    bars = np.full((200, 200, 3), 230, np.uint8)
    bars[:60] = 0
    for image in (dark, bars, np.zeros((64, 64, 3), np.uint8), np.full((1, 1, 3), 9, np.uint8)):
        assert duplicates.fingerprint(image) is None
    photograph = faces.draw(3, faults=False, num_points=5).image
    faint = (photograph * 0.2).astype(np.uint8)
    near = duplicates.groups([duplicates.fingerprint(photograph), duplicates.fingerprint(faint), None])
    assert near.tolist() == [0, 0, 2]


def test_frames_of_a_video_are_joined_and_persons_are_not(faces68):
    names = sorted((faces68 / "train" / "images").glob("*.jpg"))[:600]
    prints = [duplicates.fingerprint(decode.decode(n.read_bytes())) for n in names]
    found, person = duplicates.groups(prints), np.array([n.name.split("_")[0] for n in names])
    assert (person[found] == person).all()
    assert (found != np.arange(len(names))).mean() > 0.2
