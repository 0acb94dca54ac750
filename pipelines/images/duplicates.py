"""Near-duplicate images (resized or re-encoded copies, frames of one video), found by a perceptual hash and their pixels.

The hash says where the 64 lowest frequencies of a small grey image lie above their median: 64 bits that light, size
and coding hardly touch. All pairs within a few bits are found exactly, without looking at all pairs. Images of one studio agree
in that much too, so the pixels have the last word (`confirmed`).
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

D = 6  # bits; how it was chosen stands in `groups`
_BITS = 64
_SIDE = 64  # pixels that an image is reduced to before it is hashed: twice what the hash reads
_FLAT = 0.1  # grey levels; why, stands in `fingerprint`
_QUICK = 8  # prints that each is compared with at first
_BLOCK, _STEP, _SHIFT = (
    16,
    12,
    4,
)  # pixels of the small image: the side of blocks, from one to the next, how far they move
_TEXTURE = 4.0  # the deviation of a block's pixels from which it is compared; 50 is the image's
_ALIKE, _MISSED = 0.9, 0.1  # the correlation from which a block is found again; the share of blocks that need not be
_COMPARED = 16
_EDGES = 1 << 20  # pairs found before they are joined: bounds the memory


def fingerprint(image: np.ndarray) -> int | None:
    """The perceptual hash, 0 <= n < 2**64, of an image u8[h, w, 3] RGB; None where it is too flat to say anything.

    Flat: the median amplitude of the 64 lowest frequencies is below 0.1 grey levels. Their signs are then noise or, in
    a frame of one colour or of plain bars, zero in all of them alike. Measured on 150 images of faces68 made
    darker, with noise: at a median amplitude of 0.22 a copy coded anew (JPEG 40) lies 2 bits away (one in ten 6 or
    more), at 0.11 it lies 6 (10), at 0.065 it lies 10 (16); pure noise has 0.01. Of 3,032 images of faces68 none
    is flat (least: 0.64), of drawn:2000:68 none either (0.11).

    0.3 ms for an image of 250 x 250 pixels, 0.6 ms for 500 x 500, 3.8 ms for 1300 x 1300.
    """
    import imagehash  # with SciPy
    from PIL import Image

    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if np.median(np.abs(cv2.dct(grey)[:8, :8])) / _SIDE < _FLAT:
        return None
    return int(str(imagehash.phash(Image.fromarray(small))), 16)


def groups(prints: Sequence[int | None], distance: int = D) -> np.ndarray:
    """i64[n]: for each image the index of the first of its group, itself where it is alone, as with a print None.

    Images whose prints differ in at most `distance` bits (0 to 62) are joined, and what is joined to one of a
    group is joined to all of it. Raises ValueError for another distance.

    Pairs joined, of images of one person and of two, measured within the training split of faces68 (3,032 video
    frames, 17,479 pairs of one person, 4,577,517 of two) and in drawn:2000:68 (no near-duplicates; 3,881 and 1,995,119
    pairs). Distances are even: half of the bits are set in every print, ties aside.

        distance      0     2     4     6     8    10     12
        faces68     129   449   941  1377  1832  2232   2596   of one person: true
                      0     0     0     0     3    37    236   of two: wrong
        drawn         0     0     0     0    27   106    499   of two: wrong

    Hence 6: none wrong among 6.6 million pairs; the next would chain strangers together. At 6 the largest group of
    faces68 is 10 frames (531 groups, 1,495 images), and none holds two persons.
    """
    if not 0 <= distance <= _BITS - 2:
        raise ValueError(f"distance: expected 0 to {_BITS - 2} bits, got {distance}")
    result = np.arange(len(prints))
    known = np.array([i for i, value in enumerate(prints) if value is not None], np.int64)
    if not len(known):
        return result
    values = np.array([value for value in prints if value is not None], np.uint64)
    different, which = np.unique(values, return_inverse=True)  # equal prints are one from here on
    family = _families(different, distance)[which]
    first = np.full(len(different), len(prints))
    np.minimum.at(first, family, known)
    result[known] = first[family]
    return result


def _families(prints: np.ndarray, distance: int) -> np.ndarray:
    """i64[n]: a number below n that is the same for prints u64[n], all different, that are joined.

    The pigeonhole: of distance + 2 bands of bits, two prints at most `distance` bits apart share at least two whole.
    So for each two bands the prints are sorted by them, and compared with those that follow as long as they share both.
    (One shared band of distance + 1 would do too, with five times as many pairs to compare at 6 bits.)
    """
    family = np.arange(len(prints))
    if distance == 0:
        return family
    cuts = np.linspace(0, _BITS, distance + 3).astype(int)
    bands = [sum(1 << bit for bit in range(low, high)) for low, high in itertools.pairwise(cuts)]
    for steps in (_QUICK, len(prints)):  # quickly first: a long video is mostly one family by the second time
        for one, other in itertools.combinations(bands, 2):
            family = _compared(prints, np.uint64(one | other), family, distance, steps)
    return family


def _compared(prints: np.ndarray, band: np.uint64, family: np.ndarray, distance: int, steps: int) -> np.ndarray:
    """`family` with the prints joined that are alike in the bits of `band` and near in all.

    Each is compared with at most `steps` others, and with none that is of its family: sorted, these lie in between.
    """
    order = np.lexsort((family, prints & band))
    values, keys, sorted_family = prints[order], (prints & band)[order], family[order]
    ends = np.flatnonzero(np.concatenate([(keys[1:] != keys[:-1]) | (np.diff(sorted_family) != 0), [True]]))
    at, pairs, found = np.arange(len(keys)), [], 0
    other = np.repeat(ends, np.diff(ends, prepend=-1))  # the last of its own family, before the first to compare with
    for _ in range(steps):
        other = other + 1
        going = other < len(keys)
        going[going] = keys[at[going]] == keys[other[going]]
        at, other = at[going], other[going]
        if not len(at):
            break
        near = np.bitwise_count(values[at] ^ values[other]) <= distance
        pairs.append(np.stack([order[at[near]], order[other[near]]], 1))
        if (found := found + len(pairs[-1])) > _EDGES:
            family, pairs, found = _joined(family, pairs), [], 0
    return _joined(family, pairs)


def _joined(family: np.ndarray, pairs: list[np.ndarray]) -> np.ndarray:
    """The families after those of each pair (i, j) became one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = family[np.concatenate(pairs)] if pairs else np.empty((0, 2), np.int64)
    ends = ends[ends[:, 0] != ends[:, 1]]
    if not len(ends):
        return family
    links = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(family),) * 2)
    return connected_components(links, directed=False)[1][family].astype(np.int64)


