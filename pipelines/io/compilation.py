"""Compilation cache shared by all commands: ${JAXMARKS_CACHE:-~/.cache/jaxmarks}/compiled/MACHINE, at most 2 GB.

MACHINE stands for what JAX's own key leaves out though compiled code depends on it: the processor and the cores at hand.
So a step from the cache is the very code that would be compiled here, and gives the same bits.
"""

import contextlib
import hashlib
import logging
import os
import platform
import re
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxmarks.config import cores
from pipelines.io import files

_log = logging.getLogger("jaxmarks")

LIMIT = 2_000_000_000  # bytes
_LEAST = 0.05  # seconds of compilation: what takes less is not worth a file
_LONG = 100.0  # seconds of compilation, before XLA speaks up
_TROUBLE = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL)


def root() -> Path:
    """The folder of all machines."""
    return files.cache_root() / "compiled"


def folder() -> Path:
    """Return the folder of this machine, named by the processor's features and the number of cores this process may
    use."""
    known = f"{platform.machine()} {_features()} {os.environ.get('NPROC', '')}"  # XLA takes NPROC for the cores
    return root() / f"{hashlib.sha256(known.encode()).hexdigest()[:12]}-{cores()}"


def for_threads(least: int) -> None:
    """Have XLA compile CPU code for `least` threads where there are fewer cores: it takes the larger of the cores and of the
    process's CPU devices, and the bits of a step depend on it. To be called before anything is put on a device."""
    if "NPROC" in os.environ or least <= cores():
        return
    before, jax = str(folder()), sys.modules.get("jax")
    os.environ["NPROC"] = str(least)
    if jax and jax.config.jax_compilation_cache_dir == before:
        jax.config.update("jax_compilation_cache_dir", str(folder()))


def _features() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()


def keep() -> None:
    """Make JAX store what it compiles, whether it is imported already or later in this process.

    A folder set by JAX_COMPILATION_CACHE_DIR is used as it is, and JAX_ENABLE_COMPILATION_CACHE=false disables the
    cache. A folder that cannot be used, or a processor whose code JAX cannot store, is one line on stderr.
    """
    jax = sys.modules.get("jax")
    given = jax.config.jax_compilation_cache_dir if jax else os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if not given:
        settings = {
            "jax_compilation_cache_dir": str(folder()),
            "jax_persistent_cache_min_compile_time_secs": _LEAST,
        }
        for name, value in settings.items():
            if jax:
                jax.config.update(name, value)
            else:
                os.environ[name.upper()] = str(value)
        bound(LIMIT)
    _say_trouble_once(Path(given or folder()), ours=not given)


class Kept(NamedTuple):
    """A file of the cache."""

    used: float  # seconds since the epoch; when it was written where the disk notes no reading
    bytes: int
    path: Path


def listing() -> list[Kept]:
    """Return the stored files of all machines, least recently used first."""
    found = []
    for path in root().rglob("*"):
        with contextlib.suppress(OSError):  # another command deleted it
            if path.is_file():
                known = path.stat()
                found.append(Kept(max(known.st_atime, known.st_mtime), known.st_size, path))
    return sorted(found)


def bound(limit: int) -> None:
    """Delete the least recently used files until the rest takes at most `limit` bytes."""
    found = listing()
    total = sum(k.bytes for k in found)
    for k in found:
        if total <= limit:
            break
        _delete(k.path)
        total -= k.bytes


def prune(days: float) -> list[Kept]:
    """Delete and return the files that were not used for `days` days."""
    old = [k for k in listing() if time.time() - k.used >= days * 86400]
    for k in old:
        _delete(k.path)
    return old


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):  # not ours to delete: then it stays
        path.unlink(missing_ok=True)


def _say_trouble_once(where: Path, ours: bool) -> None:
    """Print JAX's first warning that it cannot read or write the cache as one line, and drop the others.

    A damaged file of ours, as JAX leaves one if it is killed while writing, is deleted, so that it is written anew.
    """
    before, said = warnings.showwarning, []

    def show(message, category, filename, lineno, file=None, line=None):
        if not (found := _TROUBLE.match(str(message))):
            return before(message, category, filename, lineno, file, line)
        doing, name, reason = found.groups()
        if ours and doing == "reading":
            for path in where.glob(f"{name}-*"):
                _delete(path)
        if not said:
            said.append(reason)
            _log.warning("%s what is compiled in %s: %s; compiling", doing, where, " ".join(reason.split()))

    warnings.showwarning = show


@contextlib.contextmanager
def patience(say: Callable[[str], None]) -> Iterator[None]:
    """Say, where this takes long, that XLA's own text on slow compiling, which it prints after two minutes, is no error."""
    timer = threading.Timer(_LONG, say, ["still compiling; what XLA prints about slow compiling is a remark, no error"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def report_first_call(take_step: Callable, say: Callable[[str], None]) -> Callable:
    """Return take_step with a wait after its first call and a line from `say`: the seconds since this process began and
    those of the call, and whether all code that it compiles came from the cache."""
    done = False

    def step(*arguments):
        nonlocal done
        if done:
            return take_step(*arguments)
        import jax

        events, began = Counter(), time.monotonic()
        note = lambda event, **_: events.update([event.rsplit("/", 1)[-1]])  # noqa: E731
        jax.monitoring.register_event_listener(note)
        with patience(say):
            result = jax.block_until_ready(take_step(*arguments))
        jax.monitoring.unregister_event_listener(note)
        took, done = time.monotonic() - began, True
        read = events["cache_hits"] and not events["cache_misses"]
        how = "reading its compiled code from the cache" if read else "compiling it"
        say(f"first step after {_running():.1f} s; {took:.1f} s of them were {how} and taking it")
        return result

    return step


def _running() -> float:
    """Seconds since this process began."""
    with contextlib.suppress(OSError):
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.process_time()
