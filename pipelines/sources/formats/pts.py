"""300-W: a folder of images, each with its points in a .pts file of the same stem beside it.

The .pts files of iBUG count pixels from 1, as MATLAB does: 1 is taken off on reading and put on again on writing.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np

from jaxmarks import words
from pipelines.io import files
from pipelines.sources import dialects, image_names, joined
from pipelines.sources.formats import beside, image_folders, plain
from pipelines.sources.tables import Label, Rejected, Row, Table, sorted_by_name

NAME = "pts"
SUFFIX, IMAGES, BOXED = "", "", False
parts = plain.parts
_ENDING = re.compile(r"\.pts", re.IGNORECASE)
_BEGINNING = r"\s*version\s*:\s*\S+\s+n_points\s*:\s*(\d{1,9})\s*\{([^{}]*)"
_LAYOUT, _CUT = re.compile(_BEGINNING + r"\}\s*"), re.compile(_BEGINNING)
_FOLDERS = 3  # that a line names
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


def recognises(path: Path) -> bool:
    """Return whether this is a folder with a .pts file in it or below it."""
    return path.is_dir() and next(_tables(path), None) is not None


def _tables(path: Path) -> Iterator[Path]:
    """The .pts files in a folder and below it, links to folders followed, whatever the case of their ending."""
    for folder, below, names in os.walk(path, followlinks=True):
        here = Path(folder)
        around = [here, *(p for p in here.parents if p.is_relative_to(path))]
        below[:] = sorted(b for b in below if not _leads_back(here / b, around))
        yield from (here / name for name in sorted(names) if _ENDING.fullmatch(name[-4:]))


def _leads_back(folder: Path, around: list[Path]) -> bool:
    """Return whether a link leads to one of the folders by which it was reached, or to one around them."""
    return folder.is_symlink() and any(
        Path(os.path.realpath(p)).is_relative_to(os.path.realpath(folder)) for p in around
    )


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the images that have a .pts file, by name; `images` is their folder, if it is another.

    Each file is read once here and again on request. The number of points of most files decides; others, invalid files
    and those without an image are in `rejected`. Raises ValueError if no file can be used.
    """
    root, _ = image_folders.find(path, images, [path], [])
    tables = sorted(p for p in _tables(path) if p.is_file())
    images_, read_ = beside.Images(root, ".pts"), {table: _points(table) for table in tables}
    good = {table: points for table, points in read_.items() if not isinstance(points, str)}
    sizes = Counter(map(len, good.values()))
    count = sizes.most_common(1)[0][0] if sizes else 0
    found: dict[str, Path] = {}
    rejected, apart, lone = [], [], []
    for table, points in read_.items():
        name = table.relative_to(path).as_posix()
        image = images_.of(name)
        if isinstance(points, str):
            rejected.append(Rejected(name, None, points))
        elif len(points) != count:
            usual = f"{len(points)}, the usual number is {count} ({sizes[count]} of {sizes.total()} files)"
            rejected.append(Rejected(name, None, f"wrong number of points: {usual}"))
        elif image is None:
            rejected.append(Rejected(name, None, images_.missing(name)))
            lone.append(table)
        elif fault := plain.path_fault(image):
            rejected.append(Rejected(name, None, fault))
        elif image in found:
            first = found[image].relative_to(path).as_posix()
            rejected.append(Rejected(name, None, joined.again_reason(image, first)))
            apart.append(joined.apart(good[found[image]], points))
        else:
            found[image] = table
    if not found:
        alone = [row for row in rejected if row.reason.startswith(beside.NO_IMAGE)]
        first, far = (alone or rejected)[0], _elsewhere(path / alone[0].file) if alone else ""
        raise ValueError(f"{path}: no .pts file with an image can be used ({first.file}: {first.reason}){far}")
    names = [list(found)[i] for i in sorted_by_name(list(found))]
    return Table(
        root=root,
        where=path.name,
        num_points=count,
        names=names,
        lines=[0] * len(names),
        label=lambda index: _label(found[names[index]], count),
        rejected=rejected,
        files=tables,
        notes=[
            *images_.notes(),
            *joined.again_notes(path, apart),
            *_namesakes(path, lone, found, good),
            *_unusual_folders(path, list(found.values())),
        ],
    )


def _unusual_folders(path: Path, used: list[Path]) -> list[str]:
    """A line on labels in hidden folders, and one on those behind links to folders; none without such."""
    folders = Counter(folder for table in used for folder in table.parents if folder.is_relative_to(path))
    del folders[path]
    hidden = [f for f in folders if f.name.startswith((".", "__")) and f.parent in (path, *folders)]
    linked = [f for f in folders if f.is_symlink()]
    kinds = (hidden, "in hidden folders", "copies?"), (linked, "behind links to folders", "twice in the set?")
    lines = []
    for some, where, doubt in kinds:
        count = sum(any(table.is_relative_to(folder) for folder in some) for table in used)
        named = ", ".join(folder.relative_to(path).as_posix() for folder in sorted(some)[:_FOLDERS])
        more = ", ..." * (len(some) > _FOLDERS)
        lines += [f"{path}: {count} of {len(used)} labels lie {where} ({named}{more}): {doubt}"] * bool(some)
    return lines