def small(image: np.ndarray) -> np.ndarray:
    """u8[64, 64] grey: an image u8[h, w, 3] RGB as `alike` compares it."""
    return cv2.cvtColor(cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two small grey images u8[64, 64] show the same scene: nearly every block of either that has any
    texture is found again, near its place, in the other.

    Blocks, because the images of a studio agree in background, light and pose, which is most of them, and differ in the
    face. Measured on pairs whose hashes are near (6 bits): of 277 people of faces68, frontal, on one background in one
    light, 3,120 of 37,950 pairs are near, and of 240 of these none is alike; of 300 synthetic people in one studio
    1,897 of 44,850, and 1 in 20 of these; of copies (smaller, JPEG 30, darker, cropped by a hundredth, grey, blurred,
    with noise) 99 in 100 are alike; of successive video frames of one person, who moves, 2 in 5.
    """
    first, second = _even(one), _even(other)
    return _found_again(first, second) and _found_again(second, first)


def _even(image: np.ndarray) -> np.ndarray:
    """Normalise to one mean and contrast."""
    values = image.astype(np.float32)
    return (values - values.mean()) * (50 / max(float(values.std()), 1e-3))


def _found_again(one: np.ndarray, other: np.ndarray) -> bool:
    corners = range(_SHIFT, _SIDE - _BLOCK - _SHIFT + 1, _STEP)
    blocks = [(y, x) for y in corners for x in corners if one[y : y + _BLOCK, x : x + _BLOCK].std() >= _TEXTURE]
    missed = 0
    for y, x in blocks:
        around = other[y - _SHIFT : y + _BLOCK + _SHIFT, x - _SHIFT : x + _BLOCK + _SHIFT]
        match = cv2.matchTemplate(around, one[y : y + _BLOCK, x : x + _BLOCK], cv2.TM_CCOEFF_NORMED).max()
        missed += bool(match < _ALIKE)
        if missed > _MISSED * len(blocks):
            return False
    return bool(blocks)


def confirmed(prints: Sequence[int | None], small_of: Callable[[int], np.ndarray | None]) -> np.ndarray:
    """Return `groups` whose members the pixels confirm: i64[n] as there. small_of(i): `small` of image i, or None if it
    cannot be decoded.

    Each is compared with the nearest by hash of those before it, at most 16 that it is not yet joined to.
    """
    family = groups(prints)
    result = np.arange(len(prints))
    order = np.argsort(family, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(family[order])) + 1):
        if len(members) > 1:
            result[members] = members[_confirmed([prints[i] for i in members], _small_images(small_of, members))]
    return result


def _small_images(small_of: Callable[[int], np.ndarray | None], members: np.ndarray) -> list[np.ndarray | None]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda i: small_of(int(i)), members))


def _confirmed(prints: Sequence[int | None], images: Sequence[np.ndarray | None]) -> np.ndarray:
    """i64[n]: the first of each one's group, among images whose prints are all known."""
    values, group = np.array(prints, np.uint64), np.arange(len(prints))
    for i in range(1, len(values)):
        near = np.bitwise_count(values[:i] ^ values[i])
        before = [j for bits in range(D + 1) for j in np.flatnonzero(near == bits)[: -_COMPARED - 1 : -1]]
        compared = 0
        for j in before:
            one, other = images[i], images[j]
            if group[i] == group[j] or one is None or other is None:
                continue
            if compared == _COMPARED:
                break
            compared += 1
            if alike(one, other):
                low, high = sorted((group[i], group[j]))
                group[group == high] = low
    return group
