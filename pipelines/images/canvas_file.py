"""File of canvases in the cache: one for a data set and a layout, shared by runs, filled while the first epoch runs.

A header in JSON of _HEAD bytes, then one record an example, in the set's order: eight bytes of mark and checksum, what is
known of the example, its canvas. A record without the mark is not there yet. One whose checksum differs was damaged: it is
decoded again.
"""

import contextlib
import errno
import json
import logging
import os
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.images import rows as canvas_rows
from pipelines.images.rows import Rows
from pipelines.io import files

_log = logging.getLogger("jaxmarks")
FOLDER, SUFFIX = "canvases", ".canvases"  # in the cache
_HEAD = 4096
_MARK = 0x4A4D4331 << 32  # above the checksum


class CanvasFile:
    """A store in a file. Damaged records are counted, and a line says so once; a disk that takes no more ends the filling.

    Args:
        path: of the file; it is created where it does not exist.
        key: all that the canvases depend on, as plain data.
        places: i[examples of the split], the example of the set that each is.
        count: examples of the set.
        side: of a canvas, in pixels.
        num_points: of an example.

    Raises:
        OSError: where the file can be neither opened nor created.
        ValueError: for a file of another key.
    """

    def __init__(self, path: Path, key: dict[str, Any], places: Sequence[int], count: int, side: int, num_points: int):
        self.path, self.damaged, self._lock = path, 0, threading.Lock()
        self._places, self._form = np.asarray(places), canvas_rows.about(num_points)
        self._record = 8 + self._form.itemsize + side * side * 3
        if not path.exists():
            _create(path, key, _HEAD + count * self._record)
        self._writes = os.access(path, os.W_OK)
        self._file = os.open(path, os.O_RDWR if self._writes else os.O_RDONLY)
        try:
            self._check(key, count)
            with contextlib.suppress(OSError):  # another's: it serves as well
                os.utime(path)  # when it was last used
        except ValueError:
            os.close(self._file)
            raise

    def _check(self, key: dict[str, Any], count: int) -> None:
        found = os.pread(self._file, _HEAD, 0)
        if found != _header(key) or os.fstat(self._file).st_size != _HEAD + count * self._record:
            raise ValueError(
                f"{self.path}: not the canvases of this data set and layout: delete it, and it is made anew"
            )

    def get(self, indices: np.ndarray, rows: Rows) -> np.ndarray:
        """Fill the rows of those of `indices` that are in the file and sound; bool[n]: which."""
        there = np.zeros(len(indices), bool)
        head = np.empty(1, "<u8")
        for at, place in enumerate(self._places[indices].tolist()):
            parts = [_bytes(head), _bytes(rows.about[at : at + 1]), _bytes(rows.image[at])]
            read = files.patiently(lambda p=place, into=parts: os.preadv(self._file, into, _HEAD + p * self._record))
            if read != self._record or int(head[0]) & _MARK != _MARK:
                continue
            there[at] = int(head[0]) == _checksum(place, *parts[1:])
            rows.about["index"][at] = indices[at]  # of this split; the file has that of the set
            if not there[at]:
                self._tell(place)
        return there

    def _tell(self, place: int) -> None:
        with self._lock:
            self.damaged += 1
            first = self.damaged == 1
        if first:
            _log.warning("%s: the canvas of example %d is damaged: it is decoded again", self.path, place)

    def put(self, index: int, rows: Rows, at: int) -> None:
        """Write row `at` as that of `index`, unless it is another example's, which took its place in this split."""
        about, image, place = rows.about[at : at + 1].copy(), rows.image[at], int(self._places[index])
        if not self._writes or about["index"][0] != index:
            return
        about["index"] = place
        parts = [_bytes(about), _bytes(image)]
        head, start = _checksum(place, *parts).to_bytes(8, "little"), _HEAD + place * self._record
        try:
            if os.pwritev(self._file, parts, start + 8) != self._record - 8:  # a disk takes the last part that fits
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.pwritev(self._file, [head], start)  # last: who reads meanwhile finds no mark, or all of it
        except OSError as error:
            with self._lock:
                first, self._writes = self._writes, False
            if first:
                _log.warning(
                    "%s takes no more canvases (%s): the others are decoded each time", self.path, error.strerror
                )


class Kept(NamedTuple):
    """A file of canvases in the cache."""

    path: Path
    bytes: int  # on the disk
    used: float  # seconds since the epoch


def listing() -> list[Kept]:
    """Return the files of canvases in the cache, least recently used first."""
    found = ((p, p.stat()) for p in (files.cache_root() / FOLDER).glob(f"*{SUFFIX}"))
    return sorted((Kept(p, s.st_blocks * 512, s.st_mtime) for p, s in found), key=lambda kept: kept.used)


def prune(days: float) -> list[Kept]:
    """Delete and return the files that were not used for `days` days. A run that has one open goes on with it."""
    old = [kept for kept in listing() if time.time() - kept.used >= days * 86400]
    for kept in old:
        kept.path.unlink(missing_ok=True)
    return old


def _bytes(values: np.ndarray) -> memoryview:
    """The memory of an array without gaps."""
    return values.reshape(-1).view(np.uint8).data


def _checksum(place: int, *parts: memoryview) -> int:
    """The mark, and the CRC-32 of a record that is example `place`."""
    total = place & 0xFFFFFFFF
    for part in parts:
        total = zlib.crc32(part, total)
    return _MARK | total


def _header(key: dict[str, Any]) -> bytes:
    return json.dumps(key, sort_keys=True).encode().ljust(_HEAD, b" ")[:_HEAD]


def _create(path: Path, key: dict[str, Any], size: int) -> None:
    """Make an empty file, which takes space where it is written; another run may make the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as file:
        file.write(_header(key))
        file.truncate(size)
