"""Images of a folder and its subfolders, recognised by their first bytes, not by their names.

Whatever is passed over has a reason, so that it can be named.
"""

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.images import headers, heic
from pipelines.io import files, guesses
from pipelines.sources import image_names

_log = logging.getLogger("jaxmarks")
ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")  # meant as images
_START = 64  # bytes that tell an image
_NAMED = 10  # files passed over for one reason that are named


class Listed(NamedTuple):
    """Files by name: POSIX paths relative to the folder."""

    images: list[str]
    passed: list[tuple[str, str]]  # (file or folder, why it is passed over)


def found(path: str, without: Iterable[Path] = ()) -> tuple[Path, list[str]]:
    """Return (folder, the images in it by name) of a folder, as `listed`, or of one file, and print what was skipped.
    Raises ValueError if there is no image."""
    root = Path(path).expanduser()
    if root.is_file():
        if _fault(root, root.name) == "no image":
            raise ValueError(f"`images` {path}: no image; give a folder of images or one image")
        return root.parent, [root.name]
    if not root.is_dir():
        raise ValueError(
            f"`images` {path}: does not exist{guesses.path(root, Path.exists)}; give a folder of images or one image"
        )
    images, passed = listed(root, without)
    what = f"{len(passed)} passed over: {describe(passed)}" if passed else "it is empty"
    if not images:
        raise ValueError(f"`images` {path}: no image there; {what}")
    if passed:
        _log.warning("%s: %s", path, what)
    return root, images


def listed(root: Path, without: Iterable[Path] = ()) -> Listed:
    """The images below a folder, by name, links followed; `without`: folders to pass over, such as one of results.

    Hidden files and folders, what is no image, and HEIC images where no package decodes them, are passed over.
    """
    images, passed = [], []
    apart = {os.path.realpath(path) for path in without}
    for name, reason in sorted(_files(str(root), apart)):
        if reason is None and (reason := _fault(root / name, name)) is None:
            images.append(name)
        else:
            passed.append((name, reason))
    return Listed(images, passed)


def describe(passed: list[tuple[str, str]]) -> str:
    """Return what was skipped as one line: reasons, where there are several with their counts, and the first names of each."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in passed:
        by_reason.setdefault(reason, []).append(name)
    parts = []
    for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        count = f": {len(names)}" if len(by_reason) > 1 else ""
        parts.append(f"{reason}{count} ({', '.join(names[:_NAMED])}{more})")
    return files.escaped("; ".join(parts))


def _files(root: str, apart: set[str]) -> Iterator[tuple[str, str | None]]:
    """(name, None) of each file below a folder, (name, why) of what is not gone into."""
    waiting, seen = [(root, "")], set()
    while waiting:
        folder, prefix = waiting.pop()
        try:
            about = os.stat(folder)
            entries = list(os.scandir(folder))
        except OSError as error:
            yield prefix, f"a folder that cannot be read, {error.strerror}"
            continue
        if (place := (about.st_dev, about.st_ino)) in seen:
            yield prefix, "a link to a folder that was read already"
            continue
        seen.add(place)
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith("."):
                yield name, "hidden"
            elif entry.is_dir() and os.path.realpath(entry.path) in apart:
                yield name + "/", "the folder of results"
            elif entry.is_dir():
                waiting.append((entry.path, name + "/"))
            else:
                yield name, None


def _fault(path: Path, name: str) -> str | None:
    """Why a file is passed over, None where it is an image."""
    if fault := image_names.path_fault(name, "a path in a folder or below it"):
        return f"its name {fault}"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "not a file"
        with open(path, "rb") as file:
            kind = headers.kind(file.read(_START))
    except OSError as error:
        return f"cannot be read, {error.strerror}"
    if kind == "HEIC" and not heic.available():
        return heic.MISSING
    return None if kind or path.suffix.lower() in ENDINGS else "no image"
