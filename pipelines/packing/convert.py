"""Conversion of any source to the files of a format, streaming, with two threads for the images."""

import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from jaxmarks import words
from pipelines import example
from pipelines.images import decode
from pipelines.io import console, files
from pipelines.packing import overwrites, report, round_trip
from pipelines.sources import formats, image_names
from pipelines.sources.formats import contest, plain
from pipelines.sources.tables import Images, Row
from pipelines.synthetic.drawn import DrawnSource

_AHEAD = 8


def image_folder_of(kind: str, out: Path) -> Path:
    """Return the folder in which a format looks for the images of what is written to `out`."""
    written = formats.FORMATS[kind]
    return (out.parent if written.SUFFIX else out) / written.IMAGES


def check(kind: str, out: Path, folder: Path | None, source: example.Source) -> list[str]:
    """Raise ValueError, before anything is written, for what cannot be converted; return the rows that the source left out."""
    table = source.table if isinstance(source, Images) else None
    taken = {path.resolve() for path in (table.files if table else [])}
    if not source.labelled:
        raise ValueError("expected labels to convert, got none")
    suffix = formats.FORMATS[kind].SUFFIX
    if suffix and (out.suffix.lower() != suffix or out.is_dir()):
        raise ValueError(f"`out` {out}: expected a file that ends in {suffix}, as files of {kind} do")
    if out.resolve() in taken.union(*(path.parents for path in taken if not suffix)):
        raise ValueError(f"`out` {out}: contains the data's own files; choose another path")
    if table and folder and folder.resolve() == table.root.resolve():
        raise ValueError(f"`out` {out}: the images already exist there; omit `copy_pictures`")
    for name in source.names if kind == "contest" else []:
        if not image_names.plain_name(plain.only_one(name, "landmarks.csv")):
            raise ValueError(f"{name}: a folder in a name, which landmarks.csv cannot say; take `format` plain or coco")
    return [report.line(r) for r in (table.rejected if table else [])]


def written(kind: str, out: Path, folder: Path | None, source: example.Source) -> tuple[list[Path], list[Path]]:
    """The files that converting writes: (of labels, images)."""
    written = [out]
    if kind == contest.NAME:
        written = [out / name for name in ("landmarks.csv", "landmarks_true.csv", "test_points.csv")]
    elif not formats.FORMATS[kind].SUFFIX:
        written = [overwrites.below(out, name) for name in formats.FORMATS[kind].files_of(source.names)]
    images = [target(folder, name, source) for name in source.names] if folder else []
    beside = round_trip.boxes_beside(kind, out, source)
    return [*written, *([beside] if beside else [])], list(dict.fromkeys(images))


def mark_of(kind: str, out: Path) -> Path:
    """The file that says that a conversion to `out` has not ended."""
    return out.with_name(f".{out.name}.unfinished") if formats.FORMATS[kind].SUFFIX else out / ".unfinished"


def target(folder: Path, name: str, source: example.Source) -> Path:
    """Return the path to write the image of a record to; synthetic ones as JPEG."""
    made = str(Path(name).with_suffix(".jpg")) if isinstance(source, DrawnSource) else name
    return overwrites.below(folder, plain.image_of(made))


def check_images(folder: Path, source: example.Source) -> None:
    """Raise ValueError where another image is already in the place of one that will be written."""
    for index, name in enumerate(source.names):
        if os.path.lexists(path := target(folder, name, source)):
            with suppress(decode.DecodeError):  # which the conversion itself tells
                _check_same(path, _encoded(source, index))


def _encoded(source: example.Source, index: int) -> bytes:
    """The file of a record's image as it is written."""
    if isinstance(source, Images):
        return source.encoded(index)
    data = source[index].image
    return data if isinstance(data, bytes) else decode.encode_jpeg(data)


def _check_same(path: Path, data: bytes) -> None:
    if os.path.lexists(path) and not (path.is_file() and files.read_bytes(path) == data):
        raise ValueError(f"{path}: already exists with another image; choose another `out`")


