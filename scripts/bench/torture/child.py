"""A command in a process of its own, forked from this one, which has imported what is slow to import.

The network is one of two matrices, its images are canvases without augmentation: what is tortured is what lies around them,
and tracing the real ones takes longer than all the rest.
"""

if __name__ == "__main__":
    raise SystemExit("child.py is a part of run.py, and does nothing by itself")

import os
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import writes
from places import ROOT, Place

from jaxmarks import models, transform
from jaxmarks.training import rendering

LIMIT = 150.0  # seconds after which a command hangs


class Ended(NamedTuple):
    """How a command ended."""

    code: int  # negative: the signal that killed it
    out: str
    err: str
    notes: list[dict]  # of writes.Watch
    hung: bool
    seconds: float  # of a core

    @property
    def hit(self) -> dict | None:
        """The operation that was made to fail."""
        return next((note for note in self.notes if note["hit"]), None)


def imported() -> None:
    """Import what the commands need; none of it may start a thread, which a fork would lose."""
    import importlib

    for name in ("cv2", "flax", "optax", "grain", "tensorboardX", "orbax.checkpoint", "tensorflow_datasets", "imagehash",
                 "array_record.python.array_record_module", "matplotlib.pyplot", "scipy.stats", "scipy.optimize", "jinja2",
                 "pipelines.predictor", "pipelines.packing.cache", "pipelines.runs.restore", "jax.export", "yaml",
                 "tensorflow_datasets.core.example_serializer", "pipelines.sources.formats"):  # fmt: skip
        importlib.import_module(name)
    importlib.import_module("orbax.checkpoint").v1  # noqa: B018  imported as it is asked for


def network(name: str, num_points: int, **_: object) -> models.Model:
    """A network of two matrices, in place of `models.build`."""

    def init(key, size):
        first, last = jax.random.split(key)
        head = {"kernel": 0.01 * jax.random.normal(last, (6, 2 * num_points)), "bias": jnp.zeros(2 * num_points)}
        return {"backbone": {"kernel": jax.random.normal(first, (48, 6))}, "head": head}, {}

    def apply(params, stats, image, train):
        each = image.shape[1] // 4
        small = image.reshape(-1, 4, each, 4, each, 3).mean((2, 4)).reshape(-1, 48) / 128 - 1
        found = jnp.tanh(small @ params["backbone"]["kernel"]) @ params["head"]["kernel"] + params["head"]["bias"][None]
        return found.reshape(-1, num_points, 2), stats

    return models.Model(init, apply)


def images(_, canvases, which, size, __) -> jax.Array:
    """The middles of canvases, in place of `transform.apply_images`."""
    y, x = ((side - size) // 2 for side in canvases.shape[1:3])
    return canvases[which, y : y + size, x : x + size].astype(jnp.float32)


def run(
    script: str,
    flags: list[str],
    folder: Path,
    cache: Path,
    places: list[Place],
    fault: writes.Fault | None = None,
    before: Callable[[], None] | None = None,
    limit: float = LIMIT,
) -> Ended:
    """Run a command of scripts/ in a folder and return how it ended.

    Args:
        script: its name, without .py.
        flags: its command line.
        folder: where it runs.
        cache: its JAXMARKS_CACHE.
        places: of the source.
        fault: what is to fail in it.
        before: called in its process first.
        limit: seconds that it may take.
    """
    return wait(begin(script, flags, folder, cache, places, fault, before), limit)


class Begun(NamedTuple):
    """A command that runs."""

    process: int
    notes: Path  # the file of its notes
    pipes: tuple[int, int]  # of what it prints, and of its errors; files would be cut where a short write is injected


def begin(script, flags, folder, cache, places, fault=None, before=None) -> Begun:
    """Start a command; arguments as `run` has them."""
    base = folder.parent / f"{folder.name}.notes"
    base.mkdir(exist_ok=True)
    notes = base / f"{time.monotonic_ns()}"
    pipes = os.pipe(), os.pipe()
    process = os.fork()
    for reading, writing in pipes:
        os.close(writing if process else reading)
    if process:
        return Begun(process, notes, (pipes[0][0], pipes[1][0]))
    code = 70
    try:
        os.dup2(pipes[0][1], 1)
        os.dup2(pipes[1][1], 2)
        code = _become(script, flags, folder, cache, places, fault, before, notes)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(script, flags, folder, cache, places, fault, before, notes: Path) -> int:
    """Be the command; its exit code."""
    os.environ["JAXMARKS_CACHE"] = str(cache)
    os.chdir(folder)
    models.build, transform.apply_images = network, images
    rendering.augmentation = lambda *_: transform.identity()
    path = ROOT / "scripts" / f"{script}.py"
    sys.argv, sys.path[0] = [str(path), *flags], str(path.parent)
    watch = writes.Watch(places, os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), fault)
    if before:
        before()
    watch.start()
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def wait(begun: Begun, limit: float = LIMIT) -> Ended:
    """Wait for a command, and end it where it takes too long."""
    until, hung, open_ = time.monotonic() + limit, False, set(begun.pipes)
    said = {pipe: b"" for pipe in begun.pipes}
    while open_:
        for pipe in select.select(list(open_), [], [], 0.5)[0]:
            piece = os.read(pipe, 1 << 16)
            said[pipe] += piece
            if not piece:
                open_.discard(pipe)
                os.close(pipe)
        if open_ and not hung and time.monotonic() > until:
            hung = True
            os.kill(begun.process, signal.SIGKILL)
    _, status, used = os.wait4(begun.process, 0)
    out, err = (said[pipe].decode(errors="replace") for pipe in begun.pipes)
    notes = writes.read(begun.notes) if begun.notes.is_file() else []
    return Ended(os.waitstatus_to_exitcode(status), out, err, notes, hung, used.ru_utime + used.ru_stime)
