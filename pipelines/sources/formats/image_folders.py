"""Image folders of a table: the search among those of a format."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.images import decode
from pipelines.io import files, guesses
from pipelines.sources.tables import Label

_SAMPLED = 500  # images, evenly taken, to tell which folder is theirs
_COMPARED = 20  # images that several folders hold, to tell these apart
_SHARE = 0.5  # of the images of the best folder: another that holds as many is reported


class _Folder(NamedTuple):
    root: Path
    first: tuple[int, int]  # width, height of the first image that is compared
    inside: int  # labelled points within the images that are compared


def find(
    table: Path,
    given: Path | None,
    folders: Sequence[Path],
    images: Sequence[str],
    label: Callable[[int], Label] | None = None,
) -> tuple[Path, list[str]]:
    """Return (folder, notes): the given folder, or the one of `folders` that holds most of an even sample of the images
    (of all images, if none of the sample exists).

    label: the label of an image; of folders that hold equally many images of these names, the first within whose images
    most labelled points lie. Raises ValueError if no folder holds any.
    """
    if given is not None:
        if not given.is_dir():
            raise ValueError(f"`pictures` {given}: does not exist")
        return given, []
    if not images:
        return folders[0], []
    tried = list({os.path.realpath(folder): folder for folder in reversed(folders)}.values())[::-1]
    for some in (images[:: -(-len(images) // _SAMPLED)], images):
        found = [sum(spelled(folder, name) is not None for name in some) for folder in tried]
        if any(found):
            best = tried[found.index(max(found))]
            near = [f for f, count in zip(tried, found, strict=True) if count >= _SHARE * max(found)]
            equal = [f for f, count in zip(tried, found, strict=True) if count == max(found)]
            return _chosen(best, near, equal, images, label) if label and len(near) > 1 else (best, [])
    near = next(filter(None, (guesses.near_file(folder / images[0]) for folder in tried)), "")
    remedy = f"{near}: write names as they are" if near else "; say where they are by `pictures`"
    raise ValueError(
        f"{table}: none of its {len(images)} images, such as {images[0]!r}, is in"
        f" {', '.join(dict.fromkeys(map(str, folders)))}{remedy}"
    )


def _chosen(
    best: Path, near: list[Path], equal: list[Path], images: Sequence[str], label: Callable[[int], Label]
) -> tuple[Path, list[str]]:
    """Choose as `find` among several folders that hold images of these names; folders with the same files are not
    reported."""
    shared = [i for i, name in enumerate(images) if all(spelled(folder, name) for folder in near)]
    some = shared[:: -(-len(shared) // _COMPARED)] if shared else []
    if all(len({files.read_bytes(folder / str(spelled(folder, images[i]))) for folder in near}) == 1 for i in some):
        return best, []
    about = {folder: _seen(folder, some, images, label) for folder in near}
    most = max(about[folder].inside for folder in equal)
    chosen = next(folder for folder in equal if about[folder].inside == most)
    places = " and in ".join(f"{f.root} ({f.first[0]} x {f.first[1]})" for f in about.values())
    why = ", since labels lie outside the images of the other" if about[best].inside < most else ""
    return chosen, [f"images of these names lie in {places}: {chosen} is used{why}; `pictures` FOLDER chooses"]


def _seen(folder: Path, some: list[int], images: Sequence[str], label: Callable[[int], Label]) -> _Folder:
    sizes = {i: size for i, size in _sizes(folder, some, images)}
    inside = 0
    for index, size in sizes.items():
        points, mask = label(index)
        inside += int(((points[mask] >= -0.5) & (points[mask] <= [n - 0.5 for n in size])).all(1).sum())
    return _Folder(folder, next(iter(sizes.values()), (0, 0)), inside)


def _sizes(folder: Path, some: list[int], images: Sequence[str]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield (index, (width, height)) of the images that can be decoded."""
    for index in some:
        try:
            yield index, decode.displayed_size(files.read_bytes(folder / str(spelled(folder, images[index]))))
        except (decode.DecodeError, OSError):
            continue


def spelled(root: Path, name: str) -> str | None:
    """Return the path of an image below a folder as the disk spells it: as given, or in the other Unicode form of its
    accents; None if it does not exist."""
    if os.path.isfile(root / name):
        return name
    forms = () if name.isascii() else [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    return next((form for form in forms if os.path.isfile(root / form)), None)
