"""What a person reads on a terminal: progress with a rate and the time left, and errors of one line."""

import argparse
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from pipelines import compiled, files

T = TypeVar("T")


def clock(seconds: float) -> str:
    """h:mm:ss, or m:ss below an hour."""
    whole = int(round(max(seconds, 0)))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class Progress:
    """One line that is rewritten on a terminal; plain lines, at most one in five seconds, elsewhere."""

    def __init__(self, total: int, unit: str):
        self._total, self._unit = total, unit
        self._began, self._shown = time.monotonic(), 0.0
        self._first: int | None = None
        self._last = -1
        self._live = sys.stderr.isatty()

    def show(self, done: int, detail: str = "") -> None:
        """`done` of the total, with a detail such as the loss."""
        now = time.monotonic()
        if self._first is None:  # what compilation took says nothing about the rest
            self._first = done
            self._began = now
        if done == self._last or (done < self._total and now - self._shown < (0.1 if self._live else 5.0)):
            return
        self._shown, self._last = now, done
        each = (now - self._began) / (done - self._first) if done > self._first else None
        left = "?" if each is None else clock(each * (self._total - done))
        text = f"{self._unit} {done}/{self._total}  {detail}  left {left}"
        print(f"\r{text}\x1b[K" if self._live else text, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def over(self, batches: Iterable[tuple[T, int]]) -> Iterator[tuple[T, int]]:
        """The batches as they are, each counted by its number of examples when the next is asked for."""
        done = 0
        for batch, count in batches:
            yield batch, count
            done += count
            self.show(done)

    def close(self) -> None:
        """Ends the rewritten line."""
        if self._live and self._shown:
            print(file=sys.stderr)


class Stop:
    """True from the first Ctrl-C or SIGTERM on; a second Ctrl-C ends at once. `exit_code`: 128 + the signal's number."""

    def __init__(self):
        self._asked, self.exit_code = False, 0
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)

    def __call__(self) -> bool:
        return self._asked

    def _note(self, number: int, frame: object) -> None:
        self._asked, self.exit_code = True, 128 + number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this step; once more ends at once", file=sys.stderr)


_TUNABLES, _LARGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"


def large_pages() -> None:
    """Starts this command anew, in its own process, with large pages for large buffers, where the C library has them on
    request: training steps map theirs anew each time, which is a fifth of a step in small pages.

    To be called before JAX is imported. Does nothing where GLIBC_TUNABLES is set, to whatever, or where this is no command
    of its own.
    """
    own = sys.orig_argv[1:2] == sys.argv[:1] and sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    if not own or _TUNABLES in os.environ:
        return
    try:
        if "[madvise]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
            return
        os.execve(sys.executable, sys.orig_argv, {**os.environ, _TUNABLES: _LARGE_PAGES})
    except OSError:  # no such file, or no such right: small pages will do
        return


class Parser(argparse.ArgumentParser):
    """A command line whose errors are one line, as all others; the module's docstring is its help."""

    def __init__(self, description: str | None):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; --help lists the flags")


class _Warning(logging.Formatter):
    """A warning as it can be printed."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(files.escaped, super().format(record).splitlines()))


def run(main: Callable[[], int | None]) -> None:
    """Runs a command; what it refuses (ValueError) or cannot read or write (OSError) is one line and exit code 2. What JAX
    compiles for it is kept."""
    logging.basicConfig(level=logging.WARNING)  # with a handler there, orbax and absl, imported later, add none
    for handler in logging.getLogger().handlers:  # absl, imported before, made one with a form of its own
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(_Warning("warning: %(message)s"))
    logging.getLogger("absl").setLevel(logging.ERROR)
    compiled.keep()
    try:
        sys.exit(main() or 0)
    except KeyboardInterrupt:
        print(
            "\nended at once; no file is half-written, and the same command goes on from what it kept", file=sys.stderr
        )
        sys.exit(130)
    except (ValueError, OSError) as error:
        told = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            told = f"{error.filename}: {error.strerror}"
        print(f"error: {files.escaped(' '.join(told.split()))}", file=sys.stderr)
        sys.exit(2)


def faults(lines: list[str], limit: int = 10) -> None:
    """The pictures that could not be used, at the end of a command."""
    if lines:
        print(f"{len(lines)} {'picture' if len(lines) == 1 else 'pictures'} could not be used:")
        print("\n".join(f"  {files.escaped(line)}" for line in lines[:limit]))
        if len(lines) > limit:
            print(f"  ... and {len(lines) - limit} more")
