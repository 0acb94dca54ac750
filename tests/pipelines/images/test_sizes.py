"""A size that a format states, against the image's own: labels of another size are never used."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode, sizes
from pipelines.packing import cache, inspection, report

SHOWN = (40, 60)  # width, height of an image as it is stored


def image(turn: int = 1, kind: str = ".jpg") -> bytes:
    """Noise of SHOWN, as JPEG with an EXIF orientation, or as another kind."""
    pixels = np.random.RandomState(3).randint(0, 256, (SHOWN[1], SHOWN[0], 3), dtype=np.uint8)
    data = cv2.imencode(kind, pixels)[1].tobytes()
    entry = struct.pack("<HHHIHH", 1, 0x0112, 3, 1, turn, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + bytes(4)
    return data if turn == 1 else data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


def coco(root: Path, stated: list[dict], data: bytes) -> str:
    (root / "images").mkdir(parents=True)
    for i in range(len(stated)):
        (root / f"images/{i}.jpg").write_bytes(data)
    images = [{"id": i, "file_name": f"{i}.jpg", **size} for i, size in enumerate(stated)]
    points = [{"id": i, "image_id": i, "category_id": 1, "keypoints": [5, 6, 2]} for i in range(len(stated))]
    text = {"images": images, "annotations": points, "categories": [{"id": 1, "name": "a", "keypoints": ["p"]}]}
    (root / "labels.json").write_text(json.dumps(text))
    return str(root / "labels.json")


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_size_that_counts_is_the_displayed_one(turn):
    data = image(turn)
    shown = decode.decode(data).shape[1::-1]
    assert decode.displayed_size(data) == shown == (SHOWN[::-1] if turn >= 5 else SHOWN)
    sizes.check(data, shown, "t")
    if turn >= 5:  # stored so, shown otherwise: labelled by a tool that knows no EXIF
        with pytest.raises(decode.DecodeError, match="EXIF"):
            sizes.check(data, SHOWN, "t")


@pytest.mark.parametrize("kind", [".png", ".bmp", ".webp", ".tiff"])
@pytest.mark.parametrize("stated", [SHOWN, (80, 120), (60, 40), (41, 60)])
def test_every_kind_of_image_is_held_against_what_is_stated(kind, stated):
    if stated == SHOWN:
        sizes.check(image(kind=kind), stated, "t")
        return
    with pytest.raises(decode.DecodeError, match=rf"t says {stated[0]} x {stated[1]}, the image is 40 x 60"):
        sizes.check(image(kind=kind), stated, "t")


STATED = [
    {"width": 40, "height": 60}, {"width": 80, "height": 120}, {"width": 60, "height": 40}, {}, {"width": 80},
    {"width": 0, "height": 0}, {"width": "40", "height": "60"}, {"width": 40.0, "height": 60.0}, {"width": True, "height": True},
]  # fmt: skip
WRONG = ["1.jpg", "2.jpg"]


def test_contradictions_are_found_by_headers_alone_and_by_every_reader(tmp_path, monkeypatch, capsys):
    path = coco(tmp_path / "set", STATED, image())
    source = opening.open_source(path)
    told = inspection.foreseen(source)
    assert told[0].startswith("2 of 9 images") and "80 x 120" in told[1] and "1.jpg" in told[1]
    for index, name in enumerate(source.names):
        if name in WRONG:
            with pytest.raises(decode.DecodeError, match="size contradicts"):
                source[index]
        else:
            assert source[index].points.tolist() == [[5, 6]]
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    for packed in (True, True, False):  # the second time it is packed already
        found = cache.training_set(path, packed=packed)
        assert list(found.names) == [n for n in source.names if n not in WRONG]
        said = capsys.readouterr().out
        assert "2 records cannot be used" in said and "2 size contradicts the table" in said and "1.jpg" in said


def test_a_set_of_contradictions_alone_is_rejected_with_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    path = coco(tmp_path / "set", [{"width": 40, "height": 60}] * 3, image(6))
    for packed in (True, False):
        with pytest.raises(ValueError, match=r"3 size contradicts the table.*40 x 60.*60 x 40"):
            cache.training_set(path, packed=packed)


def test_missing_images_are_foreseen(tmp_path):
    path = coco(tmp_path / "set", [{}] * 3, image())
    (tmp_path / "set/images/1.jpg").unlink()
    assert inspection.foreseen(opening.open_source(path)) == [
        "1 of 3 images cannot be used:",
        "  1 the image is missing; the first 1.jpg",
    ]
    assert inspection.foreseen(opening.open_source("drawn:4:5")) == []


def test_kinds_are_counted_and_the_first_of_each_is_named():
    from pipelines.sources.tables import Rejected

    assert report.line(Rejected(" a.jpg", 3, "missing")) == "' a.jpg' (line 3): missing"
    rejected = [Rejected("a", 3, "crowd: 1"), Rejected("b\x1b", None, "no label"), Rejected("c", None, "crowd: 2")]
    assert report.by_kind(rejected) == "2 crowd, 1 no label"
    assert report.examples(rejected) == ["  2 crowd; the first a (line 3): 1", "  1 no label; the first b\\x1b"]
