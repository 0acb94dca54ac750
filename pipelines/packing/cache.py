"""Cache of packed data sets: ${JAXMARKS_CACHE:-~/.cache/jaxmarks}/KEY, by names, sizes and times of their files.

The key is cheap and may change where the data does not (a copy has other times): then a set is packed twice, never
taken for another one.
"""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxmarks import words
from jaxmarks.config import cores
from pipelines.example import Source, Subset, identity_of
from pipelines.images import duplicates
from pipelines.io import console, files
from pipelines.label_checks import sections
from pipelines.open import described, open_any
from pipelines.packing import dataset, inspection, pack, report, seal
from pipelines.sources.boxes import replaced_line
from pipelines.sources.tables import Images, Rejected, Table

_ABOUT = "cached.json"


class Surveyed(Subset):
    """The records of a source that can be used, all opened once."""

    def __init__(self, source: Source, seen: list[tuple[int, bytes, int | None]]):
        super().__init__(source, [index for index, _, _ in seen])
        self.identity = identity_of(digest for _, digest, _ in seen)
        first = duplicates.confirmed(
            [print_ for _, _, print_ in seen], lambda at: inspection.small(source, seen[at][0])
        )
        counts = [0] * len(seen)
        for g in first:
            counts[g] += 1
        self.groups = [self.names[int(g)] if counts[g] > 1 else "" for g in first]


def training_set(
    path: str,
    *,
    pictures: str = "",
    boxes: str = "",
    category: str = "",
    packed: bool = True,
    workers: int | None = None,
    dry: bool = False,
    brief: bool = False,
) -> Source:
    """Return the training split of the data at a path, with every row and image checked.

    It is packed into the cache when first used; packed=False: only checked, each time; dry: packed if it is already,
    else checked; brief: for what cannot be used print only the count and where to read the rest. All give the same
    records under one identity, and the same near-duplicates.

    Synthetic and packed sets are used as they are. Prints what it does, with progress. Raises ValueError in one line if
    there is nothing to train on.
    """
    threads = workers or cores()
    source = open_any(path, pictures=pictures, boxes=boxes, category=category)
    if not isinstance(source, Images):
        return _reported(source, path, source.replaced)
    if not brief:
        console.say(f"{path}: {described(source)}", *report.not_listed_lines(report.not_listed(source.table)))
    if not packed:
        return _survey(source, path, threads, brief)
    folder = files.cache_root() / key(path, source.table)
    if dry and not seal.is_whole(folder):
        return _survey(source, path, threads, brief)
    if not seal.is_whole(folder):
        _pack(path, source, folder, threads)
    try:
        found = dataset.Packed(folder, "train")
        about = report.read(folder / seal.REPORT, ["train"])
    except ValueError as error:
        raise ValueError(f"{error}: delete {folder}, and the same command packs it") from None
    pack.tidy(folder)
    rejected = [Rejected(r["file"], r["line"], r["reason"]) for r in about["refused"]]
    _tell(rejected, sections.marks_of(about["parts"]["train"]), f": {folder / 'report.txt'}", brief)
    with contextlib.suppress(OSError):  # a cache that can be read only, or is another's: its set serves as well
        if not (folder / _ABOUT).is_file():
            files.write_json(folder / _ABOUT, {"data": os.path.abspath(path), "photographs": len(source)})
        os.utime(folder / _ABOUT)  # when it was last used
    return _reported(found, path, found.replaced)


def _pack(path: str, source: Images, folder: Path, workers: int) -> None:
    try:
        files.check_out("the cache", folder, folder=True)
    except ValueError as error:
        raise ValueError(f"{error}: set JAXMARKS_CACHE to another folder, or give `no_cache`") from None
    job = pack.plan(folder, {"train": source})
    size = pack.check_space(job)
    console.say(f"{path}: packing {words.counted(len(source), 'record')} into {folder}, about {size} (`no_cache`: not)")
    progress = console.Progress(len(source), "record", brief=True)
    pack.write(job, workers, progress.show)
    progress.close()
    console.say("comparing near-duplicates, writing tables")
    pack.merge(job)


