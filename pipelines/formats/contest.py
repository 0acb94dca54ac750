"""The "thousand landmarks" layout: train/landmarks.csv, test/test_points.csv and the submission.

Tables are text with a header whose names are not relied on, only their count. Every error names file and line.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipelines import files
from pipelines.sources import Pictures


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, tab-separated fields) of a text file, the header first; BOM and CRLF are taken off."""
    if not path.is_file():
        raise ValueError(f"{path}: the file is missing; give the folder that holds train/ and test/")
    with open(path, encoding="utf-8-sig", errors="strict", newline="") as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n").split("\t")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text ({error.reason})") from None


def _check_name(name: str, path: Path, line: int, seen: dict[str, int]) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"{path}:{line}: {name!r} is not a plain file name")
    if name in seen:
        raise ValueError(f"{path}:{line}: {name} is there twice, first on line {seen[name]}")
    seen[name] = line
    return name


def read_landmarks(path: Path) -> tuple[list[str], np.ndarray]:
    """(file names, points f32[photographs, points, 2]) of a landmarks.csv, in its own order.

    Raises ValueError with the line number on a wrong header, a wrong number of fields, what is not a finite number, a
    name that is not a plain file name or stands there twice.
    """
    rows = _rows(path)
    header = next(rows, (1, []))[1]
    if len(header) < 3 or len(header) % 2 == 0:
        raise ValueError(
            f"{path}:1: the header has {len(header)} tab-separated fields; expected a name and x, y of each point"
        )
    if all(np.isfinite(_number(field)) for field in header[1:]):
        raise ValueError(f"{path}:1: this is a row of numbers, not a header; the first line must name the columns")
    names, points, seen = [], [], {}
    for line, fields in rows:
        if len(fields) != len(header):
            raise ValueError(f"{path}:{line}: {len(fields)} fields, the header has {len(header)}")
        names.append(_check_name(fields[0], path, line, seen))
        points.append(_numbers(fields[1:], path, line))
    if not names:
        raise ValueError(f"{path}: no row under the header")
    return names, np.stack(points).reshape(len(names), -1, 2)


def _numbers(fields: list[str], path: Path, line: int) -> np.ndarray:
    with np.errstate(over="ignore"):  # beyond float32: told as not finite below
        try:
            values = np.array(fields, np.float32)
        except ValueError:
            values = np.array([_number(f) for f in fields], np.float32)
    if not np.isfinite(values).all():
        column = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{path}:{line}: field {column + 2} is {fields[column]!r}, not a finite number")
    return values


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        return float("nan")


def read_train(root: Path) -> Pictures:
    """The training part of a contest folder, by file name."""
    names, points = read_landmarks(root / "train" / "landmarks.csv")
    order = sorted(range(len(names)), key=names.__getitem__)
    return Pictures(_images(root, "train"), [names[i] for i in order], points.shape[1], points[order])


def read_test(root: Path, num_points: int | None = None) -> Pictures:
    """The test part in the order of test_points.csv, with the points asked, and the truth where it is known.

    num_points: how many points there are, where neither truth nor training table say so.
    """
    table = root / "test" / "test_points.csv"
    names, asked = read_asked(table)
    truth = root / "test" / "landmarks_true.csv"
    if truth.is_file():
        known, points = read_landmarks(truth)
        places = {name: i for i, name in enumerate(known)}
        if missing := [name for name in names if name not in places]:
            raise ValueError(f"{truth}: no row for {missing[0]}, which {table.name} lists ({len(missing)} in all)")
        points = points[[places[name] for name in names]]
        count = points.shape[1]
    else:
        points, count = None, _header_points(root / "train" / "landmarks.csv", asked, num_points)
    if (highest := max(int(a.max()) for a in asked)) >= count:
        raise ValueError(f"{table}: point {highest} is asked, but there are {count} points")
    source = Pictures(_images(root, "test"), names, count, points)
    source.asked = asked
    return source


def _header_points(path: Path, asked: list[np.ndarray], num_points: int | None) -> int:
    """The number of points by the training header where there is one, else as told, else by the highest point asked."""
    if not path.is_file():
        return num_points or max(int(a.max()) for a in asked) + 1
    return (len(next(_rows(path), (1, []))[1]) - 1) // 2


def _images(root: Path, part: str) -> Path:
    folder = root / part / "images"
    if not folder.is_dir():
        raise ValueError(f"{folder}: the folder of pictures is missing")
    return folder


def read_asked(path: Path) -> tuple[list[str], list[np.ndarray]]:
    """(file names, for each the indices of the points to hand in, in the row's own order) of a test_points.csv."""
    rows = _rows(path)
    header = next(rows, (1, []))[1]
    if any(field.lstrip().startswith("[") for field in header):
        raise ValueError(f"{path}:1: this is a row, not a header; the first line must name the columns")
    names, asked, seen = [], [], {}
    for line, fields in rows:
        if len(fields) != 2:
            raise ValueError(
                f"{path}:{line}: {len(fields)} tab-separated fields, expected a file name and a list of points"
            )
        names.append(_check_name(fields[0], path, line, seen))
        asked.append(_indices(fields[1], path, line))
    if not names:
        raise ValueError(f"{path}: no row under the header")
    return names, asked


def _indices(field: str, path: Path, line: int) -> np.ndarray:
    try:
        values = json.loads(field)
    except (ValueError, RecursionError):  # a number of 5000 digits, a thousand brackets
        values = None
    if not isinstance(values, list) or not values or not all(type(v) is int and v >= 0 for v in values):
        raise ValueError(f"{path}:{line}: expected a list of point numbers such as [0, 5, 9], got {field[:40]!r}")
    return np.array(values)


def write_submission(file: BinaryIO, names: Sequence[str], points: np.ndarray, asked: Sequence[np.ndarray]) -> None:
    """The submission: a comma-separated row a photograph, its asked points in their own order, rounded.

    points f64[photographs, points, 2]. Every row must ask for as many points: the header names them.
    """
    lengths = {len(a) for a in asked}
    if len(lengths) > 1:
        raise ValueError(
            f"rows ask for {min(lengths)} to {max(lengths)} points: a submission needs the same number in all"
        )
    count = lengths.pop()
    header = ["file_name", *(f"Point_M{i}_{axis}" for i in range(count) for axis in "XY")]
    file.write(files.csv_row(header))
    for name, face, indices in zip(names, points, asked, strict=True):
        file.write(files.csv_row([name, *np.rint(face[indices]).astype(np.int64).reshape(-1)]))


def write_landmarks(file: BinaryIO, names: Sequence[str], points: np.ndarray, decimals: int = 2) -> None:
    """Every point of every photograph, in the layout of landmarks.csv."""
    header = ["file_name", *(f"Point_M{i}_{axis}" for i in range(points.shape[1]) for axis in "XY")]
    file.write(("\t".join(header) + "\n").encode())
    for name, face in zip(names, points, strict=True):
        file.write(("\t".join([name, *(f"{v:.{decimals}f}" for v in face.reshape(-1))]) + "\n").encode())
