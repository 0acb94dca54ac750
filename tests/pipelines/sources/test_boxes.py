"""Boxes and JPEGs decoded at a fraction of their size: the canvas shows things where the frame says."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxmarks import affine
from pipelines import synthetic
from pipelines.example import Example
from pipelines.images import decode, headers, placement
from tests.pipelines.images.test_decode import blob, centroid, encoded

ANY = np.zeros((1, 2)), np.ones(1, bool)


def shown(picture, size: int, *, box=None, margin: float = 0.0, factor: float = 1.25, of=None) -> placement.Canvas:
    box = None if box is None else np.array(box, np.float64)
    side = placement.canvas_side(size, factor)
    canvas = placement.canvas(Example(picture, *ANY, box, of), size, side, margin)
    assert canvas.image.shape == (side, side, 3) and canvas.image.dtype == np.uint8
    assert canvas.frame.dtype == canvas.fit.dtype == np.float64
    return canvas


def astray(canvas: placement.Canvas, true: np.ndarray) -> float:
    """How far, in pixels of the canvas, what is shown lies from where the frames say."""
    spot = np.where(canvas.image < 10, 0, canvas.image)  # JPEG's noise far away has long arms
    said = affine.apply(affine.invert(canvas.fit), affine.apply(canvas.frame, np.array([true])))[0]
    return float(np.abs(centroid(spot) - said).max())


BOXES = [  # x, y, width, height in an image of 400 x 301
    (100, 50, 200, 180), (101.5, 47.25, 130.5, 200), (150, 120, 60, 60), (180, 130, 3, 2), (195.25, 148.5, 0.5, 0.25),
    (-150, -90, 500, 300), (120, 60, 900, 700), (-600, -500, 1500, 1500), (0, 0, 400, 301), (190, 20, 20, 260),
    (-40.5, 100, 250, 10),
]  # fmt: skip


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("margin", [0.0, 0.25, 1.0])
def test_the_square_about_the_box_fills_the_input(box, margin):
    size = 64
    canvas = shown(np.zeros((301, 400, 3), np.uint8), size, box=box, margin=margin)
    x, y, w, h = box
    half = max(w, h) * (1 + 2 * margin) / 2
    middle = np.array([x + w / 2 - 0.5, y + h / 2 - 0.5])  # a box begins at the left edge of its first pixel
    corners = np.array([middle - half, middle + half, middle])
    found = affine.apply(canvas.frame, corners)
    assert np.allclose(found, [[-0.5] * 2, [size - 0.5] * 2, [(size - 1) / 2] * 2], rtol=0, atol=1e-9)


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("margin", [0.0, 0.25])
@pytest.mark.parametrize("size", [64, 65])
def test_what_lies_at_a_point_is_shown_where_the_frame_says(box, margin, size):
    zoom = size / (max(box[2:]) * (1 + 2 * margin))
    sigma = float(np.clip(2.0 / min(zoom, 1.0), 3, 38))
    for true in ((200.3, 150.4), (197.75, 149.1)):
        canvas = shown(blob(400, 301, *true, sigma), size, box=box, margin=margin, factor=2.5)
        assert astray(canvas, true) < 0.05, true


@pytest.mark.parametrize("size", [32, 64, 100])
def test_nothing_is_enlarged_and_what_is_shown_is_as_small_as_it_should_be(size):
    for box in BOXES:
        canvas = shown(np.zeros((301, 400, 3), np.uint8), size, box=box)
        zoom = size / max(box[2:])
        across, down = affine.apply(canvas.fit, np.array([[0.0, 0], [1, 0], [0, 1]]))[1:] - canvas.fit[:, 2]
        grown = np.array([across[0], down[1]])  # input pixels a canvas pixel
        if zoom >= 1:
            assert np.allclose(grown, zoom, rtol=1e-9)
        else:
            kept = np.minimum(np.array([400, 301]), size * 1.25 / zoom) * zoom  # rounded to whole pixels
            assert (np.abs(grown - 1) < 1 / kept).all()


def test_where_the_image_reaches_far_enough_nothing_is_padded():
    random, image = np.random.RandomState(0), np.zeros((900, 1000, 3), np.uint8)
    for _ in range(300):
        size, reach = random.randint(32, 90), random.uniform(20, 350)
        width, height = reach, reach * random.uniform(0.1, 1)
        window = 1.25 * max(reach, size) / 2 + 2  # a small box is shown as it is, with more about it
        x, y = random.uniform(window, 1000 - window), random.uniform(window, 900 - window)
        canvas = shown(image, size, box=(x - width / 2, y - height / 2, width, height), factor=1.25)
        assert canvas.extent.tolist() == [0, 0, len(canvas.image) - 1, len(canvas.image) - 1], (size, reach, x, y)


def test_extent_tells_the_image_from_its_repeated_edge():
    image = np.full((301, 400, 3), 77, np.uint8)
    image[:, 0], image[0] = 200, 200
    canvas = shown(image, 64, box=(-64, -64, 128, 128), factor=1.0)
    x0, y0, x1, y1 = canvas.extent.astype(int)
    assert (x1, y1) == (63, 63) and abs(x0 - 32) <= 1 and abs(y0 - 32) <= 1
    edge = affine.apply(affine.compose(canvas.frame, affine.invert(canvas.fit)), np.array([[-0.5, -0.5]]))[0]
    assert np.abs(edge - (x0 - 0.5, y0 - 0.5)).max() <= 0.5 + 1e-9  # to the pixel that the edge falls in
    rows, columns = np.indices((64, 64))
    assert np.array_equal(canvas.image, canvas.image[np.clip(rows, y0, y1), np.clip(columns, x0, x1)])


@pytest.mark.parametrize("box", [(400, 0, 5, 5), (0, 301, 5, 5), (-5, 0, 5, 5), (0, 0, 0, 5), (1, 1, 5, -1), (0, 0, np.inf, 5),
                                 (0, np.nan, 5, 5)], ids=str)  # fmt: skip
def test_a_box_that_shares_nothing_with_the_image_is_rejected(box):
    for picture in (np.zeros((301, 400, 3), np.uint8), encoded(np.zeros((301, 400, 3), np.uint8), "JPEG")):
        with pytest.raises(decode.DecodeError, match="box outside the image: .* of 400 x 30") as caught:
            shown(picture, 64, box=box)
        assert "\n" not in str(caught.value)


# JPEG at a fraction of its size


def as_jpeg(image: np.ndarray, turn: int = 1, **options) -> bytes:
    """A JPEG that, turned as its EXIF says, shows `image`."""
    back = {1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1], 5: image.swapaxes(0, 1),
            6: np.rot90(image), 7: np.rot90(image, 2).swapaxes(0, 1), 8: np.rot90(image, -1)}[turn]  # fmt: skip
    exif = Image.Exif()
    exif[274] = turn
    return encoded(np.ascontiguousarray(back), "JPEG", quality=97, exif=exif.tobytes(), **options)


@pytest.fixture
def reductions(monkeypatch) -> list[int]:
    """By how much images were decoded smaller, as they come."""
    seen, real = [], cv2.imdecode
    known = {cv2.IMREAD_REDUCED_COLOR_2: 2, cv2.IMREAD_REDUCED_COLOR_4: 4, cv2.IMREAD_REDUCED_COLOR_8: 8}

    def noted(data: np.ndarray, mode: int) -> np.ndarray | None:
        seen.append(known.get(mode, 1))
        return real(data, mode)

    monkeypatch.setattr(cv2, "imdecode", noted)
    return seen


LARGE = [(1001, 777), (777, 1001), (1024, 768), (1023, 1025), (519, 517)]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(("width", "height"), LARGE)
def test_of_a_smaller_decoding_the_frame_is_that_of_the_image(reductions, width, height, turn):
    short = min(width, height)
    true = width / 2 + 0.11 * short, height / 2 - 0.14 * short
    data = as_jpeg(blob(width, height, *true, short / 30), turn)
    for reduction in (1, 2, 4, 8):
        size = short // reduction - 1 if reduction > 1 else short // 2 + 1
        canvas = shown(data, size)
        assert reductions[-1] == reduction or (turn > 1 and reductions[-1] < reduction)
        assert astray(canvas, true) < 0.1, reduction
        ends = affine.apply(canvas.frame, np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]]))
        assert np.abs(ends.mean(0) - (size - 1) / 2).max() < 1.0


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_a_box_in_a_smaller_decoding(reductions, turn, margin):
    true, box, used = (520.3, 401.6), (333.25, 210.5, 400, 380), set()
    data = as_jpeg(blob(1001, 777, *true, 25), turn)
    for size in (40, 90, 128, 256, 500):
        canvas = shown(data, size, box=box, margin=margin)
        used.add(reductions[-1])
        assert astray(canvas, true) < 0.1 and reductions[-1] <= max(1, 400 * (1 + 2 * margin) / size)
        whole = shown(decode.decode(data), size, box=box, margin=margin)
        assert np.allclose(whole.frame, canvas.frame, rtol=0, atol=1e-9)
    assert used == {1, 2, 4, 8} or turn > 1


@pytest.mark.parametrize(("width", "height"), [*LARGE, (8, 8), (9, 15), (1, 1), (17, 1000)])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_a_smaller_decoding_has_the_size_that_it_says(width, height, reduction):
    data = encoded(np.full((height, width, 3), 90, np.uint8), "JPEG")
    found = decode.decode(data, reduction)
    assert found.shape == (-(-height // reduction), -(-width // reduction), 3) and np.abs(found - 90.0).max() <= 2


# Grey levels, RMS, on ten drawn faces at quality 92; bounds of what was measured: 0.66, 0.56, 0.46
MEASURED = {2: 1.0, 4: 0.9, 8: 0.8}


@pytest.mark.parametrize("reduction", sorted(MEASURED))
def test_a_smaller_decoding_is_near_the_reduction_by_area(reduction, capsys):
    errors = []
    for index in range(10):
        image = synthetic.draw(index, num_points=5).image
        height, width = (n // 8 * 8 for n in image.shape[:2])
        data = decode.encode_jpeg(np.ascontiguousarray(image[:height, :width]))
        small = decode.decode(data, reduction).astype(np.float64)
        known = (
            decode.decode(data).reshape(height // reduction, reduction, width // reduction, reduction, 3).mean((1, 3))
        )
        errors.append(np.mean((small - known) ** 2))
    rms = float(np.sqrt(np.mean(errors)))
    with capsys.disabled():
        print(f"\n1/{reduction} against area: {rms:.2f} grey levels RMS, worst image {np.sqrt(max(errors)):.2f}")
    assert rms < MEASURED[reduction]


def thumbnail() -> bytes:
    """A JPEG with a smaller one in its header, as cameras write them."""
    whole, small = encoded(np.zeros((300, 500, 3), np.uint8), "JPEG"), encoded(np.zeros((30, 50, 3), np.uint8), "JPEG")
    segment = b"\xff\xe1" + (len(small) + 8).to_bytes(2, "big") + b"Exif\0\0" + small
    return whole[:2] + segment + whole[2:]


def kinds() -> dict[str, bytes]:
    image = np.random.RandomState(0).randint(0, 256, (123, 457, 3)).astype(np.uint8)
    picture, plain = Image.fromarray(image), encoded(image, "JPEG")
    comment = b"\xff\xfe\x00\x12" + b"\xff\xc0\x00\x11\x08" * 3 + b"!"
    return {
        "baseline": plain,
        "progressive": encoded(image, "JPEG", progressive=True),
        "optimised": encoded(image, "JPEG", optimize=True, subsampling=0),
        "grey": encoded(picture.convert("L"), "JPEG"),
        "CMYK": encoded(picture.convert("CMYK"), "JPEG"),
        "EXIF": as_jpeg(image, 6),
        "profile": encoded(image, "JPEG", icc_profile=b"\xff\xc0" * 40_000),
        "comment like a header": plain[:2] + comment + plain[2:],
        "filled": plain[:2] + b"\xff" * 7 + plain[2:],
        "thumbnail": thumbnail(),
        "restarts": cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes(),
        "PNG": encoded(image, "PNG"),
        "PNG of palette": encoded(picture.quantize(9), "PNG"),
        "PNG of 16 bits": encoded(Image.fromarray(image[..., 0].astype(np.uint16)), "PNG"),
        "one pixel": encoded(image[:1, :1], "JPEG"),
    }


@pytest.mark.parametrize(("kind", "data"), kinds().items(), ids=list(kinds()))
def test_the_size_in_the_header_is_the_one_that_pillow_reads(kind, data):
    with Image.open(io.BytesIO(data)) as picture:
        assert headers.header_size(data) == picture.size


NO_HEADER = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a\1",
    b"BM" + b"\0" * 12,
    b"II*\0\x08\0\0\0",
    b"P6\n12",
    b"\xff\xd8\xff\xff" * 9,
    b"\xff\xd8" + b"\xff\xe0\0\0" * 20,
    b"\xff\xd8\xff\xe0\xff\xff",
    kinds()["baseline"][:150],
]


@pytest.mark.parametrize("data", NO_HEADER, ids=lambda data: repr(data[:12]))
def test_where_the_header_does_not_tell_it_is_not_guessed(data):
    assert headers.header_size(data) is None


def test_whatever_the_header_a_size_or_none_is_reported():
    random, whole = np.random.RandomState(0), kinds()["EXIF"]
    for _ in range(300):
        at = random.randint(2, 400)
        found = headers.header_size(whole[:at] + random.bytes(random.randint(60)) + whole[at + random.randint(9) :])
        assert found is None or all(0 <= side < 1 << 16 for side in found)
