"""Images of more than 8 bits are as bright as the bits in use say, a whole set alike, and that is told."""

import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines import example
from pipelines import open as opening
from pipelines.images import decode, decoders, depth
from pipelines.images.decoders import DecodeError
from pipelines.sources.tables import Images, Table
from tests.pipelines.images.test_decode import encoded, quarters
from tests.pipelines.images.test_headers import tiff

BGR = quarters()[..., ::-1]


def written(ending: str, values: np.ndarray) -> bytes:
    return cv2.imencode(ending, values)[1].tobytes()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("ending", [".png", ".tif", ".ppm", ".jp2"])
def test_the_bits_in_use_become_the_eight_that_are_shown(bits, ending):
    values = BGR.astype(np.uint16) << (bits - 8)
    assert np.array_equal(decode.decode(written(ending, values)), quarters())


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_grey_and_transparent_ones_are_scaled_alike(ending):
    grey = (BGR[..., 0].astype(np.uint16) << 4) + 15
    shown = np.repeat(BGR[..., :1], 3, 2)
    assert np.array_equal(decode.decode(written(ending, grey)), shown)
    alpha = np.full((48, 64, 1), 4095, np.uint16)
    assert np.array_equal(decode.decode(written(ending, np.concatenate([grey[..., None]] * 3 + [alpha], 2))), shown)


def test_grey_with_transparency():
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    for bits, mode, value in ((16, ">HH", 0x0AB0), (8, ">BB", 0xAB)):
        rows = (b"\0" + struct.pack(mode, value, 0) * 4) * 3
        head = struct.pack(">IIBBBBB", 4, 3, bits, 4, 0, 0, 0)
        data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        assert (decode.decode(b"\x89PNG\r\n\x1a\n" + data) == 0xAB).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "PPM"])
def test_one_bit_is_black_and_white(kind):
    found = decode.decode(encoded(Image.fromarray(quarters()).convert("L").point(lambda v: 255 * (v > 90), "1"), kind))
    assert np.array_equal(np.unique(found), [0, 255]) and (found[0, 0] == 255).all() == (found[..., 0].mean() > 0)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PNG"])
def test_palettes(kind):
    data = encoded(Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE), kind)
    assert np.array_equal(decode.decode(data), quarters())


def test_cmyk_tiff():
    data = encoded(Image.fromarray(quarters()).convert("CMYK"), "TIFF")
    assert np.array_equal(decode.decode(data), quarters())


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("white", "white_of_all"), [(1, 1), (255, 255), (65535, 65535), (4095, 4095)])
def test_floating_point(kind, white, white_of_all):
    values = (BGR / 255 * white).astype(kind)
    values[0, 0] = white_of_all
    shown = quarters()
    shown[0, 0] = 255
    assert np.array_equal(decode.decode(written(".tif", values)), shown)
    assert np.array_equal(decode.decode(written(".tif", values[..., 0]))[..., 0], shown[..., 2])


def test_whole_numbers_with_a_sign_and_of_32_bits():
    grey = BGR[..., 0].astype(np.int16)
    grey[0, 0] = -5
    for values in (grey * 16, grey.astype(np.int32) * 16):
        found = decode.decode(written(".tif", values))
        assert found[0, 0, 0] == 0 and np.array_equal(found[1:], np.repeat(BGR[1:, :, :1], 3, 2))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e9])
def test_what_is_no_brightness_has_a_reason(odd):
    values = np.zeros((4, 5), np.float32)
    values[1, 1] = odd
    with pytest.raises(DecodeError, match="finite|values up to"):
        decode.decode(written(".tif", values))


def test_zero_may_be_white():
    values = np.arange(64 * 48, dtype="<u2").reshape(48, 64)
    pixels = values.tobytes()
    head = tiff(64, 48, _258=16, _262=0, _273=8 + 2 + 12 * 9 + 4, _279=len(pixels))[: 8 + 2 + 12 * 9 + 4]
    found = decode.decode(head + pixels)
    assert found[0, 0, 0] == 255 and np.array_equal(found[..., 0], 255 - (values >> 4))


def test_the_white_of_a_set_is_that_of_nearly_all():
    assert depth.usual([4095.0] * 19 + [65535]) == 4095
    assert depth.usual([1023.0] * 15 + [4095] * 5) == 4095  # dark images do not make the others brighter
    assert depth.usual([1023.0]) == 1023 and depth.usual([1023.0, 4095]) == 4095
    with pytest.raises(ValueError):
        depth.usual([])


def folder(root, bits: list[int]) -> Images:
    """Grey PNGs of 16 bits whose largest values take so many; each shows 40 twelfth-bit units somewhere."""
    names = []
    for number, used in enumerate(bits):
        values = np.full((20, 30), 640, np.uint16)
        values[0, 0] = 2**used - 1
        names.append(f"{number:02d}.png")
        (root / names[-1]).write_bytes(written(".png", values))
    return Images(Table(root, "labels.csv", 3, names, [0] * len(names), None))


