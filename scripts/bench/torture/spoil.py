"""Ways to spoil: what is done to files, and what is done within a process."""

if __name__ == "__main__":
    raise SystemExit("spoil.py is a part of run.py, and does nothing by itself")

import errno
import itertools
import os
import random
import time
from pathlib import Path

import cv2
import numpy as np


def flipped(path: Path, rng: random.Random) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(path: Path, _: random.Random) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path, _: random.Random) -> None:
    """Leave nothing in a file."""
    path.write_bytes(b"")


WAYS = {"flipped bit": flipped, "cut": cut, "emptied": emptied}


def kinds(folder: Path) -> dict[str, Path]:
    """Return a file of each kind in a run folder or a packed set, by what it is named."""
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size):
        shown = path.relative_to(folder).as_posix()
        if "/state/" in shown:
            inner = shown.partition("/state/")[2]
            shown = (
                f"checkpoints/N/state/{inner.rpartition('/')[0]}/*"
                if "/d/" in inner
                else f"checkpoints/N/state/{inner}"
            )
        elif shown.startswith("checkpoints"):
            shown = "checkpoints/N/commit.json"
        elif shown.startswith("log/"):
            shown = "log/*"
        found[shown] = path  # the last: of the newest checkpoint
    return found


def spoiled(name: str, way: str, seed: str, folder: Path) -> None:
    """Damage a file of a folder."""
    WAYS[way](folder / name, random.Random(seed))


def nan_label(folder: Path) -> None:
    """Write NaN as a coordinate."""
    path = folder / "set/train/landmarks.csv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].rpartition("\t")[0] + "\tnan"
    path.write_text("\n".join(lines) + "\n")


def nan_image(folder: Path) -> None:
    """Put an image of NaN values, as float32 TIFF, under the name of another."""
    path = sorted((folder / "set/train/images").iterdir())[1]
    made, data = cv2.imencode(".tiff", np.full((64, 64, 3), np.nan, np.float32))
    assert made
    path.write_bytes(data.tobytes())


def label_edit() -> None:
    """Change the label file a moment after the command has read it: as the first checkpoint is written."""
    from jaxmarks.training import checkpoint

    save = checkpoint.save

    def edited(*arguments, **options):
        path = Path("set/train/landmarks.csv")
        path.write_text(path.read_text().replace("\t1", "\t2", 3))
        return save(*arguments, **options)

    checkpoint.save = edited


def decoding(error: Exception, sound: int = 6) -> None:
    """Let the threads that decode raise an error, after some sound images."""
    from pipelines.images import placement

    canvas, count = placement.canvas, itertools.count()

    def broken(*arguments, **options):
        if next(count) >= sound:
            raise error
        return canvas(*arguments, **options)

    placement.canvas = broken


def bad_images() -> None:
    """Let no image be decoded after a while."""
    from pipelines.images import decode

    decoding(decode.DecodeError("injected"))


def broken_decoder() -> None:
    """Let decoding raise what nobody expects."""
    decoding(RuntimeError("injected into a thread that decodes"))


def failing_disk() -> None:
    """Let the reading of images fail for good."""
    decoding(OSError(errno.EIO, os.strerror(errno.EIO), "set/train/images"))


def little_memory() -> None:
    """Let the threads that decode ask for more memory than there is."""
    from pipelines.images import placement

    placement.canvas = lambda *_, **__: np.empty(1 << 55, np.uint8)


def yesterday() -> None:
    """Set the clock of this process back by a day."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() - 86400
    time.time_ns = lambda: real_ns() - 86400 * 10**9
