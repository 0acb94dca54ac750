"""JPEGs whose data end too soon, or not with the last pixel, are told of; whole ones are not, however they are coded."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.images import decode, jpeg, jpeg_scans
from tests.pipelines.label_checks.test_conflicts import texture
from tests.pipelines.sources.formats.test_contest import contest_folder

WAYS = {
    "plain": {},
    "coarse": {"quality": 20},
    "fine": {"quality": 98, "subsampling": 0},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_rows": 1},
    "with EXIF": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0", "icc_profile": bytes(70000), "comment": b"\xff\xd9"},
    "progressive": {"progressive": True},
}


def coded(seed: int = 0, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(texture(seed)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def first_scan(data: bytes) -> int:
    return max(at for _, at in jpeg.segments(data)) + 14


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("way", WAYS)
def test_whole_ones(way, mode):
    data = coded(mode=mode, **WAYS[way])
    for file in (data, data + b"more behind it", data[:-2] + b"\xff\xff\xff\xff\xd9"):
        assert not jpeg_scans.damaged(file)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "progressive"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_one_that_is_cut_anywhere_and_has_an_end_marker(way, mode, random):
    data = coded(mode=mode, **WAYS[way])
    for at in random.randint(first_scan(data), len(data) - 60, 20):
        cut = data[:at].rstrip(b"\xff") + b"\xff\xd9"
        assert decode.decode(cut).shape == (*texture(0).shape[:2], 3)  # decoders do not tell
        assert jpeg_scans.damaged(cut)


def test_data_that_do_not_end_with_the_last_pixel():
    data = coded()
    assert jpeg_scans.damaged(data[:-2] + bytes(100) + b"\xff\xd9")
    assert not jpeg_scans.damaged(data[:-2] + bytes(4) + b"\xff\xd9")


def test_of_several_scans_those_that_are_missing():
    data = coded(progressive=True)
    marks = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(marks) > 5
    for at in marks[1:]:
        assert jpeg_scans.damaged(data[:at] + b"\xff\xd9")
    assert not jpeg_scans.damaged(data[:-300] + b"\xff\xd9")  # the last bits of the last one: not known


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (3000, 2)])
def test_small_ones(size):
    for options in ({}, {"progressive": True}):
        file = io.BytesIO()
        Image.new("RGB", size, (9, 99, 200)).save(file, "JPEG", **options)
        assert not jpeg_scans.damaged(file.getvalue()) and not jpeg_scans.damaged(file.getvalue() + bytes(99))


@pytest.mark.parametrize(
    "options",
    [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2], [cv2.IMWRITE_JPEG_OPTIMIZE, 1]],
)
def test_those_of_another_encoder(options):
    assert not jpeg_scans.damaged(cv2.imencode(".jpg", texture(3), options)[1].tobytes())


def test_real_ones_are_whole(faces68):
    paths = sorted((faces68 / "train" / "images").iterdir())[::10]
    assert not any(jpeg_scans.damaged(path.read_bytes()) for path in paths)


@pytest.mark.parametrize("way", ["plain", "progressive"])
def test_nothing_breaks_it(way, random):
    data = coded(**WAYS[way])
    for at in range(0, 700):
        jpeg_scans.damaged(data[:at])
        changed = bytearray(data)
        changed[at] = random.randint(256)
        jpeg_scans.damaged(bytes(changed))
    assert not jpeg_scans.damaged(b"") and not jpeg_scans.damaged(b"\x89PNG")


@pytest.mark.parametrize("flags", [(), ("--no-cache",)])
def test_prepare_and_train_tell(command, tmp_path, flags):
    face = np.array([[40.0, 40], [80, 40], [60, 60], [45, 80], [75, 80]])
    rows = {f"{i}.jpg": (coded(i), face + i) for i in range(8)}
    whole = coded(5)
    rows["5.jpg"] = (whole[: -len(whole) // 8] + b"\xff\xd9", face + 5)
    data, out = contest_folder(tmp_path / "data", rows), tmp_path / "out"
    code, said = command("train", "--data", data, "--dry-run", "--runs", tmp_path, "--model", "resnet18", *flags)
    assert code == 0 and "1 JPEG is cut off or damaged inside" in said.out and "5.jpg" in said.out
    code, said = command("prepare", "--data", data, "--out", out)
    assert code == 0 and "1 JPEG is cut off or damaged inside" in said.out
    assert json.loads((out / "report.json").read_text())["parts"]["train"]["damaged_files"] == ["5.jpg"]
