"""What a command writes, seen from within: an audit hook that notes each operation on files, and makes one of them fail."""

if __name__ == "__main__":
    raise SystemExit("writes.py is a part of run.py, and does nothing by itself")

import errno
import json
import os
import resource
import signal
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from places import ROOT, Place

ERRORS = {"no space": errno.ENOSPC, "read-only": errno.EROFS, "no permission": errno.EACCES}
SHORT, BEFORE, AFTER = "short write", "kill before", "kill after"
FAULTS = (*ERRORS, SHORT, BEFORE, AFTER)
TAKEN = 7  # bytes that a file takes before a short write ends
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.utime",
           "os.chmod"}  # fmt: skip
_SILENT = ("fsync", "pwrite", "pwritev", "ftruncate")  # of os, without an event of their own
_OURS = "torture."


def fitting(event: str) -> tuple[str, ...]:
    """Return the faults that an operation can have."""
    if event == "open":
        return FAULTS
    freeing = event in ("os.remove", "os.rmdir", "os.utime", "os.chmod")
    opened = event.startswith(_OURS) and event != f"{_OURS}ArrayRecordWriter"
    if event == f"{_OURS}ArrayRecordWriter":
        return (SHORT, BEFORE, AFTER)
    left = [f for f in ERRORS if not (freeing and f == "no space") and not (opened and f != "no space")]
    return (*left, BEFORE, AFTER)


class Fault(NamedTuple):
    """An operation that is to fail: the `number`-th `event` at a place."""

    place: str
    event: str
    number: int  # from 0
    kind: str  # of FAULTS


class Watch:
    """The hook. Each operation at a place is a line of the notes: event, path, places from the innermost on.

    Args:
        places: of the source.
        notes: descriptor of the file of the notes.
        fault: what is to fail; None: nothing.
    """

    def __init__(self, places: list[Place], notes: int, fault: Fault | None = None):
        self._notes, self._fault, self._lock = notes, fault, threading.RLock()
        self._lines: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        for place in places:
            for line in range(place.first, place.last + 1):
                self._lines[str(ROOT / place.file)][line].append(place.name)
        self._counts, self._busy, self._main = Counter(), threading.local(), threading.get_ident()

    def start(self) -> None:
        """Watch this process from now on."""
        for name in _SILENT:
            setattr(os, name, _announced(name, getattr(os, name)))
        from array_record.python import array_record_module as module  # pyright: ignore[reportAttributeAccessIssue]

        module.ArrayRecordWriter = _announced("ArrayRecordWriter", module.ArrayRecordWriter)
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        if event not in _EVENTS and not event.startswith(_OURS) or getattr(self._busy, "now", False):
            return
        if event == "open" and not _for_writing(arguments):
            return
        self._busy.now = True
        try:
            if places := self._places():
                self._seen(event, arguments[1 if event in ("os.rename", "os.symlink") else 0], places)
        finally:
            self._busy.now = False

    def _places(self) -> list[str]:
        """The places on the stack; in a thread that a library started, those of the main thread."""
        frame = sys._getframe(2)
        if threading.get_ident() != self._main:
            found = self._of(frame)
            return found or self._of(sys._current_frames().get(self._main))
        return self._of(frame)

    def _of(self, frame) -> list[str]:
        found = []
        while frame is not None:
            lines = self._lines.get(frame.f_code.co_filename)
            if lines:
                found += lines.get(frame.f_lineno, [])
            frame = frame.f_back
        return found

    def _seen(self, event: str, path: object, places: list[str]) -> None:
        with self._lock:
            hit = self._fault and self._fault.place in places and self._fault.event == event
            number = self._counts[event]
            self._counts[event] += bool(hit)
            now = hit and self._fault and number == self._fault.number
            shown = _shown(path)
            line = {"event": event, "path": shown, "places": places, "hit": bool(now)}
            self._write(json.dumps(line).encode() + b"\n")
        if now and self._fault:
            _inject(self._fault.kind, path)

    def _write(self, line: bytes) -> None:
        """Write a note, for which no limit of size holds."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        os.write(self._notes, line)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _announced(name: str, function: Callable) -> Callable:
    """A function that raises an audit event before it is called."""

    def called(*arguments, **options):
        sys.audit(_OURS + name, *arguments[:1])
        return function(*arguments, **options)

    called.__code__ = called.__code__.replace(co_filename="<torture>")  # no place of a failure is here
    return called


def _shown(path: object) -> str:
    """A path, or that of an open file."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)


def _for_writing(arguments: tuple) -> bool:
    path, mode, flags = arguments
    if isinstance(mode, str) and set(mode) & set("wax+"):
        return True
    return mode is None and isinstance(flags, int) and bool(flags & _CHANGES) and path != os.devnull


def _inject(kind: str, path: object) -> None:
    if kind in ERRORS:
        number = ERRORS[kind]
        named = isinstance(path, str | bytes | os.PathLike)
        raise OSError(number, os.strerror(number), path) if named else OSError(number, os.strerror(number))
    if kind == SHORT:
        resource.setrlimit(resource.RLIMIT_FSIZE, (TAKEN, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    elif kind == BEFORE:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        sys.setprofile(lambda *_: os.kill(os.getpid(), signal.SIGKILL))  # by the next thing that this thread does


for _function in (Watch._note, Watch._seen, _inject):  # nor here
    _function.__code__ = _function.__code__.replace(co_filename="<torture>")


def read(notes: Path) -> list[dict]:
    """Return the notes of a command, in order."""
    return [json.loads(line) for line in notes.read_text().splitlines()]
