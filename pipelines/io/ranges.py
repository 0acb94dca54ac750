"""Parts of files by offset, through descriptors that stay open: of a table, one row at a time would open it as often."""

import functools
import os
from pathlib import Path

from pipelines.io import files

_OPEN = 16  # files that stay open


class _Descriptor:
    """An open file, closed when nobody holds it any more."""

    def __init__(self, number: int):
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


@functools.lru_cache(_OPEN)
def _opened(path: Path, *state: int) -> _Descriptor:
    return _Descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def read(path: Path, offset: int, length: int) -> bytes:
    """Return `length` bytes of a file from an offset on, fewer at its end. A file that was replaced or changed is opened
    anew. Input/output errors are retried as by `files.patiently`."""

    def part() -> bytes:
        found = os.stat(path)
        held = _opened(path, found.st_ino, found.st_mtime_ns, found.st_size)
        return os.pread(held.number, length, offset)

    return files.patiently(part)
