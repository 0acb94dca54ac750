"""Where canvases are kept changes no bit of a batch, and damage to what is kept is noticed."""

import errno
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from jaxmarks import keys
from jaxmarks.training import sharding
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.example import Example
from pipelines.images import canvas_file, placement
from pipelines.images import rows as canvas_rows
from pipelines.images.canvas_file import CanvasFile
from pipelines.images.device_canvases import Devices
from pipelines.images.store import Host, Store
from tests.pipelines.test_loader import Shades, config, same

COUNT, SIDE, POINTS = 21, 40, 3
BROKEN = (4, 5, 20)


class Counting(Shades):
    """Counts how often an image is asked for."""

    asked_for = 0

    def __getitem__(self, index: int) -> Example:
        self.asked_for += 1
        return super().__getitem__(index)


def opened(path: Path, key: str = "set", places=range(COUNT), count: int = COUNT) -> CanvasFile:
    return CanvasFile(path / "x.canvases", {"key": key}, list(places), count, SIDE, POINTS)


def filled(path: Path) -> CanvasFile:
    """The file with all canvases, written here: threads that load ahead would mend what is damaged."""
    store, rows = opened(path), canvas_rows.empty(1, SIDE, POINTS)
    for index in range(COUNT):
        example = Shades(COUNT)[index]
        canvas = placement.canvas(example, 32, SIDE, 0.25, rows.image[0])
        canvas_rows.describe(rows, 0, example, canvas, index)
        canvas_rows.to_input(rows, np.arange(1))
        store.put(index, rows, 0)
    return store


def taken(source, store: Store | None, steps: int = 8, start: int = 0, weights=None, ready=None) -> list[Batch]:
    faults = loader.Faults()
    feed = loader.batches(
        source, config(8), keys.root(0), start, faults=faults, weights=weights, store=store, ready=ready
    )
    found = [Batch(*map(np.asarray, batch)) for batch in islice(feed, steps)]
    assert start or len(faults) == len(source._broken)
    return found


def stores(path: Path) -> dict[str, Store]:
    return {
        "host": Host(COUNT, SIDE, POINTS),
        "disk": opened(path),
        "device": Devices(COUNT, SIDE, POINTS, sharding.mesh()),
    }


@pytest.mark.parametrize("kind", ["host", "disk", "device"])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_are_bit_equal_whether_kept_or_not_and_are_decoded_once(tmp_path, kind, weighted):
    weights = np.where(np.arange(COUNT) % 3 == 0, 4.0, 1.0) if weighted else None
    source, store = Counting(COUNT, BROKEN), stores(tmp_path)[kind]
    plain = (lambda batch: sharding.split(sharding.mesh(), batch)) if kind == "device" else None
    ready = store.split if isinstance(store, Devices) else plain
    known = taken(Shades(COUNT, BROKEN), None, weights=weights, ready=plain)
    assert same(taken(source, store, weights=weights, ready=ready), known)
    source.asked_for = 0
    again = taken(source, store, 3, 60, weights, ready)
    assert same(again, taken(Shades(COUNT, BROKEN), None, 3, 60, weights, plain))
    if not weighted:  # else an example may come for the first time
        assert source.asked_for == 0 or kind == "disk"  # which keeps no example in the place of another
        assert source.asked_for < 3 * 8


def test_a_file_serves_the_next_run_and_another_split(tmp_path):
    filled(tmp_path)
    source = Counting(COUNT)
    assert same(taken(source, opened(tmp_path)), taken(Shades(COUNT), None)) and not source.asked_for
    part = Counting(COUNT)
    half = loader.batches(  # of every second example, in the reverse order
        _Chosen(part, range(COUNT - 1, -1, -2)),
        config(8),
        keys.root(1),
        store=opened(tmp_path, places=range(COUNT - 1, -1, -2)),
    )
    batch = next(half)
    assert (batch.image[:, 0, 0, 0] == COUNT - 1 - 2 * batch.index).all() and not part.asked_for


class _Chosen(Shades):
    def __init__(self, source: Shades, places):
        super().__init__(len(places))
        self._source, self._places = source, list(places)

    def __getitem__(self, index: int) -> Example:
        return self._source[self._places[index]]


@pytest.mark.parametrize("at", [0, 3, 8, 60, 300, 2000])
def test_a_flipped_bit_is_noticed_and_the_image_decoded_again(tmp_path, at, caplog):
    filled(tmp_path)
    known = taken(Shades(COUNT), None)
    path, size = tmp_path / "x.canvases", opened(tmp_path)._record
    with open(path, "r+b") as file:
        file.seek(canvas_file._HEAD + 5 * size + at)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    source, store = Counting(COUNT), opened(tmp_path)
    assert same(taken(source, store), known) and 1 <= source.asked_for <= 4  # threads
    noticed = at < 4 or at >= 8  # the mark itself: then nothing is there
    assert bool(store.damaged) == noticed and ("example 5 is damaged" in caplog.text) == noticed
    source.asked_for = 0
    assert same(taken(source, opened(tmp_path)), known) and not source.asked_for  # mended


def test_a_record_in_the_place_of_another_is_noticed(tmp_path):
    filled(tmp_path)
    known = taken(Shades(COUNT), None)
    data, size = bytearray((tmp_path / "x.canvases").read_bytes()), opened(tmp_path)._record
    start = canvas_file._HEAD
    data[start : start + size] = data[start + size : start + 2 * size]
    (tmp_path / "x.canvases").write_bytes(data)
    store = opened(tmp_path)
    assert same(taken(Shades(COUNT), store), known) and store.damaged


def test_a_full_disk_ends_the_filling_and_not_the_run(tmp_path, monkeypatch, caplog):
    store, write, left = opened(tmp_path), os.pwritev, [5]

    def full(*args) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*args)

    monkeypatch.setattr(os, "pwritev", full)
    source = Counting(COUNT)
    assert same(taken(source, store), taken(Shades(COUNT), None))
    assert caplog.text.count("takes no more canvases") == 1 and source.asked_for > COUNT


def test_a_canvas_that_only_fits_in_part_is_not_there(tmp_path, monkeypatch, caplog):
    write = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda file, parts, at: write(file, [bytes(parts[0])[:9]], at))
    filled(tmp_path)
    monkeypatch.undo()
    store, source = opened(tmp_path), Counting(COUNT)
    assert same(taken(source, store), taken(Shades(COUNT), None)) and source.asked_for >= COUNT
    assert not store.damaged and caplog.text.count("takes no more canvases (No space left") == 1


def test_what_can_be_read_only_serves_as_well(tmp_path, monkeypatch):
    taken(Shades(COUNT), opened(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    source = Counting(COUNT)
    assert same(taken(source, opened(tmp_path)), taken(Shades(COUNT), None)) and not source.asked_for


@pytest.mark.parametrize("change", ["key", "count", "cut"])
def test_a_file_of_other_canvases_is_an_error_that_names_it(tmp_path, change):
    opened(tmp_path)
    if change == "cut":
        os.truncate(tmp_path / "x.canvases", 5000)
    with pytest.raises(ValueError, match=r"x\.canvases: not the canvases of this data set"):
        opened(tmp_path, "other" if change == "key" else "set", count=COUNT + (change == "count"))
