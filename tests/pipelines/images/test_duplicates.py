"""Copies are found whatever their size and coding, strangers are not joined, and nothing is missed."""

import time

import cv2
import numpy as np
import pytest

from pipelines import synthetic
from pipelines.images import decode, duplicates
from pipelines.synthetic import camera, draws, raster, scene


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


@pytest.mark.slow
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
    images = [synthetic.draw(i, faults=False, num_points=5).image for i in range(24)]
    copies = [decode.decode(decode.encode_jpeg(cv2.resize(i, None, fx=0.5, fy=0.5), 50)) for i in images]
    lighter = [np.clip(i.astype(int) + 12, 0, 255).astype(np.uint8) for i in images]
    prints = [duplicates.fingerprint(i) for i in images + copies + lighter]
    assert all(p is not None and 0 <= p < 1 << 64 for p in prints)
    assert np.array_equal(duplicates.groups(prints), np.tile(np.arange(24), 3))


def studio(count: int) -> list[np.ndarray]:
    """Drawn people, each before one ground, in one light and pose but for what a person moves."""
    found = []
    for number in range(count):
        who, random = draws.person("studio", number), np.random.RandomState(number)
        yaw, pitch, roll, *offset = random.randn(5) * (0.04, 0.04, 0.02, 0.01, 0.01)
        moment = draws.Moment(yaw=yaw, pitch=pitch, roll=roll, frame=(240, 300), offset=tuple(offset))
        view, _ = camera.shoot(who, moment, draws.Faults())
        found.append(raster.resample(scene.image(view, who, moment, np.random.RandomState(5)), *view.size))
    return found


def test_strangers_of_one_studio_are_near_by_hash_and_not_alike():
    images = studio(24)
    copies = [decode.decode(decode.encode_jpeg(cv2.resize(i, None, fx=0.7, fy=0.7), 60)) for i in images]
    darker = [(i * 0.8).astype(np.uint8) for i in images]
    every = images + copies + darker
    prints, small = [duplicates.fingerprint(i) for i in every], [duplicates.small(i) for i in every]
    strangers = duplicates.groups(prints[:24])
    assert (strangers != np.arange(24)).sum() > 10
    found = duplicates.confirmed(prints, lambda i: small[i])
    assert (found[:24] != np.arange(24)).sum() <= 2  # 1 in 20 of the near pairs of so few kinds of faces
    assert np.array_equal(found[24:48], found[:24]) and np.array_equal(found[48:], found[:24])


def test_an_image_that_cannot_be_had_is_alone_and_far_prints_are_never_compared():
    image = duplicates.small(synthetic.draw(3, faults=False, num_points=5).image)
    assert duplicates.confirmed([7, 7, 7, None], lambda i: None if i == 1 else image).tolist() == [0, 1, 0, 3]
    asked = []
    assert duplicates.confirmed([0, 2**32 - 1, None], lambda i: asked.append(i)).tolist() == [0, 1, 2] and not asked


def test_many_alike_are_joined_with_few_comparisons(monkeypatch):
    count, plain = [0], duplicates.alike
    monkeypatch.setattr(duplicates, "alike", lambda a, b: count.append(1) or plain(a, b))
    image = duplicates.small(synthetic.draw(3, faults=False, num_points=5).image)
    assert (duplicates.confirmed([5] * 300, lambda i: image) == 0).all() and len(count) == 300


def test_confirmed_frames_of_a_video_show_one_person(faces68):
    names = sorted((faces68 / "train" / "images").glob("*.jpg"))[:400]
    images = [decode.decode(n.read_bytes()) for n in names]
    found = duplicates.confirmed([duplicates.fingerprint(i) for i in images], lambda i: duplicates.small(images[i]))
    person = np.array([n.name.split("_")[0] for n in names])
    assert (person[found] == person).all() and (found != np.arange(len(names))).mean() > 0.05


def test_flat_images_say_nothing(random):
    dark = np.clip(random.normal(6, 2, (300, 400, 3)), 0, 255).astype(np.uint8)
    bars = np.full((200, 200, 3), 230, np.uint8)
    bars[:60] = 0
    for image in (dark, bars, np.zeros((64, 64, 3), np.uint8), np.full((1, 1, 3), 9, np.uint8)):
        assert duplicates.fingerprint(image) is None
    photograph = synthetic.draw(3, faults=False, num_points=5).image
    faint = (photograph * 0.2).astype(np.uint8)
    near = duplicates.groups([duplicates.fingerprint(photograph), duplicates.fingerprint(faint), None])
    assert near.tolist() == [0, 0, 2]


def test_frames_of_a_video_are_joined_and_persons_are_not(faces68):
    names = sorted((faces68 / "train" / "images").glob("*.jpg"))[:600]
    prints = [duplicates.fingerprint(decode.decode(n.read_bytes())) for n in names]
    found, person = duplicates.groups(prints), np.array([n.name.split("_")[0] for n in names])
    assert (person[found] == person).all()
    assert (found != np.arange(len(names))).mean() > 0.2
