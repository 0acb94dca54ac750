"""Kinds of damage to a data set, and the expected outcome of each. Used by damaged.py."""

if __name__ == "__main__":
    raise SystemExit("damage.py is a part of damaged.py, and does nothing by itself")

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

RIBBON = np.zeros((20, 20000, 3), np.uint8)


def saved(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    """An image by Pillow, which the project does not decode with."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def deep(image: np.ndarray) -> bytes:
    """A PNG of sixteen bits of grey."""
    return saved(Image.fromarray(image.mean(-1).astype(np.uint16) * 257), "PNG")


def turned(image: np.ndarray) -> bytes:
    """A JPEG that its EXIF turns."""
    exif = Image.Exif()
    exif[274] = 6
    return saved(image, "JPEG", exif=exif.tobytes())


Made = Callable[[np.ndarray, bytes], bytes | None]  # of (the image, its JPEG) the file; None: none
CUT, NONE, GONE, FOLDER = (
    "truncated JPEG",
    "not an image that can be decoded",
    "the image is missing",
    "not a file",
)
IMAGES: dict[str, tuple[Made, str | None]] = {  # what is made, and the kind of its rejection; None: to be accepted
    "half a JPEG": (lambda i, j: j[: len(j) // 2], CUT),
    "a JPEG without its last byte": (lambda i, j: j[:-1], CUT),
    "empty": (lambda i, j: b"", "empty file"),
    "text": (lambda i, j: b"no image, whatever the name says\n" * 99, NONE),
    "half a PNG": (lambda i, j: (p := saved(i, "PNG"))[: len(p) // 2], NONE),
    "missing": (lambda i, j: None, GONE),
    "a directory": (lambda i, j: None, FOLDER),
    "a pipe": (lambda i, j: None, FOLDER),
    "16-bit PNG": (lambda i, j: deep(i), None),
    "palette PNG": (lambda i, j: saved(Image.fromarray(i).quantize(64), "PNG"), None),
    "CMYK JPEG": (lambda i, j: saved(Image.fromarray(i).convert("CMYK"), "JPEG"), None),
    "grey JPEG": (lambda i, j: saved(Image.fromarray(i).convert("L"), "JPEG"), None),
    "alpha PNG": (lambda i, j: saved(Image.fromarray(i).convert("RGBA"), "PNG"), None),
    "animated GIF": (lambda i, j: saved(i, "GIF", save_all=True, append_images=[Image.fromarray(255 - i)]), None),
    "turned by EXIF": (lambda i, j: turned(i), None),
    "1 x 1": (lambda i, j: saved(i[:1, :1], "PNG"), None),
    "20000 x 20": (lambda i, j: saved(RIBBON, "PNG"), None),
    "bytes behind the end": (lambda i, j: j + b"film" * 3000, None),
}


def put(path: Path, way: str, jpeg: bytes) -> None:
    """The image at `path`, damaged in this way."""
    path.unlink()
    data = IMAGES[way][0](np.asarray(Image.open(io.BytesIO(jpeg))), jpeg)
    if data is not None:
        path.write_bytes(data)
    elif way == "a directory":
        path.mkdir()
    elif way == "a pipe":
        os.mkfifo(path)


FIELDS, NUMBER, NAME = "wrong number of fields", "not a finite number", "bad file name"
ROWS: dict[str, tuple[Callable[[bytes, bytes], bytes], str]] = {  # of (name, the rest with its tab) the row
    "too few fields": (lambda n, r: n + r.rpartition(b"\t")[0], FIELDS),
    "too many fields": (lambda n, r: n + r + b"\t1", FIELDS),
    "a name alone": (lambda n, r: n, FIELDS),
    "text in a field": (lambda n, r: n + r.rpartition(b"\t")[0] + b"\tleft eye", NUMBER),
    "an empty field": (lambda n, r: n + r.rpartition(b"\t")[0] + b"\t", NUMBER),
    "NaN": (lambda n, r: n + r.rpartition(b"\t")[0] + b"\tnan", NUMBER),
    "infinite": (lambda n, r: n + r.rpartition(b"\t")[0] + b"\t-inf", NUMBER),
    "a name that leads out": (lambda n, r: b"../outside.jpg" + r, NAME),
    "an absolute name": (lambda n, r: b"/etc/hostname" + r, NAME),
    "a name with a backslash": (lambda n, r: b"..\\outside.jpg" + r, NAME),
    "a name that is not UTF-8": (lambda n, r: b"\xe9\xff" + n + r, NAME),
    "a name of 300 letters": (lambda n, r: b"n" * 296 + b".jpg" + r, NAME),
    "no name": (lambda n, r: r, NAME),
    "a name twice": (lambda n, r: n + r, "name twice"),
}


class Outcome(NamedTuple):
    """Expected outcome of a row of the table."""

    way: str  # how it was damaged; empty: it was not
    file: str  # as a report names it
    line: int
    kind: str | None  # of its rejection; None: to be accepted


def table(clean: Path, out: Path, ways: dict[int, str], random: np.random.RandomState) -> list[Outcome]:
    """Write the table `clean`, one row after another, as `out` with the rows `ways` damaged: a byte order mark, no last
    newline, here and there CRLF and blank lines besides. Returns the outcome of every row."""
    outcomes, line = [], 1
    with open(clean, "rb") as rows, open(out, "wb") as file:
        file.write(b"\xef\xbb\xbf" + rows.readline().rstrip(b"\n"))
        for number, row in enumerate(rows):
            name, tab, rest = row.rstrip(b"\n").partition(b"\t")
            way = ways.get(number, "")
            written = [ROWS[way][0](name, tab + rest) if way in ROWS else name + tab + rest]
            if way == "a name twice":
                written.append(written[0])
            for place, text in enumerate(written):
                blank = random.rand() < 0.02
                file.write((b"\r\n" if random.rand() < 0.1 else b"\n") + b" \t\r\n" * blank + text)
                line += 1 + blank
                kind = ROWS[way][1] if way in ROWS else IMAGES[way][1] if way else None
                kind = None if way == "a name twice" and not place else kind
                shown = text.partition(b"\t")[0].decode(errors="ignore").replace("\\", "/")
                unnamed = way in ("a name that is not UTF-8", "no name")
                outcomes.append(Outcome(way, "train/landmarks.csv" if unnamed else shown, line, kind))
    return outcomes
