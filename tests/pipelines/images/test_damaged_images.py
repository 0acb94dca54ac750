"""Thousands of damaged images of every format: pixels or one line, in little time, within the bound on memory."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipelines.images.test_decode import JPEG, encoded, quarters
from tests.pipelines.images.test_depth import written
from tests.pipelines.images.test_headers import KINDS

ROUNDS = 100  # mutations of each image

MUTATED = """
import pickle, resource, sys, time
import numpy as np
from pipelines.images import decode, headers, placement
from pipelines.sources import tables
from pipelines.reports import rejected

images, rounds, megabytes, seconds = pickle.load(open(sys.argv[1], "rb"))
sizes = (0, 1, 2, 255, 256, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


def mutated(data, random):
    found, way = bytearray(data), random.randint(6)
    head = min(len(data), 400 if random.rand() < 0.7 else len(data))
    for _ in range(random.randint(1, 6)):
        at = random.randint(max(head - 4, 1))
        if way == 0:
            found[at] = random.randint(256)
        elif way == 1:
            found[at] ^= 1 << random.randint(8)
        elif way == 2:
            size, order = (2, 4)[random.randint(2)], ("little", "big")[random.randint(2)]
            found[at : at + size] = (sizes[random.randint(len(sizes))] % (1 << 8 * size)).to_bytes(size, order)
        elif way == 3:
            found[at:at] = random.bytes(random.randint(1, 9))
        elif way == 4:
            del found[at : at + random.randint(1, 9)]
        else:
            del found[random.randint(len(data)) :]
            return bytes(found)
    return bytes(found)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
before, count, good = peak(), 0, 0
for name, data in images.items():
    for n in range(rounds):
        some = mutated(data, np.random.RandomState(n))
        began = time.monotonic()
        print(name, n, flush=True)
        open(sys.argv[1] + ".last", "wb").write(some)
        try:
            placement.canvas(tables.Example(some, np.zeros((1, 2)), np.zeros(1, bool)), 16, 20)
            good += 1
        except decode.DecodeError as error:
            assert "\\n" not in str(error) and len(str(error)) < 200
        headers.kind(some[:64]), decode.orientation(some)
        count += 1
        if (took := time.monotonic() - began) > seconds or peak() - before > megabytes:
            sys.exit(f"{name} {n}: {took:.1f} s, {peak() - before} MB, {headers.read(some)}")
print(count, good, peak() - before)
"""


def images() -> dict[str, bytes]:
    image, exif = quarters(), Image.Exif()
    exif[274] = 6
    deep = image.astype(np.uint16) << 4
    found = {**KINDS, "JPEG": JPEG[:], "JPEG progressive": encoded(image, "JPEG", progressive=True)}
    found["JPEG EXIF"] = encoded(image, "JPEG", exif=exif.tobytes())
    found |= {f"16-bit {e}": written(e, deep) for e in (".png", ".tif", ".ppm", ".jp2")}
    found["float TIFF"] = written(".tif", image[..., 0].astype(np.float32))
    found["CMYK TIFF"] = encoded(Image.fromarray(image).convert("CMYK"), "TIFF", compression="tiff_lzw")
    found["tiled TIFF"] = encoded(image, "TIFF", compression="jpeg")
    found["palette PNG"] = encoded(Image.fromarray(image).quantize(), "PNG")
    found["alpha WebP"] = encoded(Image.fromarray(image).convert("RGBA"), "WEBP", exif=exif.tobytes())
    return found


@pytest.mark.slow
def test_damaged_images_end_in_pixels_or_one_line(tmp_path):
    many = images()
    with open(tmp_path / "images", "wb") as file:
        pickle.dump((many, ROUNDS, 1200, 20.0), file)
    done = subprocess.run(
        [sys.executable, "-c", MUTATED, str(tmp_path / "images")],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-80:] + done.stderr[-2000:]
    count, good, _ = map(int, done.stdout.splitlines()[-1].split())
    assert count == ROUNDS * len(many) >= 2000 and good > count // 10