def _reported(source: Source, path: str, replaced: int) -> Source:
    """The source; says in how many records the box of the labelled points took the place of one without area."""
    if replaced:
        console.say(f"{path}: {replaced_line(replaced, len(source))}")
    return source


def _tell(rejected: list[Rejected], marks: dict[str, list[str]], where: str, brief: bool) -> None:
    """Print what cannot be used and, unless brief, the first of each kind, and what is told of files
    that are used."""
    if count := len(rejected):
        are = "is" if count == 1 else "are"
        console.say(f"{words.counted(count, 'record')} cannot be used and {are} left out{where}")
        if not brief:
            console.say(*report.examples(rejected))
    if not brief:
        console.say(*(line for found in sections.of_files(marks).values() for line, _ in found))


def _survey(source: Images, path: str, workers: int, brief: bool) -> Source:
    seen, marks, rejected = [], {}, list(source.table.rejected)
    progress = console.Progress(len(source), "record", brief=True)
    for found in inspection.over(source, 0, len(source), workers):
        if found.reason is None:
            seen.append((found.index, found.digest, found.fingerprint))
            inspection.add(marks, source.names[found.index], found)
        else:
            rejected.append(source.table.rejection(found.index, found.reason))
        progress.show(found.index + 1, f"rejected {len(rejected)}")
    progress.close()
    if not seen:
        raise ValueError(report.none_usable(str(source.table.root), rejected))
    _tell(rejected, marks, "; prepare.py lists each", brief)
    known = source.table.replaced
    replaced = 0 if known is None else int(known[[index for index, *_ in seen]].sum())
    return _reported(Surveyed(source, seen), path, replaced)


def key(path: str, table: Table) -> str:
    """The cheap key of a set: its path's name, and names, sizes and times of tables and images."""
    total = hashlib.sha256(f"{pack.ROWS} {seal.VERSION}".encode())
    total.update(os.fsencode(table.category))
    for found in table.files:
        total.update(os.fsencode(f"{found.name} {_stamp(found)}\n"))
    for name in table.images or table.names:
        total.update(f"{name}\0{_stamp(table.root / name)}\n".encode())
    if table.replaced is not None:
        total.update(b"box of the points for one without area\n")
    if table.mirror:  # sets that were packed before it was kept lack it
        total.update(f"mirror {list(table.mirror)}\n".encode())
    named = os.fsencode(Path(path).resolve().name)[:100].decode("ascii", "replace").replace("\ufffd", "_")
    return f"{named}-{total.hexdigest()[:16]}"


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
        return f"{found.st_size} {found.st_mtime_ns}"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"


class Cached(NamedTuple):
    """A set in the cache."""

    folder: Path
    data: str  # where it was packed from; empty: not whole
    images: int
    bytes: int
    used: float  # seconds since the epoch


def listing() -> list[Cached]:
    """Return the entries of the cache, least recently used first."""
    return sorted(_listed(), key=lambda c: c.used)


def _listed() -> Iterator[Cached]:
    for folder in files.cache_root().glob("*"):
        if not folder.is_dir() or not dataset.is_packed(folder):
            continue  # not ours
        about, whole = folder / _ABOUT, (folder / _ABOUT).is_file()
        known = files.read_json(about) if whole else {"data": "", "photographs": 0}
        taken = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        yield Cached(
            folder,
            known.get("data", "?"),
            known.get("photographs", 0),
            taken,
            (about if whole else folder).stat().st_mtime,
        )


def prune(days: float) -> list[Cached]:
    """Delete and return the entries that were not used for `days` days."""
    old = [c for c in listing() if time.time() - c.used >= days * 86400]
    for c in old:
        c.folder.rename(c.folder.with_name(f".{c.folder.name}.gone"))  # half deleted, it could not be told as ours
    for gone in files.cache_root().glob(".*.gone"):
        shutil.rmtree(gone)
    return old
