"""What decodes is read whatever its ending and however deep it lies; what is passed over is named and counted."""

import io
import logging
import os

import pytest
from PIL import Image

from pipelines import open as opening
from pipelines.images import decode, headers, heic
from pipelines.images.decoders import DecodeError
from pipelines.sources import image_folder
from tests.pipelines.images.test_decode import JPEG, encoded, quarters

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


@pytest.fixture
def folder(tmp_path):
    """Images by many names, and other things."""
    root = tmp_path / "images"
    for name in ("a.JPG", "b/c/deep.jfif", "b/phone.HEIC", "noending"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(JPEG)
    (root / "pic.gif").write_bytes(encoded(quarters(), "GIF"))
    (root / "odd.bin").write_bytes(encoded(quarters(), "PNG"))
    (root / "empty.png").write_bytes(b"")  # meant as an image: told among those that cannot be decoded
    (root / "notes.txt").write_text("no image")
    (root / "b" / "real.heic").write_bytes(HEIC)
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.jpg").write_bytes(JPEG)
    os.mkfifo(root / "pipe.jpg")
    return root


def test_images_by_content_in_all_folders(folder, monkeypatch):
    monkeypatch.setattr(heic, "available", lambda: False)
    found = image_folder.listed(folder)
    assert found.images == ["a.JPG", "b/c/deep.jfif", "b/phone.HEIC", "empty.png", "noending", "odd.bin", "pic.gif"]
    assert [name for name, _ in found.passed] == [".hidden", "b/real.heic", "notes.txt", "pipe.jpg"]
    reasons = dict(found.passed)
    assert "pillow-heif" in reasons["b/real.heic"] and "no image" in reasons["notes.txt"]
    told = image_folder.describe(found.passed)
    assert "\n" not in told and all(name in told for name in reasons)
    monkeypatch.setattr(heic, "available", lambda: True)
    assert "b/real.heic" in image_folder.listed(folder).images


def test_many_of_one_kind_are_counted_and_the_first_are_named():
    told = image_folder.describe([(f"{n:03d}.txt", "no image") for n in range(250)] + [("x", "hidden")])
    assert "no image: 250" in told and "000.txt" in told and "and 240 more" in told and "hidden: 1 (x)" in told


def test_links_are_followed_once_and_the_folder_of_results_is_left_out(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "y.jpg").write_bytes(JPEG)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "link" / "loop").symlink_to(folder)
    (folder / "gone.jpg").symlink_to(folder / "nothing")
    (folder / "results").mkdir()
    (folder / "results" / "a.JPG.png").write_bytes(JPEG)
    found = image_folder.listed(folder, [folder / "results"])
    assert "link/y.jpg" in found.images and not any("results" in name for name in found.images)
    assert {"results/", "link/loop/", "gone.jpg"} <= {name for name, _ in found.passed}


def test_one_file_is_read_as_well_and_what_is_passed_over_is_reported(folder, caplog):
    assert opening.open_images(str(folder / "b" / "phone.HEIC"), 5).names == ["phone.HEIC"]
    assert not caplog.text
    source = opening.open_images(str(folder), 5)
    assert "notes.txt" in caplog.text and "passed over" in caplog.text
    assert decode.decode(source[source.names.index("b/phone.HEIC")].image).shape == (200, 200, 3)


def test_where_nothing_is_an_image_the_files_are_named(tmp_path):
    (tmp_path / "a.txt").write_text("no")
    with pytest.raises(ValueError, match="1 passed over: no image .a.txt."):
        opening.open_images(str(tmp_path), 5)


def test_an_animation_is_read_by_its_first_frame_and_that_is_reported(tmp_path, caplog):
    image = quarters()
    for name in ("a.gif", "b.gif"):
        moving = encoded(image, "GIF", save_all=True, append_images=[Image.fromarray(255 - image)])
        (tmp_path / name).write_bytes(moving)
    source = opening.open_images(str(tmp_path), 5)
    with caplog.at_level(logging.WARNING):
        assert (decode.decode(source[0].image) == image).all() and (decode.decode(source[1].image) == image).all()
    assert caplog.text.count("several frames") == 1 and "a.gif" in caplog.text


def test_heic_without_the_package_names_it(monkeypatch):
    whole = HEIC[:24] + b"\0\0\0\x24meta\0\0\0\0\0\0\0\x14ispe\0\0\0\0\0\0\0\x40\0\0\0\x30" + bytes(40)
    monkeypatch.setattr(heic, "available", lambda: False)
    with pytest.raises(DecodeError, match="pillow-heif"):
        decode.decode(whole)


def test_heic_is_decoded_as_displayed():
    pillow_heif = pytest.importorskip("pillow_heif")
    image, file = quarters(), io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(file, quality=95)
    found = decode.decode(file.getvalue())
    assert found.shape == image.shape and abs(found.astype(int) - image).mean() < 5
    assert headers.header_size(file.getvalue()) == (64, 64) or headers.header_size(file.getvalue()) == (64, 48)
    with pytest.raises(DecodeError):
        decode.decode(file.getvalue()[:-200])


def test_one_file_that_is_no_image_is_rejected_and_a_broken_image_is_one(tmp_path):
    (tmp_path / "README.md").write_text("words")
    (tmp_path / "broken.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="README.md: no image"):
        image_folder.found(str(tmp_path / "README.md"))
    assert image_folder.found(str(tmp_path / "broken.jpg")) == (tmp_path, ["broken.jpg"])
