"""Terminal output: progress with a rate and the time left, and errors of one line."""

import argparse
import contextlib
import dataclasses
import importlib.util
import itertools
import logging
import os
import platform
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jaxmarks import data_sets
from jaxmarks.config import Config
from pipelines.io import compilation, distributed, failures, files, flags, guesses

T = TypeVar("T")


def clock(seconds: float) -> str:
    """Format seconds as h:mm:ss, or m:ss below an hour."""
    whole = int(round(max(seconds, 0)))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


_INSTALLED = "jaxmarks "  # how sys.argv begins where a command was started by its installed name


def as_typed(text: str) -> str:
    """A text as a command line has it: flags in place of the fields that it names, and the project's commands as this one
    was started, `jaxmarks NAME` where it was."""
    text = flags.named(text)
    if not sys.argv[0].startswith(_INSTALLED):
        return text
    return re.sub(r"(python )?\bscripts/(\w+)\.py\b", rf"{_INSTALLED}\2", text)


_silent = False  # no progress is shown


def join(given: dict[str, Any]) -> None:
    """Join the processes of this command, as `distributed.start` has it. All but the first print nothing but warnings and
    errors."""
    global _silent
    if not distributed.start(given):
        _silent, sys.stdout = True, open(os.devnull, "w")  # noqa: SIM115  as long as the process


def say(*lines: str) -> None:
    """Print lines on stdout and flush, `as_typed`."""
    print(as_typed("\n".join(lines)), flush=True)


class Progress:
    """Progress on one rewritten line of a terminal; elsewhere plain lines, at most one in five seconds. brief: none of what
    takes less."""

    def __init__(self, total: int, unit: str, *, brief: bool = False):
        self._total, self._unit = total, unit
        self._first: int | None = None
        self._last, self._live = -1, sys.stderr.isatty()
        self._began, self._brief = time.monotonic(), brief and not self._live
        self._shown = self._began if self._brief else 0.0

    def start(self, detail: str = "compiling, at first use") -> None:
        """Show at once that nothing is done yet, with a detail."""
        self._write(f"{self._unit} 0/{self._total}  {detail}")

    def _write(self, text: str) -> None:
        if _silent:
            return
        print(f"\r{text}\x1b[K" if self._live else text, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print a line that stays, on stdout and `as_typed`, above the rewritten one."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        say(text)

    def show(self, done: int, detail: str = "") -> None:
        """Show that `done` of the total are done, with a detail such as the loss."""
        now = time.monotonic()
        if self._first is None:  # what compilation took says nothing about the rest
            self._first = done
            self._began = now
        soon = now - self._shown < (0.1 if self._live else 5.0)
        if done == self._last or (soon and (done < self._total or (self._brief and self._last < 0))):
            return
        self._shown, self._last = now, done
        each = (now - self._began) / (done - self._first) if done > self._first else None
        left = clock(0) if done >= self._total else "?" if each is None else clock(each * (self._total - done))
        self._write(f"{self._unit} {done}/{self._total}  {detail}  left {left}")

    def leave_out(self, seconds: float) -> None:
        """Leave out seconds that say nothing about the rest, such as those of compiling."""
        self._began += seconds

    def over(self, batches: Iterable[tuple[T, int]]) -> Iterator[tuple[T, int]]:
        """Yield the batches of (batch, number of examples), counting each when the next is requested."""
        done = 0
        for batch, count in batches:
            yield batch, count
            done += count
            self.show(done)

    def close(self) -> None:
        """End the rewritten line."""
        if self._live and self._shown:
            print(file=sys.stderr)


class Passes:
    """Progress of several passes over images, called with (done, total, purpose)."""

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
    """Restart this command in its own process with large pages for large buffers, if the C library has them on request:
    training steps map their buffers anew each time, which takes a fifth of a step with small pages.

    Call before JAX is imported. Does nothing if GLIBC_TUNABLES is set, to any value, or if this process is not a
    command of its own.
    """
    started = sys.orig_argv[1:2] == sys.argv[:1] or sys.argv[0].startswith(_INSTALLED)
    own = started and sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    if not own or _TUNABLES in os.environ:
        return
    try:
        if "[madvise]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
            return
        os.execve(sys.executable, sys.orig_argv, {**os.environ, _TUNABLES: _LARGE_PAGES})
    except OSError:  # no such file, or no such right: small pages will do
        return


class Parser(argparse.ArgumentParser):
    """Command line parser with the module's docstring as help and errors of one line, with a suggestion for a mistyped
    flag."""

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

    def add_places(self, names: Collection[str] = flags.Places.__required_keys__) -> None:
        """Add the flags of the fields that say where a data set's images, boxes and objects are, as `Config` has them."""
        for f in dataclasses.fields(Config):
            if f.name in names:
                self.add_argument(flags.TABLE[f.name], default="", help=f.metadata["help"])

    def add_data(self, help: str, *, required: bool = False) -> None:
        """Add the flag of `data`, which may be given several times."""
        self.add_argument("--data", action=data_sets.Several, required=required, help=help)

    def format_help(self) -> str:
        return as_typed(super().format_help())

    def parse_known_args(self, args=None, namespace=None):
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self._given, namespace)

    def error(self, message: str) -> NoReturn:
        typed = [word.partition("=")[0] for word in itertools.takewhile(lambda w: w != "--", self._given)]
        known = [name for action in self._actions for name in action.option_strings]
        unknown = [t for t in typed if t.startswith("--") and not any(name.startswith(t) for name in known)]
        lines = [f"{name} is not a flag of this command{guesses.flag(name, self._actions)}" for name in unknown]
        raise ValueError(f"{'; '.join(lines) or message}; --help lists the flags")


