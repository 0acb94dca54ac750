"""Images displayed turned or mirrored are known in every format that is displayed so, and counted by the commands."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from jaxmarks import landmarks
from jaxmarks.config import Config
from pipelines import open as opening
from pipelines.images import decode, orientation
from pipelines.label_checks import label_remarks

CORNER = np.zeros((24, 24, 3), np.uint8)
CORNER[:8, :4] = 255


def encoded(kind: str, number: int) -> bytes:
    """A square image, so that its size tells nothing, with an EXIF orientation; 0: without."""
    exif, file = Image.Exif(), io.BytesIO()
    if number:
        exif[0x0112] = number
    Image.fromarray(CORNER).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF", "AVIF"])
def test_turned_is_what_is_displayed_otherwise_than_stored(kind, number):
    data = encoded(kind, number)
    same = np.abs(decode.decode(data).astype(int) - CORNER).mean() < 10
    assert orientation.turned(data) == (number > 1) == (not same)


@pytest.mark.parametrize("data", [b"", b"II", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPEXIF", b"\x89PNG\r\n\x1a\neXIfMM\0*"])
def test_what_is_cut_off_is_not_turned(data):
    assert not orientation.turned(data)


def test_train_and_prepare_count_them(tmp_path, command):
    rows = ["file_name,x_0,y_0"]
    for number in range(1, 6):
        name = f"{number}.{'png' if number % 2 else 'jpg'}"
        (tmp_path / name).write_bytes(encoded("PNG" if number % 2 else "JPEG", number))
        rows.append(f"{name},3,5")
    table = str(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    said = label_remarks.remarks(opening.open_source(table), Config(data=table), landmarks.scheme(1))
    lines = [line for line in said if "EXIF" in line]
    assert len(lines) == 1 and lines[0].startswith("4 of 5 images")
    code, said = command("prepare", "--data", table, "--out", tmp_path / "set")
    assert code == 0 and lines[0] in said.out and lines[0] in (tmp_path / "set/report.txt").read_text()
    assert lines[0].endswith("FILES)") and "stored frame" in lines[0]
    assert json.loads((tmp_path / "set/report.json").read_text())["parts"]["train"]["turned_files"] == [
        f"{number}.{'png' if number % 2 else 'jpg'}" for number in range(2, 6)
    ]
