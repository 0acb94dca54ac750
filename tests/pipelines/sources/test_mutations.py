"""Whatever bytes a file of labels or settings holds, its reader gives sound values or one line that names the file."""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.shapes import schemes
from pipelines.sources import decisions, formats, sampling_weights
from pipelines.sources.tables import Row

NAMES = ["a.png", "b.png", "d/c.png"]
PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
POINTS = np.array([[3.5, 4], [20, 6.25], [30, 31]])
SCHEME = {"num_points": 3, "mirror": [1, 0, 2], "norm": [0, 1], "regions": {"eyes": [0, 1], "mouth": [2]}}
SCHEME |= {"format_version": 1}
HOSTILE = [
    b"nan", b"NaN", b"inf", b"-1e999", b"1e5000", b"9" * 5000, b"-", b'"', b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n",
    b"[" * 100000, b'{"a":' * 50000, b"../", b"/etc/passwd", b"\xed\xa0\x80", b'"\\ud800"', b"null", b"true", b"{}", b"[]",
    b",", b"\t", b" ", b"0x1p3", b"1_000", b"\xd9\xa1", b"-0", b"2147483648", b"18446744073709551616", b"=cmd()", b"<b>",
]  # fmt: skip


def mutated(data: bytes, random: np.random.RandomState) -> bytes:
    """One to three changes of the bytes: flipped, cut, repeated, moved, or something hostile put in."""
    for _ in range(random.randint(1, 4)):
        data = CHANGES[random.randint(len(CHANGES))](data, random)
    return data


def flipped(data: bytes, random: np.random.RandomState) -> bytes:
    at = random.randint(len(data) + 1)
    return data[:at] + bytes(byte ^ (1 << random.randint(8)) for byte in data[at : at + 1]) + data[at + 1 :]


def cut(data: bytes, random: np.random.RandomState) -> bytes:
    at, end = sorted(random.randint(0, len(data) + 1, 2))
    return data[:at] + (data[end:] if random.randint(2) else b"")


def stuffed(data: bytes, random: np.random.RandomState) -> bytes:
    at = random.randint(len(data) + 1)
    return data[:at] + HOSTILE[random.randint(len(HOSTILE))] + data[at + random.choice([0, 0, 1, 8]) :]


def other_lines(data: bytes, random: np.random.RandomState) -> bytes:
    lines = data.split(b"\n")
    line = random.randint(len(lines))
    return b"\n".join(lines[:line] + lines[line : line + 1] * random.choice([0, 2]) + lines[line + 1 :])


def other_numbers(data: bytes, random: np.random.RandomState) -> bytes:
    return data.replace(*[b"%d" % n for n in random.randint(0, 60, 2)])


CHANGES = [flipped, cut, stuffed, stuffed, other_lines, other_numbers]


def as_data(path: Path) -> None:
    """Opens a path as a data set and reads all records."""
    source = opening.open_source(str(path))
    assert len(source) == len(source.names) == len(set(source.names)) and source.num_points > 0
    for index in range(len(source)):
        try:
            example = source[index]
        except decode.DecodeError as error:
            assert "\n" not in str(error)
            continue
        assert example.points.shape == (source.num_points, 2) and example.mask.shape == (source.num_points,)
        assert np.isfinite(example.points[example.mask]).all()
        assert example.box is None or np.isfinite(example.box).all()


def as_boxes(path: Path) -> None:
    opening.open_images(str(path.parent / "images"), 3, boxes=str(path))


def as_weights(path: Path) -> None:
    found = sampling_weights.read(path, NAMES)
    assert found.shape == (3,) and np.isfinite(found).all() and (found >= 0).all() and found.sum() > 0


def as_scheme(path: Path) -> None:
    mirror = np.asarray(schemes.load_scheme(path, 3).mirror)
    assert sorted(mirror) == [0, 1, 2] and (mirror[mirror] == [0, 1, 2]).all()


def as_decisions(path: Path) -> None:
    decisions.read(path, NAMES, 3)