def _namesakes(path: Path, lone: list[Path], found: dict[str, Path], good: dict[Path, np.ndarray]) -> list[str]:
    """A line on .pts files without an image whose name is that of a file that is used, with other points."""
    known = {table.name: table for table in found.values()}
    pairs = [(table, known[table.name]) for table in lone if table.name in known and table in good]
    far = [(joined.apart(good[used], good[table]), table) for table, used in pairs]
    differ = [(value, table) for value, table in far if value is not None]
    if not differ:
        return []
    have = "file" if len(differ) == 1 else "files"
    first = min(table for _, table in differ).relative_to(path).as_posix()
    return [
        f"{path}: {len(differ)} .pts {have} without an image beside them, the first {first}, named as one that is used, with"
        f" points up to {words.number(max(value for value, _ in differ))} pixels apart: corrections? Move them beside the images"
    ]


def _elsewhere(table: Path) -> str:
    """Return `; images ...` where a folder near a .pts file without an image holds it; empty where none does."""
    here = table.absolute().parent
    near = sorted(p for p in (*here.parent.iterdir(), *here.iterdir()) if p.is_dir() and p != here)
    found = next((folder for folder in near if beside.Images(folder, ".pts").of(table.name)), None)
    return f"; images of these names are in {found}: give {here} as `data`, {found} as `pictures`" if found else ""


def _points(path: Path) -> np.ndarray | str:
    """f64[points, 2] of a .pts file, from 0, NaN where it has `nan nan`, or what is wrong with it."""
    data = files.read_bytes(path)
    text = _LAYOUT.fullmatch(dialects.text(data))
    if text is None:
        return _no_layout(data)
    first = len(text.string[: text.start(2)].splitlines())
    lines = [(number, line.split()) for number, line in enumerate(text[2].splitlines(), first) if line.strip()]
    rows = [row for _, row in lines]
    if len(rows) != int(text[1]) or not rows:
        return f"wrong number of points: {len(rows)} lines, n_points says {int(text[1])}"
    if any(len(row) != 2 for row in rows):
        return "wrong number of fields: expected x and y in each line"
    gap = np.array([[field.lower() == "nan" for field in row] for row in rows])
    if (half := gap[:, 0] != gap[:, 1]).any():
        return f"half a point: only one of x and y on line {lines[int(half.argmax())][0]}"
    fields = ["0" if field.lower() == "nan" else field for row in rows for field in row]
    if (values := plain.numbers(fields)) is None:
        return plain.number_fault((f"{axis} on line {number}" for number, _ in lines for axis in "xy"), fields)
    if gap.all():
        return "no labelled point: all are nan"
    return np.where(gap, np.nan, values.reshape(-1, 2) - 1)


def _no_layout(data: bytes) -> str:
    """Describe a file that is not in the layout of .pts."""
    if not data.strip():
        return "empty file: it has no points"
    if data.startswith(_APPLE_DOUBLE):
        return "not labels: what macOS writes beside a file on other disks (._NAME); it may be deleted"
    if (cut := _CUT.fullmatch(dialects.text(data))) is not None:
        return f"cut off: {words.counted(len(cut[2].split()) // 2, 'point')} of {int(cut[1])} and no closing brace"
    first, _, more = dialects.text(data).partition("}")
    if more.strip() and _LAYOUT.fullmatch(f"{first}}}"):
        what = "the points of a second object" if "{" in more else repr(more.strip().splitlines()[0][:40])
        return f"more behind the closing brace: {what}; a .pts file holds one object, `format` plain or coco several"
    return "not a .pts file: expected version: 1, n_points: COUNT and { x y of each point }"


def _label(path: Path, count: int) -> Label:
    points = _points(path)
    if isinstance(points, str) or len(points) != count:
        raise ValueError(f"{path}: the file was changed while it was in use")
    mask = np.isfinite(points[:, 0])
    return np.where(mask[:, None], points, 0), mask


def files_of(names: Iterable[str]) -> list[str]:
    """Return the .pts files of records. Raises ValueError for one of several faces of an image."""
    return [file_of(name) for name in dict.fromkeys(names)]


def file_of(name: str) -> str:
    """The .pts file of an image. Raises ValueError for one of several faces of an image."""
    return f"{os.path.splitext(plain.only_one(name, '.pts'))[0]}.pts"


def write(out: Path, rows: Iterable[Row], num_points: int) -> None:
    """A .pts file for each record in the folder `out`, named as its image.

    Raises ValueError for a record with a point that is not labelled, for one of several faces of an image, for a
    name that leads out of the folder, and where two images have one stem: this layout has no way to say them.
    """
    written: set[str] = set()
    for row in rows:
        name, file_name = row.name, file_of(row.name)
        if not image_names.inner_path(name) or file_name in written:
            raise ValueError(
                f"{name}: {'another image has this stem' if file_name in written else 'not a path below a folder'}"
            )
        if not row.mask.all():
            raise ValueError(f"{name}: a point is not labelled, which .pts cannot say; take `format` plain or coco")
        written.add(file_name)
        numbers = [_from_one(text) for text in plain.texts(row.points)]
        points = "".join(f"{x} {y}\n" for x, y in zip(numbers[::2], numbers[1::2], strict=True))
        with files.whole(out / file_name) as file:
            file.write(f"version: 1\nn_points: {num_points}\n{{\n{points}}}\n".encode())


def _from_one(text: str) -> str:
    """A coordinate that counts from 0 as one that counts from 1: six decimals, or as many as it has."""
    value = Decimal(text) + 1
    return short if Decimal(short := f"{value:.6f}") == value else format(value, "f")
