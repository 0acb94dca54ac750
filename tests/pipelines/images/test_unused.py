"""What files hold and nothing is trained on is counted and named: alpha channels, further pictures, values below 0."""

import json
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines import open as opening
from pipelines.images import decode, headers, jpeg, unused
from pipelines.label_checks import sections
from pipelines.packing import inspection
from tests.pipelines.images.test_decode import encoded, quarters

RGB = Image.fromarray(quarters())
HALF = Image.fromarray(np.dstack([quarters(), np.tile(np.arange(64, dtype=np.uint8), (48, 1))]), "RGBA")
OPAQUE = RGB.convert("RGBA")
PALETTE = RGB.quantize(8)


def written(ending: str, values: np.ndarray) -> bytes:
    return cv2.imencode(ending, values)[1].tobytes()


def mpo(count: int, kinds: dict[int, int] | None = None) -> bytes:
    """A JPEG of several pictures; kinds: those that are to be listed as another kind, by their place."""
    data = bytearray(encoded(RGB, "MPO", save_all=True, append_images=[RGB.rotate(9)] * (count - 1)))
    at = data.index(b"MPF\0") + 4
    order = "<" if data[at : at + 2] == b"II" else ">"
    first = struct.unpack_from(order + "I", data, at + 4)[0]
    fields = [struct.unpack_from(order + "HHII", data, at + first + 2 + 12 * n) for n in range(3)]
    table = next(value for tag, _, _, value in fields if tag == 0xB002)
    for place, kind in (kinds or {}).items():
        struct.pack_into(order + "I", data, at + table + 16 * place, kind)
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("WEBP", {}), ("TIFF", {}), ("AVIF", {}), ("JPEG2000", {})],
)
def test_an_alpha_channel_counts_where_it_is_not_opaque(kind, options):
    assert unused.of(encoded(HALF, kind, **options)) == ("alpha",)
    if kind not in ("AVIF", "JPEG2000"):
        assert unused.of(encoded(OPAQUE, kind, **options)) == ()
    assert unused.of(encoded(RGB, kind, **options)) == ()


def test_other_ways_to_be_transparent():
    grey = HALF.convert("LA")
    for image, kind in ((grey, "PNG"), (grey, "TIFF")):
        assert unused.of(encoded(image, kind)) == ("alpha",)
    for image, kind in ((PALETTE, "PNG"), (PALETTE, "GIF")):
        assert unused.of(encoded(image, kind, transparency=1)) == ("alpha",)
        assert unused.of(encoded(image, kind)) == ()
    assert unused.of(encoded(RGB, "PNG", transparency=tuple(quarters()[0, 0].tolist())))
    deep = np.dstack([quarters().astype(np.uint16) << 8, np.full((48, 64), 65535, np.uint16)])
    assert unused.of(written(".png", deep)) == ()
    deep[3, 4, 3] = 9
    assert unused.of(written(".png", deep)) == ("alpha",)
    assert unused.of(written(".pam", np.dstack([quarters(), np.zeros((48, 64), np.uint8)]))) == ("alpha",)


def test_a_jpeg_of_several_pictures():
    for count in (2, 3):
        found = headers.read(mpo(count))
        assert found is not None and found.frames and unused.of(mpo(count)) == ("frames",)
    assert np.array_equal(decode.decode(mpo(2)), decode.decode(mpo(3)))
    assert unused.of(mpo(2, {1: 0x010001})) == () and unused.of(mpo(3, {1: 0x010002})) == ("frames",)  # previews
    assert unused.of(encoded(RGB, "JPEG")) == ()


def test_an_index_of_pictures_that_is_damaged_is_none():
    data, at = mpo(2), mpo(2).index(b"MPF\0")
    for place in range(at, at + 60):
        for value in (0, 255):
            headers.read(data[:place] + bytes([value]) + data[place + 1 :])
        assert jpeg.pictures(data[:place], at - 4) <= 2


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
def test_values_below_0(kind):
    values = np.linspace(-1, 1, 48 * 64).reshape(48, 64)
    values = (values * 30000).astype(kind) if kind == np.int16 else values.astype(kind)
    assert unused.of(written(".tif", values)) == ("negative",)
    assert unused.of(written(".tif", np.abs(values))) == ()


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"no image"])
def test_of_what_is_no_image_nothing_is_said(data):
    assert unused.of(data) == ()


def several(root):
    """A table of eight images, and which of them have what."""
    files = {
        "alpha.png": encoded(HALF, "PNG"),
        "deep.png": written(".png", np.dstack([quarters().astype(np.uint16) << 8, np.zeros((48, 64), np.uint16)])),
        "float.tif": written(".tif", np.linspace(-1, 1, 48 * 64, dtype=np.float32).reshape(48, 64)),
        "moving.gif": encoded(RGB, "GIF", save_all=True, append_images=[RGB.rotate(9)]),
        "opaque.png": encoded(OPAQUE, "PNG"),
        "plain.jpg": encoded(RGB, "JPEG"),
        "two.jpg": mpo(2),
    }
    for name, data in files.items():
        (root / name).write_bytes(data)
    (root / "t.csv").write_text("file_name,x_0,y_0\n" + "".join(f"{name},3,5\n" for name in files))
    return str(root / "t.csv"), {
        "alpha_files": ["alpha.png", "deep.png"],
        "frames_files": ["moving.gif", "two.jpg"],
        "negative_files": ["float.tif"],
    }


def test_prepare_and_train_tell(tmp_path, command, caplog):
    table, has = several(tmp_path)
    code, said = command("prepare", "--data", table, "--out", tmp_path / "set")
    assert code == 0, said.err
    part = json.loads((tmp_path / "set/report.json").read_text())["parts"]["train"]
    assert {key: part[key] for key in has} == has
    lines = [line for line, _ in sections.remarks(part)["unused"]]
    assert len(lines) == 3 and all(line in said.out for line in lines)
    assert lines[0].startswith("warning: images: 2 images have alpha channels") and "deep.png" in lines[0]
    assert "2 images have several frames, pages or pictures" in lines[1] and "two.jpg" in lines[1]
    assert "1 image has values below 0" in lines[2] and "v/2 + 1/2" in lines[2]
    for flags in ((), ("--no-cache",), ()):
        code, said = command(
            "train", "--data", table, "--dry-run", "--runs", tmp_path, "--model", "resnet18", "--steps", 9, *flags
        )
        assert code == 0 and all(line in said.out for line in lines), said.err
    assert "several frames" not in caplog.text  # said once, with the count


def test_a_set_that_was_packed_before_has_none(tmp_path):
    assert sections.marks_of({})["alpha"] == [] and unused.describe(sections.marks_of({})) == []


def test_who_reads_without_counting_is_told_of_the_first(tmp_path, caplog):
    source = opening.open_source(several(tmp_path)[0])
    for index in range(len(source)):
        assert source[index].image
    assert caplog.text.count("several frames, pages or pictures") == 1
    assert "1 of them has values below 0 (50% of its values)" in caplog.text


def test_what_is_looked_at_is_read_once(tmp_path, monkeypatch):
    source = opening.open_source(several(tmp_path)[0])
    source[1]  # computes the scale
    read, encoded_ = [], type(source).encoded
    monkeypatch.setattr(type(source), "encoded", lambda self, index: read.append(index) or encoded_(self, index))
    for index in range(len(source)):
        seen = inspection.look(source, index)
        assert seen.example is not None
    assert read == list(range(len(source)))
