"""Failures of a command as one line: what failed, where, and what to do."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipelines.io import files

REJECTED, FAULT = 2, 70  # exit codes: what the user can put right; a fault of this program
AGAIN = 75  # nothing is wrong here: the same command again resumes (EX_TEMPFAIL of sysexits.h)

_LOST = (
    "another process of this run was lost, or a device failed ({}); the same command in all processes resumes from the"
    " newest checkpoint"
)

_ROOT = Path(__file__).parents[2]
_OWN = ("jaxmarks", "pipelines", "scripts", "jaxmarks_commands")
_REMEDIES = {
    errno.ENOSPC: "free some space there or name another place; the same command resumes",
    errno.EDQUOT: "free some of your quota or name another place; the same command resumes",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f) or name another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or give fewer `workers`",
    errno.ENFILE: "the system has too many files open; close the programs that hold them",
    errno.EROFS: "nothing can be written there; name another place",
    errno.EACCES: "its owner must give you the right, or name another place",
    errno.EIO: "the disk or the network could not be read or written; the same command resumes",
    errno.ENAMETOOLONG: "choose shorter names",
}
_LESS = (
    "reduce memory use: a smaller `batch`, `size` or `workers`, more `accumulate` (training) or a smaller `at_once`"
    " (prediction)"
)
_EXTRAS = {
    "onnx": "onnx onnxruntime",
    "onnxruntime": "onnx onnxruntime",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
}
_EXTRAS |= {"orbax": "orbax-checkpoint", "tensorflow_datasets": "tensorflow-datasets importlib_resources"}


def describe(error: BaseException) -> tuple[str, int]:
    """Return (one line on a failure, exit code).

    An unknown failure is a bug of this program: its traceback is stored in a file, which the line names.
    """
    for each in _chain(error):
        if type(each).__name__ == "LostError" or (_several() and _is_of_jax(each)):
            return _LOST.format(" ".join(str(each).split())[:150]), AGAIN
        if (line := _known(each)) is not None:
            return " ".join(line.split()), REJECTED
    if (line := _device()) is not None:
        return line, REJECTED
    if isinstance(error, ValueError):
        return _without_file(error), REJECTED
    message = " ".join(str(error).split())[:300]
    return (
        f"{type(error).__name__}{f': {message}' if message else ''}{_at(error)}; this is a bug, please"
        f" report it with its traceback: {_keep(error)}",
        FAULT,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes; a ValueError or OSError ends the chain, because it says all there is to say."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None:
            return
        yield seen
        if isinstance(seen, ValueError | OSError):
            return
        seen = seen.__cause__ or seen.__context__


def _known(error: BaseException) -> str | None:
    """Return a line on a failure of the machine or of its installation, or None for others."""
    text = str(error)
    if isinstance(error, OSError):
        remedy = _REMEDIES.get(error.errno or 0)
        where = f"{error.filename}: " if error.filename else ""
        what = f"{where}{error.strerror}" if error.strerror else text
        return f"{what}{_at(error) if error.errno is not None and not where else ''}{f'; {remedy}' if remedy else ''}"
    if os.strerror(errno.ENOSPC) in text:  # as libraries of other languages tell it
        return f"{text[:300]}{_at(error)}; {_REMEDIES[errno.ENOSPC]}"
    if isinstance(error, MemoryError):
        return f"out of memory{f': {text}' if text else ''}{_at(error)}; {_LESS}"
    if _is_of_jax(error):
        return _of_jax(error, text)
    if isinstance(error, ImportError):
        package = (error.name or "").partition(".")[0]
        if package and package not in _OWN:
            return f"{text}{_at(error)}; install it: python -m pip install {_EXTRAS.get(package, package)}"
    if isinstance(error, RecursionError):
        return f"something is nested too deeply to be read{_at(error)}; if it is a file of yours, nest it less"
    return None


def _is_of_jax(error: BaseException) -> bool:
    return type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")


def _several() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1


def _of_jax(error: BaseException, text: str) -> str | None:
    if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
        if (line := _device()) is not None:
            return line
        first = text.strip().partition("\n")[0][:300]
        return f"JAX's device failed: {first}{_at(error)}; the same command resumes from the newest checkpoint"
    asked = re.search(r"allocat\w*[^\d\n]{0,20}([\d.]+ ?(?:[KMGT]i?B|bytes?))", text)
    busy = "" if _backend() == "cpu" else ", or see whether another process holds the device's memory"
    return f"out of memory on the device ({_backend()}){f', asked for {asked[1]}' if asked else ''}{_at(error)}; {_LESS}{busy}"


def _backend() -> str:
    with suppress(Exception):
        return sys.modules["jax"].default_backend()
    return "unknown"


def _device() -> str | None:
    """Return a line if JAX finds none of the requested devices, or None."""
    if (jax := sys.modules.get("jax")) is None:
        return None
    try:
        jax.devices()
    except Exception as error:  # jax 0.10 asserts where a plugin is missing
        asked = os.environ.get("JAX_PLATFORMS", "")
        why = f" ({' '.join(str(error).split())[:200]})" if str(error) else ""
        gpu = "; for an NVIDIA GPU: python -m pip install 'jax[cuda12]'" if asked in ("cuda", "gpu") else ""
        return f"JAX_PLATFORMS={asked}: no such device{why}; unset it to use the available devices{gpu}"
    return None


def _without_file(error: ValueError) -> str:
    """Return the line of a ValueError; of text that is not UTF-8 with the place in the program."""
    line = " ".join(str(error).split())
    return f"{line}{_at(error)}" if isinstance(error, UnicodeError) else line


def _at(error: BaseException) -> str:
    """Return the innermost place of our code that a failure passed through."""
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OWN:
            found = f" (at {path.relative_to(_ROOT)}:{frame.lineno})"
    return found


def _keep(error: BaseException) -> str:
    """Write a traceback into the cache; return its path, or how to see it."""
    path = files.cache_root() / "traceback.txt"
    try:
        with files.whole(path) as file:
            file.write("".join(traceback.format_exception(error)).encode(errors="backslashreplace"))
    except OSError:
        return "run the command again with `traceback`"
    return str(path)