_NEEDED = ("numpy", "cv2", "jax", "flax", "optax", "orbax")  # what no command that trains or predicts does without


def begin(name: str, arguments: Callable[[], Parser]) -> None:
    """Read the command line before JAX is imported, if a script of this `__name__` was started as a command: --help is
    printed, an invalid command line or a missing package is an error of one line."""
    if name != "__main__":
        return
    if missing := [module for module in _NEEDED if importlib.util.find_spec(module) is None]:
        _reject(f"{sys.executable} has no {', '.join(missing)}: {_environment()}")
    try:
        arguments().parse_args(list(itertools.takewhile(lambda word: word != "--", sys.argv[1:])))
    except ValueError as error:
        _reject(files.escaped(str(error)))


def _environment() -> str:
    """Return how to start a script in the project's environment."""
    root = Path(__file__).parents[2]
    if not (root / "Makefile").exists():  # installed from a wheel
        return "python -m pip install jaxmarks installs it with all it needs"
    make = "" if (root / ".venv/installed").exists() else "`make install` once, then "
    return f"in {root} run {make}`. .venv/bin/activate`, or start scripts by .venv/bin/python"


def _reject(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


class _Shown(argparse.Action):
    """The flag --traceback, which belongs to this process and not to a command's settings."""

    asked = False

    def __call__(self, *_: object) -> None:
        _Shown.asked = True


class _OneLine(logging.Formatter):
    """Formatter of log records as one line, with the traceback only under --traceback."""

    def __init__(self):
        super().__init__("warning: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if _Shown.asked:
            return as_typed(super().format(record))
        return f"warning: {files.escaped(as_typed(' '.join(record.getMessage().split())))}"


def _one_line_each() -> None:
    """Print what libraries report of their own accord as one line each: logs, and failures in threads. Failures at the
    end of objects are dropped, because whoever waited for the object reports them."""
    logging.basicConfig(level=logging.WARNING)  # with a handler there, orbax and absl, imported later, add none
    for handler in logging.getLogger().handlers:  # absl, imported before, made one with a form of its own
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(_OneLine())
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # what it logs as an error, orbax raises as well
    unraisable, threads = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda failed: unraisable(failed) if _Shown.asked else None
    threading.excepthook = lambda failed: threads(failed) if _Shown.asked else None


def run(main: Callable[[], int | None]) -> None:
    """Run a command. A failure is one line and an exit code, by `failures.describe`. The code that JAX compiles is cached."""
    _Shown.asked = False
    _one_line_each()
    try:
        compilation.keep()
        code = main() or 0
        sys.stdout.flush()  # a full disk fails here, not as Python ends
        sys.exit(code)
    except KeyboardInterrupt:
        print("\nended at once; no file is half-written, and the same command resumes", file=sys.stderr)
        distributed.leave(130)
        sys.exit(130)
    except BrokenPipeError:  # whoever read what is printed has read enough
        _discard_output()
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        if _Shown.asked:
            traceback.print_exc()
        line, code = failures.describe(error)
        print(f"error: {files.escaped(as_typed(line))}", file=sys.stderr)
        distributed.leave(code)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.exit(code)
        _discard_output()
        sys.exit(code)


def _discard_output() -> None:
    """Discard output that is still to be printed, and the error that it could not be."""
    with contextlib.suppress(OSError, ValueError):  # a stdout that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def faults(lines: list[str], limit: int = 10) -> None:
    """Print the images that could not be used, at the end of a command."""
    if lines:
        print(f"{len(lines)} {'image' if len(lines) == 1 else 'images'} could not be used:")
        print("\n".join(f"  {files.escaped(line)}" for line in lines[:limit]))
        if len(lines) > limit:
            print(f"  ... and {len(lines) - limit} more")