def converted(
    source: example.Source, folder: Path | None, kind: str, kept: list[int], faults: list[str]
) -> Iterator[Row]:
    """The rows in order, made by two threads a little ahead, each with its image written. kept: their indices."""
    first = {plain.image_of(source.names[i]): i for i in reversed(range(len(source)))}  # an image is written once

    def load(index: int) -> Row | str:
        name = source.names[index]
        try:
            data, points, mask, box, size = source[index]
            if not isinstance(data, bytes):
                name, size, data = str(Path(name).with_suffix(".jpg")), data.shape[1::-1], decode.encode_jpeg(data)
            elif size is not None and folder:
                raise ValueError(f"{name}: packed as a reduction, labels are not in its pixels; convert the original")
            elif size is None and formats.sized(kind):
                size = decode.decode(data).shape[1::-1]
        except decode.DecodeError as error:
            return f"{name}: {error}"
        if folder and first[plain.image_of(source.names[index])] == index:
            _copy(
                target(folder, source.names[index], source),
                source.encoded(index) if isinstance(source, Images) else data,
            )
        width, height = size or (0, 0)  # only some formats want to know
        return Row(name, points, mask, (width, height), box)

    progress, waiting = console.Progress(len(source), "image", brief=True), deque()
    with ThreadPoolExecutor(2) as pool:
        for index in range(len(source) + _AHEAD):
            if index < len(source):
                waiting.append(pool.submit(load, index))
            if index >= _AHEAD:
                row = waiting.popleft().result()
                progress.show(index + 1 - _AHEAD)
                if isinstance(row, Row):
                    kept.append(index - _AHEAD)
                    yield row
                else:
                    faults.append(row)
    progress.close()
    if not kept:
        raise ValueError(f"no record could be converted: {faults[0] if faults else 'none'}")


def describe(
    kind: str,
    out: Path,
    part: str,
    folder: Path | None,
    source: example.Source,
    sent: list[round_trip.Sent],
    kept: list[int],
    beside: Path | None,
) -> str:
    """Return a line on whether the written files, read back, are the set that they were written from, or the
    differences.

    folder: where images were written; None: they are where they were. beside: the file of boxes.
    """
    images = folder or (source.table.root if isinstance(source, Images) else out.parent)
    try:
        table = round_trip.read_again(kind, out, part, images, beside)
    except ValueError as error:
        return f"not read again, so whether it is the same set is not known: {error}"
    found = round_trip.changes(sent, table)
    coded = sum(record.name != source.names[i] for record, i in zip(sent, kept, strict=True))
    found += [f"{words.counted(coded, 'image')} coded as JPEG"] * (coded > 0)
    found += [f"{len(source) - len(kept)} left out"] * (len(kept) < len(source))
    found += ["the points asked of each image"] * (kind != contest.NAME and source.asked is not None)
    if found:
        return f"read again, it is another set, of another identity: {'; '.join(found)}"
    kept_too = "names, labels and bounding boxes" if source.boxed else "names and labels"
    same = f"read again, it is the same set: {words.counted(len(sent), 'record')} with the same {kept_too}"
    if folder or _finds(kind, out, part, images, beside):
        return same
    if not isinstance(source, Images):
        return f"{same}; its images are not written: `copy_pictures` writes them to {image_folder_of(kind, out)}"
    return f"{same}; its images are in {images}: open it with `pictures` {images}, or write them too by `copy_pictures`"


def _finds(kind: str, out: Path, part: str, images: Path, beside: Path | None) -> bool:
    """Whether the files that were written are opened with these images though nobody says where these are."""
    try:
        return round_trip.read_again(kind, out, part, None, beside).root.resolve() == images.resolve()
    except ValueError:
        return False


def _copy(path: Path, data: bytes) -> None:
    """Write an image where none is, or the same."""
    _check_same(path, data)
    with files.whole(path) as file:
        file.write(data)


def write_contest(
    out: Path, rows: Iterator[Row], source: example.Source, kept: list[int], decimals: int | None
) -> None:
    """A part in the contest's layout; the list of a test split last, since it makes the part."""
    test, asked = out.name == "test", source.asked or [range(source.num_points)] * len(source)
    names: list[str] = []
    named = (names.append(row.name) or row for row in rows)
    contest.write(out / ("landmarks_true.csv" if test else "landmarks.csv"), named, source.num_points, decimals)
    if test:
        with files.whole(out / "test_points.csv") as file:
            lines = [f"{n}\t{json.dumps([int(p) for p in asked[i]])}\n" for n, i in zip(names, kept, strict=True)]
            file.write(("file_name\tpoint_indices\n" + "".join(lines)).encode())
