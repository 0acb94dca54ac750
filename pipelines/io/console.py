"""What a person reads on a terminal: progress with a rate and the time left, and errors of one line."""

import argparse
import contextlib
import importlib.util
import itertools
import logging
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from pipelines.io import compilation, failures, files, flags, guesses

T = TypeVar("T")


def clock(seconds: float) -> str:
    """h:mm:ss, or m:ss below an hour."""
    whole = int(round(max(seconds, 0)))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def say(*lines: str) -> None:
    """Lines on stdout, seen at once, with flags in place of the fields that they name."""
    print(flags.named("\n".join(lines)), flush=True)


class Progress:
    """One line that is rewritten on a terminal; plain lines, at most one in five seconds, elsewhere."""

    def __init__(self, total: int, unit: str):
        self._total, self._unit = total, unit
        self._began, self._shown = time.monotonic(), 0.0
        self._first: int | None = None
        self._last = -1
        self._live = sys.stderr.isatty()

    def start(self, detail: str = "compiling, at first use") -> None:
        """Shows at once that nothing is done yet, and what is going on."""
        text = f"{self._unit} 0/{self._total}  {detail}"
        print(f"\r{text}\x1b[K" if self._live else text, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A line that stays, on stdout, above the one that is rewritten."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        print(text, flush=True)

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
        left = clock(0) if done >= self._total else "?" if each is None else clock(each * (self._total - done))
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


class Passes:
    """Shows the progress of one pass over images after another, as `fitting` tells it: (done, of how many, what for)."""

    def __init__(self):
        self._progress, self._what = None, ""

    def __call__(self, done: int, total: int, what: str) -> None:
        if self._progress is None or what != self._what:
            if self._progress is not None:
                self._progress.close()
            self._progress, self._what = Progress(total, what), what
            self._progress.start()
        if done:
            self._progress.show(done)
        if done == total:
            self._progress.close()


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
        print("\nstopping after this step (compiling ends first); once more ends at once", file=sys.stderr)


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
    """A command line whose errors are one line, as all others, with a guess at what was meant; the module's docstring is its
    help."""

    def __init__(self, description: str | None):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.add_argument(
            "--traceback",
            action=_Shown,
            nargs=0,
            default=argparse.SUPPRESS,
            help="show where in the code a failure was",
        )
        self._given: list[str] = []

    def parse_known_args(self, args=None, namespace=None):
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self._given, namespace)

    def error(self, message: str) -> NoReturn:
        typed = [word.partition("=")[0] for word in itertools.takewhile(lambda w: w != "--", self._given)]
        known = [name for action in self._actions for name in action.option_strings]
        odd = [t for t in typed if t.startswith("--") and not any(name.startswith(t) for name in known)]
        told = [f"{name} is no flag of this command{guesses.flag(name, self._actions)}" for name in odd]
        raise ValueError(f"{'; '.join(told) or message}; --help lists the flags")


_NEEDED = ("numpy", "cv2", "jax", "flax", "optax", "orbax")  # what no command that trains or predicts does without


def begin(name: str, arguments: Callable[[], Parser]) -> None:
    """Read the command line before JAX is imported, where a script of this `__name__` was started as a command: --help is
    shown, and what cannot be read is an error of one line, at once. So is an interpreter without what the project needs."""
    if name != "__main__":
        return
    if missing := [module for module in _NEEDED if importlib.util.find_spec(module) is None]:
        _refuse(f"{sys.executable} has no {', '.join(missing)}: {_environment()}")
    try:
        arguments().parse_args(list(itertools.takewhile(lambda word: word != "--", sys.argv[1:])))
    except ValueError as error:
        _refuse(files.escaped(str(error)))


def _environment() -> str:
    """How to start a script in the project's environment."""
    root = Path(__file__).parents[2]
    make = "" if (root / ".venv/installed").exists() else "`make install` once, then "
    return f"in {root} run {make}`. .venv/bin/activate`, or start scripts by .venv/bin/python"


def _refuse(told: str) -> NoReturn:
    print(f"error: {' '.join(told.split())}", file=sys.stderr)
    sys.exit(2)


class _Shown(argparse.Action):
    """--traceback, which is of this process and none of a command's settings."""

    asked = False

    def __call__(self, *_: object) -> None:
        _Shown.asked = True


class _OneLine(logging.Formatter):
    """A log record as one line; the traceback that may come with it is for --traceback."""

    def __init__(self):
        super().__init__("warning: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if _Shown.asked:
            return super().format(record)
        return f"warning: {files.escaped(flags.named(' '.join(record.getMessage().split())))}"


def _one_line_each() -> None:
    """Has what libraries say of their own accord said in one line each: logs, and what fails in threads or at the end of
    objects, which is left out, since whoever waited for it tells."""
    logging.basicConfig(level=logging.WARNING)  # with a handler there, orbax and absl, imported later, add none
    for handler in logging.getLogger().handlers:  # absl, imported before, made one with a form of its own
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(_OneLine())
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # what it logs as an error, orbax raises as well
    unraisable, threads = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda failed: unraisable(failed) if _Shown.asked else None
    threading.excepthook = lambda failed: threads(failed) if _Shown.asked else None


def run(main: Callable[[], int | None]) -> None:
    """Runs a command; whatever fails is one line and an exit code, as `failures.told` has it. What JAX compiles for it is
    kept."""
    _Shown.asked = False
    _one_line_each()
    try:
        compilation.keep()
        code = main() or 0
        sys.stdout.flush()  # a full disk is told here, not as Python ends
        sys.exit(code)
    except KeyboardInterrupt:
        print(
            "\nended at once; no file is half-written, and the same command goes on from what it kept", file=sys.stderr
        )
        sys.exit(130)
    except BrokenPipeError:  # whoever read what is printed has read enough
        _discard_output()
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        if _Shown.asked:
            traceback.print_exc()
        line, code = failures.told(error)
        print(f"error: {files.escaped(line)}", file=sys.stderr)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.exit(code)
        _discard_output()
        sys.exit(code)


def _discard_output() -> None:
    """What is still to be printed is not, nor that it could not be."""
    with contextlib.suppress(OSError, ValueError):  # a stdout that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def faults(lines: list[str], limit: int = 10) -> None:
    """The images that could not be used, at the end of a command."""
    if lines:
        print(f"{len(lines)} {'image' if len(lines) == 1 else 'images'} could not be used:")
        print("\n".join(f"  {files.escaped(line)}" for line in lines[:limit]))
        if len(lines) > limit:
            print(f"  ... and {len(lines) - limit} more")
