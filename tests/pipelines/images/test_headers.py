"""Every format's size is read from its header, and one bound is held before a pixel is decoded."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.images import decode, decoders, headers
from pipelines.images.headers import Header
from pipelines.reports import rejected
from tests.pipelines.images.test_decode import encoded, png_that_claims, quarters

WIDE = (1 << 14, 1 << 14)  # 2^28 pixels


def written(ending: str, image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(ending, image, options)[1].tobytes()


def kinds() -> dict[str, bytes]:
    """A small image of 64 x 48 in each format and in its ways of being written."""
    image = quarters()
    pages = {"save_all": True, "append_images": [Image.fromarray(255 - image)]}
    found = {
        "PNG": encoded(image, "PNG"),
        "PNG moving": encoded(image, "PNG", **pages),
        "BMP": encoded(image, "BMP"),
        "BMP palette": encoded(Image.fromarray(image).quantize(), "BMP"),
        "GIF": encoded(image, "GIF"),
        "GIF moving": encoded(image, "GIF", **pages),
        "WebP lossy": encoded(image, "WEBP"),
        "WebP lossless": encoded(image, "WEBP", lossless=True),
        "WebP moving": encoded(image, "WEBP", **pages),
        "TIFF": encoded(image, "TIFF"),
        "TIFF moving": encoded(image, "TIFF", **pages),
        "TIFF deflate": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF large": encoded(image, "TIFF", big_tiff=True),
        "PNM colour": encoded(image, "PPM"),
        "PNM grey": encoded(Image.fromarray(image).convert("L"), "PPM"),
        "PNM bits": encoded(Image.fromarray(image).convert("1"), "PPM"),
        "PNM any": written(".pam", image),
        "JPEG 2000": encoded(image, "JPEG2000"),
        "JPEG 2000 bare": encoded(image, "JPEG2000", no_jp2=True),
        "AVIF": encoded(image, "AVIF"),
        "PFM": written(".pfm", image.astype(np.float32) / 255),
        "PFM grey": written(".pfm", image[..., 0].astype(np.float32) / 255),
        "Radiance": written(".hdr", image.astype(np.float32) / 255),
        "Sun raster": written(".ras", image),
    }
    return found


KINDS = kinds()


@pytest.mark.parametrize("name", KINDS)
def test_size_and_frames_of_every_format(name):
    data = KINDS[name]
    found = headers.read(data)
    assert found is not None and found.kind == headers.kind(data[:64]) and name.startswith(found.kind)
    assert (found.width, found.height) == (64, 48) == headers.header_size(data)
    assert found.frames == ("moving" in name) and found.deep == ("PFM" in name)
    assert decode.decode(data).shape == (48, 64, 3)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_off_anywhere_has_a_reason(name):
    for cut in (2, 8, 15, 20, 26, 40, 100, len(KINDS[name]) // 2):
        try:
            decode.decode(KINDS[name][:cut])
        except decode.DecodeError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["ICO", "TGA", "PCX"])
def test_what_no_decoder_here_knows_is_not_tried(name):
    data = encoded(quarters(), name)
    assert headers.read(data) is None
    with pytest.raises(decode.DecodeError, match="not an image"):
        decode.decode(data)


@pytest.mark.parametrize("turn", range(1, 9))
def test_an_avif_is_shown_as_it_asks(turn):
    image, exif = quarters(), Image.Exif()
    exif[274] = turn
    shown = np.asarray({
        1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1],
        5: image.swapaxes(0, 1), 6: np.rot90(image, -1), 7: np.rot90(image, 2).swapaxes(0, 1), 8: np.rot90(image),
    }[turn])  # fmt: skip
    found = decode.decode(encoded(image, "AVIF", quality=95, exif=exif.tobytes()))
    assert found.shape == shown.shape and np.abs(found.astype(int) - shown).mean() < 6


def tiff(width: int, height: int, **tags: int) -> bytes:
    """A TIFF of one strip without pixels."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 64}
    entries |= {int(tag[1:]): value for tag, value in tags.items()}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(68)


def bombs(width: int, height: int) -> dict[str, bytes]:
    """Small files of each format that claim so many pixels."""
    size = struct.pack(">II", height, width)
    moving = b"\x02\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    soc = struct.pack(">HHHIIIIIIIIHBBB", 0xFF51, 41, 0, width, height, 0, 0, width, height, 0, 0, 1, 7, 1, 1)
    ispe = b"\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", width, height)
    meta = b"\0\0\0\x60meta" + bytes(4) + ispe + bytes(0x60 - 12 - len(ispe))
    return {
        "PNG": png_that_claims(width, height),
        "BMP": b"BM" + struct.pack("<IIIIii", 0, 0, 1078, 40, width, height) + b"\1\0\x08\0\1\0\0\0" + bytes(1100),
        "BMP upside down": b"BM" + struct.pack("<IIIIii", 0, 0, 54, 40, width, -height) + b"\1\0\x18\0" + bytes(100),
        "GIF": b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0),
        "TIFF": tiff(width, height),
        "TIFF tile": tiff(64, 64, _322=width, _323=height),
        "WebP": b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0" + moving + bytes(20),
        "PNM": b"P6\n# a remark\n%d\n%d 255\n" % (width, height) + bytes(100),
        "PNM any": b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" % (width, height),
        "PFM": b"PF\n%d %d\n-1.0\n" % (width, height) + bytes(100),
        "Radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width) + bytes(100),
        "Sun raster": b"\x59\xa6\x6a\x95" + struct.pack(">IIIIII", width, height, 24, 0, 1, 0) + bytes(100),
        "JPEG": b"\xff\xd8\xff\xc0\0\x0b\x08" + size[2:4] + size[6:] + b"\1\1\x11\0" + bytes(100) + b"\xff\xd9",
        "JPEG 2000": b"\xff\x4f" + soc + bytes(100),
        "AVIF": b"\0\0\0\x14ftypavif\0\0\0\0avif" + meta,
        "HEIC": b"\0\0\0\x14ftypheic\0\0\0\0heic" + meta,
    }  # fmt: skip


