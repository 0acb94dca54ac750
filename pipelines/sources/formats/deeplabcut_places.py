"""Locations of the tables and images of a DeepLabCut project."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxmarks import words
from pipelines.sources.formats import image_folders

_TABLE = "CollectedData_*.csv"
_DATA = "labeled-data"  # the folder of a project's videos
_OWN_COPIES = "_labeled"  # ends the folders in which DeepLabCut draws labels
_ELSEWHERE = re.compile(rf"(?:[A-Za-z]:)?/(?:.*/)?({_DATA}/[^/]+/[^/]+)")
_SCORER = re.compile(r"""^scorer:[ \t]*["']?(.+?)["']?[ \t]*(?:#.*)?$""", re.MULTILINE)  # in config.yaml
_NAMED = 5


class Place(NamedTuple):
    """Location of the image of a row."""

    image: str  # as the row has it
    folder: str  # of the row's table, below the path that was given; ".": that path itself


def tables(path: Path) -> list[Path]:
    """The tables at a path: the file itself, those of a project's videos, else those in the folder."""
    if path.is_file():
        return [path]
    return sorted(path.glob(f"{_DATA}/*/{_TABLE}")) or sorted(path.glob(_TABLE))


def unread(path: Path, read: Sequence[Path]) -> list[str]:
    """A line for each kind of label file in a project that is not among the tables that are read, and for videos that have
    no table."""
    root = path / _DATA
    if not path.is_dir() or root not in {table.parent.parent for table in read}:
        return []
    beside = sorted(path.glob(_TABLE))
    astray = [table for pattern in (_TABLE, f"*/*/{_TABLE}") for table in sorted(root.glob(pattern))]
    known = {table.parent for table in read} | {root / table.relative_to(root).parts[0] for table in astray}
    videos = [p for p in sorted(root.iterdir()) if p.is_dir() and p not in known and not p.name.endswith(_OWN_COPIES)]
    stored = [file for video in videos for file in sorted(video.glob("CollectedData*.h5"))[:1]]
    return [
        f"{path}: {words.counted(len(found), what)} {_some(path, found)}: {why}"
        for found, what, why in (
            (beside, "table", f"not read, since those of the videos in {_DATA} are; give it by itself to read it"),
            (astray, "table", f"not read, since tables lie in {_DATA}/VIDEO; move it there, or give it by itself"),
            (
                stored,
                "file",
                "not read; its video has no CollectedData_*.csv: write one, from DeepLabCut or with pandas",
            ),
            (
                [v for v in videos if v not in {file.parent for file in stored}],
                "folder",
                "no CollectedData_*.csv in it",
            ),
        )
        if found
    ]


def chosen(path: Path, of: dict[Path, str], images: dict[Path, set[str]]) -> tuple[list[Path], list[str]]:
    """(the tables that are read, lines on those that are not and on several scorers). of: the scorer of each; images: the
    images that each names.

    Of a folder's tables of several scorers, or of the same images, one is read (`_one_of`).
    """
    read, notes = [], []
    for folder in dict.fromkeys(table.parent for table in of):
        here = [table for table in of if table.parent == folder]
        shared = sum(len(images[table]) for table in here) > len(set[str]().union(*(images[table] for table in here)))
        if shared or len({of[table] for table in here}) > 1:
            one = _one_of(folder, {table: of[table] for table in here})
            others = [table for table in here if table != one]
            counted = words.counted(len(others), "other table")
            notes.append(f"{one}: read; {counted} of its folder {_some(folder, others)}: not read")
            here = [one]
        read += here
    counts = Counter(of[table] for table in read)
    listed = ", ".join(f"{scorer} ({words.counted(count, 'table')})" for scorer, count in counts.items())
    several = [f"{path}: labels of several scorers, of other videos each: {listed}"] if len(counts) > 1 else []
    return read, notes + several


def own_first(images: dict[Path, set[str]], top: Path) -> list[Path]:
    """The tables, those that name images of their own folder before others: a copy of a folder names those of the first.
    images: that each names; top: the folder that these are relative to."""

    def foreign(table: Path) -> bool:
        folder = table.parent.relative_to(top).as_posix()
        return all(image.rpartition("/")[0] != folder for image in images[table])

    return sorted(images, key=foreign)


def _one_of(folder: Path, of: dict[Path, str]) -> Path:
    """The table of a folder that has the name DeepLabCut gives it, by the project's scorer or, where that is not known, by
    its own. Raises ValueError where that is none or several."""
    configs = (place / "config.yaml" for place in (folder, *folder.absolute().parents[1:2]))
    texts = (file.read_text("utf-8", "replace") for file in configs if file.is_file())
    found = next((match[1] for text in texts if (match := _SCORER.search(text))), None)
    named = [t for t, own in of.items() if t.name == f"CollectedData_{own if found is None else found}.csv"]
    if len(named) == 1:
        return named[0]
    listed = ", ".join(f"{scorer} ({table.name})" for table, scorer in of.items())
    what = "labels of several scorers" if len(set(of.values())) > 1 else "several tables of the same images"
    raise ValueError(f"{folder}: {what}, {listed}: give the table of one by itself, or move the others elsewhere")


def _some(path: Path, found: Sequence[Path]) -> str:
    more = ", ..." if len(found) > _NAMED else ""
    return f"({', '.join(p.relative_to(path).as_posix() for p in found[:_NAMED])}{more})"


def image(folder: str, fields: Sequence[str]) -> str:
    """Return the path of a row's image from the fields of its index. A bare name, whose other fields may be empty, belongs
    to the folder of its table, which distinguishes two videos; a path of another computer to a project's video is read from
    labeled-data on."""
    found = "/".join(filter(None, fields)).replace("\\", "/")
    if far := _ELSEWHERE.fullmatch(found):
        return far[1]
    return found if "/" in found or folder == "." else f"{folder}/{found}"


def find(
    path: Path, given: Path | None, top: Path, read: Sequence[Path], places: list[Place]
) -> tuple[Path, list[str]]:
    """Return (folder, path of each image below it) for the folder, among those where images may be, that holds most of
    them.

    given: the only one to search, if any; top: the folder that table names are relative to. An image is where its row
    states; a row that names its table's own folder, or none, may have it beside the table (`_near`).
    """
    near = _near(top, places)
    choices = []
    for root in dict.fromkeys([given] if given else [top, *read[0].absolute().parents[2:3]]):
        there = [image_folders.spelled(root, place.image) is not None for place in places]
        far = any(there)
        paths = [
            place.image if found or n is None or (far and not image_folders.spelled(root, n)) else n
            for place, n, found in zip(places, near, there, strict=True)
        ]
        choices.append(((sum(image_folders.spelled(root, p) is not None for p in paths), sum(there)), root, paths))
    (count, _), root, paths = max(choices, key=lambda choice: choice[0])
    return (root if count else image_folders.find(path, given, [top], paths)[0]), paths


def _near(top: Path, places: list[Place]) -> list[str | None]:
    """Of each image its path beside its table, None where that would be another image of the same name: where its row
    names a folder that is not the table's. A table that was taken out of its project, and names one folder alone, has its
    images beside it whatever that folder was."""
    named: dict[str, set[str]] = {}
    for place in places:
        named.setdefault(place.folder, set()).add(place.image.rpartition("/")[0])
    folders = {folder: (top / folder).absolute() for folder in named}
    moved = {folder for folder, found in named.items() if len(found) == 1 and folders[folder].parent.name != _DATA}
    near: list[str | None] = []
    for place in places:
        folder, _, name = place.image.rpartition("/")
        own = place.folder in moved or folder.rpartition("/")[2] in ("", folders[place.folder].name)
        near.append((f"{place.folder}/{name}" if place.folder != "." else name) if own else None)
    return near