def labelled(kind: str, name: str, changed: str = "") -> Callable[[Path], Path]:
    """Makes the images and a file of labels of a format; gives the file to change."""

    def make(root: Path) -> Path:
        for image in NAMES:
            place = root / ("images" if kind == "yolo" else "") / image
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(PNG)
        rows = [Row(n, POINTS + i, np.ones(3, bool), (50, 40), np.array([1, 2, 30, 31.5])) for i, n in enumerate(NAMES)]
        formats.FORMATS[kind].write(root / name if name else root, rows, 3)
        return root / (name or changed)

    return make


def contest(root: Path) -> Path:
    images = root / "train" / "images"
    images.mkdir(parents=True)
    for name in "abc":
        (images / f"{name}.png").write_bytes(PNG)
    path = root / "train" / "landmarks.csv"
    path.write_text("file_name\tM0_X\tM0_Y\tM1_X\tM1_Y\n" + "".join(f"{n}.png\t1\t2\t30\t40\n" for n in "abc"))
    return path


def written(name: str, text: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        (root / "images" / "d").mkdir(parents=True)
        for image in NAMES:
            (root / "images" / image).write_bytes(PNG)
        (root / name).write_text(text)
        return root / name

    return make


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None], Callable[[Path], Path]]] = {
    # name: how the file is made, how it is read, and what of its path is given to the reader
    "contest": (contest, as_data, lambda path: path.parents[1]),
    "coco": (labelled("coco", "labels.json"), as_data, lambda path: path),
    "wflw": (labelled("wflw", "labels.txt"), as_data, lambda path: path),
    "plain": (labelled("plain", "labels.csv"), as_data, lambda path: path),
    "pts": (labelled("pts", "", "a.pts"), as_data, lambda path: path.parent),
    "deeplabcut": (labelled("deeplabcut", "CollectedData_x.csv"), as_data, lambda path: path),
    "cvat": (labelled("cvat", "labels.xml"), as_data, lambda path: path),
    "labelstudio": (labelled("labelstudio", "labels.json"), as_data, lambda path: path),
    "labelme": (labelled("labelme", "", "a.json"), as_data, lambda path: path.parent),
    "yolo": (labelled("yolo", "", "labels/a.txt"), as_data, lambda path: path.parents[1]),
    "data.yaml": (labelled("yolo", "", "data.yaml"), as_data, lambda path: path),
    "boxes": (
        written("boxes.csv", "file_name,x,y,width,height\na.png,1,2,30,30\nb.png,0,0,9,9\n"),
        as_boxes,
        lambda path: path,
    ),
    "weights": (
        written("weights.csv", "file_name,weight\na.png,1\nb.png,0.5\nd/c.png,2\n"),
        as_weights,
        lambda path: path,
    ),
    "scheme": (
        written("scheme.json", json.dumps(SCHEME)),
        as_scheme,
        lambda path: path,
    ),
    "pairs": (written("pairs.csv", "0,1\n2,2\n"), as_scheme, lambda path: path),
    "decisions": (
        written("decisions.csv", "file_name,decision,points\na.png,exclude,\nb.png,keep,\n"),
        as_decisions,
        lambda path: path,
    ),
}


def tried(name: str, seeds: range, root: Path) -> None:
    """Every mutation is read, or rejected by a ValueError of one line; within ten seconds and a gigabyte."""
    make, read, given = READERS[name]
    root.mkdir(parents=True, exist_ok=True)
    path = make(root)
    sound = path.read_bytes()
    read(given(path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        data = mutated(sound, np.random.RandomState(seed))
        path.write_bytes(data)
        began = time.perf_counter()
        try:
            read(given(path))
        except ValueError as error:
            words = str(error)
            assert words.isprintable() and 0 < len(words) < 1000, f"{name}, seed {seed}: {words[:300]!r}"
            assert not isinstance(error, UnicodeError | json.JSONDecodeError), f"{name}, seed {seed}: {words[:300]}"
        except Exception as error:
            pytest.fail(f"{name}, seed {seed}: {type(error).__name__}: {str(error)[:300]}")
        assert time.perf_counter() - began < 10, f"{name}, seed {seed}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 1e9


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_rejected_in_one_line(name, tmp_path):
    tried(name, range(10), tmp_path / "set")


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_are_read_or_rejected_in_one_line(name, tmp_path):
    tried(name, range(1000, 1400), tmp_path / "set")
