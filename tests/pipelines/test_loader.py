"""The stream of batches is a function of the step, whatever the batch size, the threads and the restarts."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from jaxmarks import affine, keys
from jaxmarks.config import Config
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.example import Example, Source
from pipelines.images import decode


class Shades(Source):
    """Small images that differ in shade, shape and label; those in `broken` cannot be decoded."""

    num_points, boxed = 3, False

    def __init__(self, count: int, broken: tuple[int, ...] = ()):
        self.names, self._broken = [f"{i:03d}.png" for i in range(count)], broken

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        image = np.full((40 + index % 7, 50 - index % 5, 3), index, np.uint8)
        picture = b"no image" if index in self._broken else decode.encode_png(image)
        return Example(picture, label(index), labelled(index))


def label(index: int) -> np.ndarray:
    return np.array([[index, 1], [2, index], [-22, 1308]], np.float64)


def labelled(index: int) -> np.ndarray:
    return np.arange(3) != index % 4


def config(batch: int, workers: int = 2) -> Config:
    return Config(size=32, batch=batch, workers=workers)


def draws(source, *, batch: int, count: int, workers: int = 2, skip: int = 0, faults=None) -> list[Batch]:
    """The first draws from `skip` on, each as a Batch of one."""
    steps = loader.batches(source, config(batch, workers), keys.root(0), skip // batch, faults=faults)
    found = [Batch(*(field[i] for field in b)) for b in islice(steps, count // batch) for i in range(batch)]
    assert len(found) == count
    return found


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        p.dtype == q.dtype and np.array_equal(p, q)
        for one, two in zip(a, b, strict=True)
        for p, q in zip(one, two, strict=True)
    )


def indices(found: list[Batch]) -> list[int]:
    return [int(b.index) for b in found]


@pytest.mark.parametrize(("batch", "workers", "skip"), [(32, 1, 0), (8, 4, 0), (32, 4, 64), (8, 1, 72), (16, 2, 32)])
def test_draw_g_is_bit_equal_whatever_the_batch_the_workers_and_the_restarts(batch, workers, skip):
    source = Shades(45, broken=(7, 8, 30))
    known = draws(source, batch=8, workers=1, count=128)
    assert same(draws(source, batch=batch, workers=workers, skip=skip, count=128 - skip), known[skip:])


@pytest.mark.parametrize("cut", [1, 3, 7, 9])
def test_two_epochs_hold_each_example_twice_wherever_they_are_cut(cut):
    before = draws(Shades(10), batch=2, count=2 * cut)
    after = draws(Shades(10), batch=2, skip=2 * cut, count=20 - 2 * cut)
    assert Counter(indices(before + after)) == dict.fromkeys(range(10), 2)
    assert [b.draw.tolist() for b in before + after] == [[g // 10, g % 10] for g in range(20)]


def test_every_epoch_is_a_permutation_of_its_own():
    found = indices(draws(Shades(10), batch=5, count=30))
    epochs = [found[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(e) == list(range(10)) for e in epochs) and len(set(map(tuple, epochs))) == 3


def test_golden_order():
    # May change only with a new key implementation: logs and checkpoints of older runs rely on it.
    assert indices(draws(Shades(10), batch=5, count=20)) == [4, 6, 9, 5, 8, 7, 0, 1, 2, 3, 9, 2, 5, 8, 4, 6, 0, 1, 3, 7]


def test_an_example_travels_with_its_own_label_mask_and_frame():
    for b in draws(Shades(20), batch=4, count=20):
        index = int(b.index)
        assert (b.image == index).all() and b.points.dtype == np.float32 and b.frame.dtype == np.float64
        assert np.abs(affine.apply(affine.invert(b.frame), b.points.astype(np.float64)) - label(index)).max() < 1e-3
        assert np.array_equal(b.mask, labelled(index))


def test_what_cannot_be_decoded_is_replaced_by_the_next_in_canonical_order_with_its_own_label():
    faults = loader.Faults()
    whole = draws(Shades(10), batch=5, count=20)
    found = draws(Shades(10, broken=(4, 5, 9)), batch=5, count=20, faults=faults)
    instead = {4: 6, 5: 6, 9: 0}  # behind the last comes the first
    assert indices(found) == [instead.get(i, i) for i in indices(whole)]
    assert all((b.image == b.index).all() and np.array_equal(b.mask, labelled(int(b.index))) for b in found)
    assert [b.draw.tolist() for b in found] == [b.draw.tolist() for b in whole]
    assert faults.report() == [
        f"{name}: not an image that can be decoded" for name in ("004.png", "005.png", "009.png")
    ]


def test_a_source_with_nothing_in_it_or_nothing_to_decode_is_an_error_of_one_line():
    with pytest.raises(ValueError, match="the training split is empty"):
        draws(Shades(0), batch=2, count=2)
    with pytest.raises(ValueError, match=r"none of the 3 images can be decoded; first: 000.png: not") as caught:
        draws(Shades(3, broken=(0, 1, 2)), batch=2, count=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", range(8, 13))
def test_in_order_every_example_comes_once_and_the_filling_counts_for_nothing(count):
    found = list(loader.ordered(Shades(count), config(4)))
    assert [real for _, real in found] == [4] * (count // 4) + [count % 4] * (count % 4 > 0)
    assert [int(i) for b, real in found for i in b.index[:real]] == list(range(count))
    for batch, real in found:
        assert all(len(field) == 4 for field in batch) and not batch.mask[real:].any()
        assert batch.mask[:real].any(1).all() and np.isfinite(batch.points).all()


def test_in_order_what_cannot_be_decoded_is_left_out_and_told_once():
    faults, source = loader.Faults(), Shades(9, broken=(0, 3, 8))
    for _ in range(2):
        found = list(loader.ordered(source, config(4, 4), faults=faults))
        assert [int(i) for b, real in found for i in b.index[:real]] == [1, 2, 4, 5, 6, 7]
    assert [line[:7] for line in faults.report()] == ["000.png", "003.png", "008.png"]


def test_in_order_nothing_comes_of_nothing():
    assert not list(loader.ordered(Shades(2, broken=(0, 1)), config(4)))
