"""Store of a run's canvases: the one that is asked for, or the next that there is room for."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax

from jaxmarks import processes, words
from jaxmarks.config import STORES, Config
from jaxmarks.experiment import Experiment
from jaxmarks.types import Batch
from pipelines.example import Source, Subset
from pipelines.images import canvas_file, placement, rows
from pipelines.images.canvas_file import CanvasFile
from pipelines.images.device_canvases import Devices
from pipelines.images.store import Host, Nowhere, Store
from pipelines.io import files, memory
from pipelines.runs.run_folder import Run

_KEPT = {"device": "on the device", "host": "in host memory", "disk": "in", "none": "nowhere"}
_VERSION = 1  # of how an image becomes a canvas: to be raised where a pixel may change


class Opened(NamedTuple):
    """A store, the function that puts batches on the devices, and what a person should know."""

    store: Store
    ready: Callable[[Batch], Batch]
    lines: list[str]


class Room(NamedTuple):
    """Bytes that a kind of store would take, and that are free there; None: it is not to be had, and why."""

    need: int
    free: int | None
    why: str = ""


def opened(run: Run, source: Source, part: Subset, plan: Experiment) -> Opened:
    """Return the store of a run for the training split `part` of its data.

    `auto` takes the first of device (an accelerator's), host and disk that needs at most half of what is free there. One
    that is asked for by name and does not fit gives way to the next, with a line.
    """
    side, count = placement.canvas_side(run.config.size, run.config.canvas), len(part)
    path = _path(run, source)
    rooms, lines = _rooms(run.config, source, part, path), []
    if processes.count() > 1:
        several = Room(rooms["device"].need, None, "is for a run in one process")
        rooms |= {"device": several, "host": rooms["host"]._replace(free=memory.free() // processes.on_this_host())}
    for kind in _order(run.config.store):
        room = rooms[kind]
        if fault := _fault(kind, room, auto=run.config.store == "auto"):
            lines += [f"canvases: `store` {kind}: {fault}"] * (run.config.store != "auto")
            continue
        try:
            store = _make(kind, run, source, part, plan, path)
        except (OSError, ValueError, MemoryError) as error:
            lines.append(f"canvases: `store` {kind}: {error}")
            continue
        where = f"{_KEPT[kind]} {path}" if kind == "disk" else _KEPT[kind]
        size = f"{words.counted(count, 'training image')} as canvases of {side} px, {words.size(room.need)}"
        lines.append(f"{size}: kept {where} once decoded" if kind != "none" else f"{size}: decoded at each use")
        return Opened(store, store.split if isinstance(store, Devices) else plan.split, lines)
    raise AssertionError("a store of nothing always fits")


def _order(asked: str) -> list[str]:
    """The kinds to try."""
    kinds = [kind for kind in STORES if kind != "auto"]
    return kinds if asked == "auto" else kinds[kinds.index(asked) :]


def _fault(kind: str, room: Room, *, auto: bool) -> str | None:
    """Describe why a kind is passed over, None for one that fits."""
    if room.free is None:
        return room.why
    share = room.free // 2 if auto else room.free
    if kind != "none" and room.need > share:
        return f"needs {words.size(room.need)} of the {words.size(room.free)} free there"
    return None


def _rooms(config: Config, source: Source, part: Subset, path: Path) -> dict[str, Room]:
    side, beside = placement.canvas_side(config.size, config.canvas), rows.about(source.num_points).itemsize
    pixels = side * side * 3
    found = os.stat(path).st_blocks * 512 if path.is_file() else 0
    return {
        "device": Room(len(part) * pixels, *_device_free(config.store == "device")),
        "host": Room(len(part) * (pixels + beside), memory.free()),
        "disk": Room(len(part) * (8 + pixels + beside), found + _disk_free(path)),
        "none": Room(len(part) * pixels, 0),
    }


def _device_free(asked: bool) -> tuple[int | None, str]:
    """(bytes free on the fullest device, why there are none). A CPU's are host memory, taken where it is asked for."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    if all(stats):
        return min(found["bytes_limit"] - found["bytes_in_use"] for found in stats if found), ""
    return (memory.free() // len(stats), "") if asked else (None, "the device has no memory of its own")


def _disk_free(path: Path) -> int:
    there = next((folder for folder in path.parents if folder.is_dir()), Path("/"))
    return shutil.disk_usage(there).free


def _make(kind: str, run: Run, source: Source, part: Subset, plan: Experiment, path: Path) -> Store:
    side, points = placement.canvas_side(run.config.size, run.config.canvas), source.num_points
    if kind == "device":
        return Devices(len(part), side, points, plan.mesh)
    if kind == "host":
        return Host(len(part), side, points)
    if kind == "disk":
        return CanvasFile(path, _key(run, source), part.indices, len(source), side, points)
    return Nowhere()


def _path(run: Run, source: Source) -> Path:
    name = hashlib.sha256(json.dumps(_key(run, source), sort_keys=True).encode()).hexdigest()[:16]
    return files.cache_root() / canvas_file.FOLDER / f"{name}{canvas_file.SUFFIX}"


def _key(run: Run, source: Source) -> dict[str, Any]:
    """All that a canvas and its label depend on."""
    c = run.config
    return {
        "version": _VERSION,
        "data": run.data_identity,
        "examples": len(source),
        "points": source.num_points,
        "size": c.size,
        "canvas": c.canvas,
        "box_margin": c.box_margin,
        "opencv": cv2.__version__,
    }