def test_one_set_is_treated_alike_and_that_is_reported(tmp_path, caplog):
    source = folder(tmp_path, [12, 10, 12, 12, 10, 12] * 4)
    assert {int(decode.decode(source[i].image)[5, 5, 0]) for i in range(len(source))} == {640 >> 4}
    assert caplog.text.count("4095") == 1 and "24 of 24" in caplog.text and str(tmp_path) in caplog.text


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_values_below_0_are_counted_with_the_scale(tmp_path, caplog, kind):
    names = [f"{number}.tif" for number in range(4)]
    for number, name in enumerate(names):
        values = np.full((20, 30), 1, kind)
        values[: 5 * (number > 0)] = -1
        (tmp_path / name).write_bytes(written(".tif", values * kind(1 if kind == np.float32 else 30000)))
    assert Images(Table(tmp_path, "labels.csv", 3, names, [0] * 4, None))[0].image
    assert (
        "4 of 4" in caplog.text
        and "3 of them have values below 0 (25% of their values), which become black" in caplog.text
    )


def test_one_odd_image_does_not_turn_the_others_black(tmp_path, caplog):
    source = folder(tmp_path, [12] * 19 + [16])
    with caplog.at_level(logging.WARNING):
        shown = [int(decode.decode(source[i].image)[5, 5, 0]) for i in (19, 0, 19)]
    assert shown == [640 >> 8, 640 >> 4, 640 >> 8]
    assert caplog.text.count("19.png") == 1 and "65535" in caplog.text


def test_images_that_come_out_dark_are_counted(tmp_path, caplog):
    assert folder(tmp_path, [12, 16] * 4)[0].image and "4 of them" in caplog.text
    caplog.clear()
    assert folder(tmp_path, [12, 10] * 4)[0].image and "of them" not in caplog.text


@pytest.mark.parametrize("count", [1, 19, 20])
def test_of_few_images_it_is_said_that_the_data_of_a_run_may_have_another_scale(tmp_path, caplog, count):
    assert folder(tmp_path, [10] * count)[0].image
    assert "1023" in caplog.text and ("so few" in caplog.text) == (count < 20)


def test_the_scale_does_not_depend_on_what_is_read_first(tmp_path):
    bits = [10, 12, 10, 12]
    one, other = folder(tmp_path, bits), folder(tmp_path, bits)
    first = [one[i].image for i in range(4)]
    assert first == list(reversed([other[i].image for i in (3, 2, 1, 0)]))


def test_eight_bits_stay_the_bytes_of_the_file(tmp_path, caplog):
    data = encoded(quarters(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    assert Images(Table(tmp_path, "", 3, ["a.png"], [0], None))[0].image == data and not caplog.text


def test_a_damaged_one_among_them_is_reported_by_itself(tmp_path):
    source = folder(tmp_path, [12] * 4)
    (tmp_path / "02.png").write_bytes((tmp_path / "02.png").read_bytes()[:60])
    assert decode.decode(source[1].image)[5, 5, 0] == 640 >> 4
    with pytest.raises(DecodeError):
        source[2]
    assert decoders.own(b"") is None


def test_a_converted_set_keeps_its_files_and_its_scale(tmp_path, command):
    source = folder(tmp_path, [12, 10, 12])
    rows = "".join(f"{name},1,2,3,4\n" for name in source.names)
    (tmp_path / "labels.csv").write_text("file_name,x0,y0,x1,y1\n" + rows)
    out = tmp_path / "out" / "set.json"
    code, said = command(
        "convert", "--data", tmp_path / "labels.csv", "--format", "coco", "--out", out, "--copy-pictures"
    )
    assert code == 0, said.err
    for name in source.names:
        assert (out.parent / "images" / name).read_bytes() == (tmp_path / name).read_bytes()
    one, other = (opening.open_source(str(path)) for path in (tmp_path / "labels.csv", out))
    assert [one[i].image for i in range(3)] == [other[i].image for i in range(3)]


def test_prepare_tells_the_scale_and_packs_what_training_sees(tmp_path, command, caplog):
    source = folder(tmp_path, [12, 10, 12])
    rows = "".join(f"{name},1,2,3,4\n" for name in source.names)
    (tmp_path / "labels.csv").write_text("file_name,x0,y0,x1,y1\n" + rows)
    code, said = command("prepare", "--data", tmp_path / "labels.csv", "--out", tmp_path / "packed")
    assert code == 0 and "4095" in caplog.text, said.err
    raw, packed = opening.open_source(str(tmp_path / "labels.csv")), opening.open_source(str(tmp_path / "packed"))
    assert example.identity(raw) == example.identity(packed)
    assert {int(decode.decode(packed[i].image)[5, 5, 0]) for i in range(3)} == {640 >> 4}
