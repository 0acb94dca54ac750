"""Protection from overwriting: outputs checked against inputs, packed sets and files of runs.

Every path that will be written is checked, before the work: the table beside a report, each overlay, each copied image.
"""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from jaxmarks import data_sets
from pipelines.example import Source
from pipelines.io import files
from pipelines.packing import seal
from pipelines.sources import image_names
from pipelines.sources.mixed import Mixed
from pipelines.sources.tables import Images

_RUN = {
    "config.json", "key.json", "split.json", "versions.json", "weights.csv", "decisions.csv", "checkpoints", "log",
    "metrics.jsonl", "timing.jsonl", "examples.bin", "history.csv", "fitted", "faults.txt", "final.json", "compared.json",
}  # fmt: skip
_IMAGES = {".jpg", ".jpeg", ".png"}  # of images that we write
_OVERLAY = b"jaxmarks overlay"
_PARTS = ("train", "test")  # folders of a data set of several splits

Paths = Iterable[str | Path | None]


def check(outs: Mapping[str, Paths], source: Source | None = None, inputs: Paths = ()) -> None:
    """Raise ValueError, naming flag and path, where a command would write over what it reads, over a packed set, over a
    file that a run consists of, or two of its outputs to one path.

    outs: of each flag the files that it stands for. source: what is read, whose tables and images are kept, and whose
    folders of images take no new ones. inputs: other files and data paths that are read; the splits of a data folder are
    kept whole.
    """
    listed = [one for path in inputs if path for one in data_sets.paths(str(path))]
    read = [Path(path).expanduser() for path in listed if not path.startswith("drawn:")]
    kept = {_place(path) for path in read if path.is_file()}
    whole = [(path / part).resolve() for path in read for part in _PARTS if (path / part).is_dir()]
    files, folders = _of(source)
    around, taken = cache(_around), dict[str, tuple[str, Path]]()
    for flag, path in ((flag, Path(path)) for flag, paths in outs.items() for path in paths if path):
        place = _place(path)
        parent = Path(place).parent
        if place in kept | files or any(parent.is_relative_to(folder) for folder in whole):
            raise ValueError(f"{flag} {path}: that is part of the data, which would be lost; name another place")
        if path.suffix.lower() in _IMAGES and str(parent) in folders:
            raise ValueError(f"{flag} {path}: {parent} holds the images of the data; name another folder")
        if reason := around(parent, Path(place).name):
            raise ValueError(f"{flag} {path}: {reason}; name another place")
        if place in taken:
            other, first = taken[place]
            raise ValueError(f"{other} {first} and {flag} {path}: one would take the other's place")
        taken[place] = flag, path


def check_run(flag: str, root: Path, inputs: Paths = ()) -> None:
    """Raise ValueError where a folder that is to become a run holds other files, or is one in which `check` lets nothing be
    written. What a run that was killed at its beginning left there may stay."""
    found = sorted(p.name for p in root.iterdir()) if root.is_dir() else []
    if others := [name for name in found if name not in _RUN and not name.startswith(".")]:
        raise ValueError(
            f"{flag} {root.name}: {root} holds other files ({others[0]}), and is not a run; take another name"
        )
    if (root / "config.json").exists():
        raise ValueError(f"{flag} {root.name}: {root / 'config.json'} is not a file of a run; take another name")
    check({flag: [root / "config.json"]}, inputs=inputs)


def marked(image: bytes) -> bytes:
    """An encoded PNG or JPEG file with a note in it that it is an overlay, by which `check_overlays` knows it again."""
    if image.startswith(b"\xff\xd8"):
        at = 4 + int.from_bytes(image[4:6], "big")  # behind the first segment, which tells that this is a JPEG
        note = b"\xff\xfe" + (len(_OVERLAY) + 2).to_bytes(2, "big") + _OVERLAY
    else:
        at, text = 33, b"tEXtSoftware\0" + _OVERLAY  # behind the header
        note = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    return image[:at] + note + image[at:]


def check_overlays(flag: str, paths: Iterable[Path]) -> None:
    """Raise ValueError where an overlay would replace another file: an image of the user's, whatever set it is of."""
    for path in paths:
        if os.path.lexists(path):
            with suppress(OSError), open(path, "rb") as file:
                if _OVERLAY in file.read(256):
                    continue
            raise ValueError(f"{flag} {path}: already exists and is not an overlay; choose another folder")


def check_new(flag: str, paths: Iterable[Path]) -> None:
    """Raise ValueError where one of the files exists already: labels of somebody's, which are not made again."""
    if found := next(filter(os.path.lexists, paths), None):
        raise ValueError(f"{flag} {found}: already exists; choose another path, or remove the file")


@contextmanager
def resumable(flag: str, mark: Path, paths: Iterable[Path], settings: str) -> Iterator[None]:
    """Write files as `check_new` allows, or those that the same command began to write and did not finish.

    While the block runs, and after it failed with some of the files written, the file `mark` says so.

    Args:
        flag: the name in messages.
        mark: kept until all is written.
        paths: that the block writes anew.
        settings: of the command; another one's files stay.
    """
    new = list(paths)
    digest = hashlib.sha256("\0".join((settings, *map(str, new))).encode(errors="surrogateescape")).hexdigest().encode()
    if not (new and mark.is_file() and not mark.is_symlink() and files.read_bytes(mark, most=1 << 10) == digest):
        check_new(flag, new)
    if not new:
        yield
        return
    with files.whole(mark) as file:
        file.write(digest)
    try:
        yield
    except BaseException:
        if not any(map(os.path.lexists, new)):
            mark.unlink()
        raise
    mark.unlink(missing_ok=True)  # another process may have ended first


def below(folder: Path, name: str) -> Path:
    """The file of a name below a folder. Raises ValueError where the name leads elsewhere or is not valid for a file:
    names come from data."""
    if fault := image_names.path_fault(name, "a path in a folder or below it"):
        raise ValueError(f"{name[:80]!r} {fault}; nothing can be written for it in {folder}")
    return folder / name


def _place(path: Path) -> str:
    """The entry of a folder that a path is, whatever links lead to that folder; a link there is replaced, not followed."""
    return os.path.join(path.absolute().parent.resolve(), path.name)


def _of(source: Source | None) -> tuple[set[str], set[str]]:
    """(the files that a source is read from, the folders of its images)."""
    if isinstance(source, Mixed):
        files, folders = zip(*map(_of, source.members), strict=True)
        return set().union(*files), set().union(*folders)
    if not isinstance(source, Images):
        return set(), set()
    table = source.table
    folder = cache(lambda name: str((table.root / name).resolve()))
    images = {os.path.join(folder(os.path.dirname(n)), os.path.basename(n)) for n in table.images or table.names}
    return images | {_place(path) for path in table.files}, {os.path.dirname(image) for image in images}


def _around(parent: Path, name: str) -> str:
    """Why a file of this name in this folder must not be written: it belongs to a packed set or a run. Empty: it may."""
    for folder in (parent, *parent.parents):
        inner = parent.relative_to(folder).parts
        if (folder / seal.INFO).is_file():
            return f"{folder} is a packed set, which stays as it was packed"
        first = inner[0] if inner else name
        if first in _RUN and (folder / "config.json").is_file() and (folder / "key.json").is_file():
            return f"{first} is a file of the run {folder}"
    return ""
