"""From any source to the files of a format, streaming: two threads read and write pictures a little ahead of the labels."""

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines import console, decode, files, labels, report, sources
from pipelines.formats import contest, plain
from pipelines.tables import Pictures, Row

ENDINGS = {"coco": ".json", "plain": ".csv", "wflw": ".txt", "deeplabcut": ".csv"}  # of formats of one file
BESIDE = {"coco": "images", "plain": "images", "wflw": "WFLW_images", "deeplabcut": ""}  # its folder of pictures
_AHEAD = 8


def home_of(kind: str, out: Path) -> Path:
    """The folder in which a format looks for the pictures of what is written to `out`."""
    return out.parent / BESIDE[kind] if kind in ENDINGS else out / ("images" if kind == contest.NAME else "")


def check(kind: str, out: Path, home: Path | None, source: sources.Source) -> list[str]:
    """Refuses, before anything is written, what cannot be; gives the rows that the source left out."""
    table = source.table if isinstance(source, Pictures) else None
    taken = {path.resolve() for path in (table.files if table else [])}
    if not source.labelled:
        raise ValueError("nothing is labelled there: there is nothing to convert")
    if kind in ENDINGS and (out.suffix.lower() != ENDINGS[kind] or out.is_dir()):
        raise ValueError(f"--out {out}: expected a file that ends in {ENDINGS[kind]}, as files of {kind} do")
    if out.resolve() in taken.union(*(path.parents for path in taken if kind not in ENDINGS)):
        raise ValueError(f"--out {out}: the data's own files are there; take another place")
    if table and home and home.resolve() == table.root.resolve():
        raise ValueError(f"--out {out}: the photographs are there already; leave out --copy-pictures")
    for name in source.names if kind == "contest" else []:
        if not labels.plain_name(plain.only_one(name, "landmarks.csv")):
            raise ValueError(f"{name}: a folder in a name, which landmarks.csv cannot say; take --format plain or coco")
    if table and table.boxes is not None and kind in ("contest", "pts", "deeplabcut"):
        print(f"boxes are left out: {kind} has none")
    return [report.line(r) for r in (table.refused if table else [])]


def converted(
    source: sources.Source, home: Path | None, kind: str, kept: list[int], faults: list[str]
) -> Iterator[Row]:
    """The rows in order, made by two threads a little ahead, each with its picture written. kept: their indices."""
    first = {plain.picture_of(source.names[i]): i for i in reversed(range(len(source)))}  # a picture is written once

    def load(index: int) -> Row | str:
        name = source.names[index]
        try:
            data, points, mask, box, size = source[index]
            if not isinstance(data, bytes):
                name, size, data = str(Path(name).with_suffix(".jpg")), data.shape[1::-1], decode.encode_jpeg(data)
            elif size is not None and home:
                raise ValueError(f"{name}: packed as a reduction, labels are not in its pixels; convert the original")
            elif size is None and kind == "coco":
                size = decode.decode(data).shape[1::-1]
        except decode.DecodeError as error:
            return f"{name}: {error}"
        if home and first[plain.picture_of(source.names[index])] == index:
            target = home / plain.picture_of(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.encoded(index) if isinstance(source, Pictures) else data)
        width, height = size or (0, 0)  # only COCO wants to know
        return Row(name, points, mask, (width, height), box)

    progress, waiting = console.Progress(len(source), "photograph"), deque()
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
        raise ValueError(f"no record could be converted: {faults[0] if faults else 'there is none'}")


def write_contest(out: Path, rows: Iterator[Row], source: sources.Source, kept: list[int], decimals: int) -> None:
    """A part in the contest's layout; the list of a test part last, since it makes the part."""
    test, asked = out.name == "test", sources.asked_points(source) or [range(source.num_points)] * len(source)
    names: list[str] = []
    named = (names.append(row.name) or row for row in rows)
    contest.write(out / ("landmarks_true.csv" if test else "landmarks.csv"), named, source.num_points, decimals)
    if test:
        with files.whole(out / "test_points.csv") as file:
            lines = [f"{n}\t{json.dumps([int(p) for p in asked[i]])}\n" for n, i in zip(names, kept, strict=True)]
            file.write(("file_name\tpoint_indices\n" + "".join(lines)).encode())