@pytest.mark.parametrize("name", bombs(*WIDE))
def test_one_bound_for_every_format(name):
    with pytest.raises(decode.DecodeError, match=f"too many pixels: {WIDE[0]} x {WIDE[1]}"):
        decode.decode(bombs(*WIDE)[name])
    found = headers.read(bombs(1 << 14, 1 << 13)[name])
    assert found is not None and found.width * found.height == headers.MAX_PIXELS


@pytest.mark.parametrize(("bits", "least"), [(32, 1 << 26), (64, 1 << 25)])
def test_of_many_bits_fewer_pixels_are_decoded(bits, least):
    with pytest.raises(decode.DecodeError, match=f"of {bits} bits, at most {least}"):
        decoders.check(tiff(1 << 13, (least >> 13) + 1, _258=bits, _339=3))
    assert decoders.check(tiff(1 << 13, least >> 13, _258=bits, _339=3)).deep


def test_a_jpeg_of_very_many_scans_is_rejected():
    data = encoded(quarters(), "JPEG", progressive=True)
    with pytest.raises(decode.DecodeError, match="too many scans"):
        decode.decode(data[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 1000 + b"\xff\xd9")


LIMITED = """
import resource, sys
from pathlib import Path
import cv2, numpy as np
from pipelines.images import decode, placement
from pipelines.sources import tables
from pipelines.reports import rejected
table = tables.Table(Path(sys.argv[1]), "", 1, sorted(p.name for p in Path(sys.argv[1]).iterdir()), [], None)
source = tables.Images(table)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for index, name in enumerate(source.names):
    try:
        placement.canvas(source[index], 32, 40)
        print("decoded", name)
    except decode.DecodeError as error:
        assert "too many pixels" in str(error), (name, error)
    rejected.salvaged((table.root / name).read_bytes())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_small_files_of_2_to_the_28_pixels_take_no_memory(tmp_path):
    """Whole and valid ones: without the bound each takes 0.8 GB or more."""
    for name, data in bombs(*WIDE).items():
        (tmp_path / name).write_bytes(data)
    row = zlib.compress(bytes(1 << 28), 1)
    strip = tiff(*WIDE, _259=8, _273=8 + 2 + 12 * 9 + 4, _279=len(row))
    (tmp_path / "whole TIFF").write_bytes(strip[: 8 + 2 + 12 * 9 + 4] + row)
    (tmp_path / "whole GIF").write_bytes(gif(*WIDE))
    with Image.open(io.BytesIO(gif(40, 30))) as small:
        assert small.size == (40, 30) and np.asarray(small.convert("L")).max() == 0
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=100,
    )  # fmt: skip
    assert done.returncode == 0 and "decoded" not in done.stdout, done.stdout + done.stderr[-500:]
    assert int(done.stdout) < 20  # MB


def gif(width: int, height: int) -> bytes:
    """A valid GIF of one colour: runs of LZW codes that double, each code one more pixel than the one before."""
    codes, left, length = [], width * height, 1
    while left > 0:  # clear, then codes 0, 6, 7, 8, ...: runs of 1, 2, 3, ... pixels
        codes.append(None)
        length = 1
        while left > 0 and length < 4090:
            codes.append(length)
            left -= min(length, left)
            length += 1
    bits = bytearray()
    value = count = 0

    def put(code: int, width: int) -> None:
        nonlocal value, count
        value |= code << count
        count += width
        while count >= 8:
            bits.append(value & 255)
            value >>= 8
            count -= 8

    size, following = 3, 6
    left = width * height
    for run in codes:
        if run is None:
            put(4, size)
            size, following = 3, 6
            continue
        run = min(run, left)
        put(0 if run == 1 else run + 4, size)
        left -= run
        if run > 1 or following == 6:
            following += 1
        if following > 1 << size and size < 12:
            size += 1
    put(5, size)
    put(0, 7)
    blocks = b"".join(
        bytes([len(part)]) + part for at in range(0, len(bits), 255) if (part := bytes(bits[at : at + 255]))
    )
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x81\0\0" + bytes(12)
    return head + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2" + blocks + b"\0;"


def test_a_file_of_more_than_a_gigabyte_is_not_read(tmp_path):
    from pipelines.sources.tables import Images, Table

    with open(tmp_path / "a.tif", "wb") as file:
        file.truncate(decoders.MAX_BYTES + 1)
    with pytest.raises(decode.DecodeError, match="too large a file"):
        Images(Table(tmp_path, "", 1, ["a.tif"], [0], None))[0]


def test_only_images_are_opened_for_a_thumbnail_of_what_was_rejected():
    assert rejected.salvaged(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") is None
    whole = encoded(quarters(), "PNG")
    assert rejected.salvaged(whole[:-40]) is not None


def test_the_header_is_a_plain_record():
    assert headers.read(KINDS["PNG"]) == Header("PNG", 64, 48)
