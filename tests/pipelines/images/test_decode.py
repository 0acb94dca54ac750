"""Every kind of image has a stated fate, and the canvas shows what the frames say."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxmarks import affine
from pipelines.images import decode, placement

COLOURS = ((200, 40, 90), (10, 180, 60), (30, 60, 220), (240, 230, 20))  # of the quarters, by rows


def quarters(width: int = 64, height: int = 48) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for n, colour in enumerate(COLOURS):
        y, x = n // 2 * height // 2, n % 2 * width // 2
        image[y : y + height // 2, x : x + width // 2] = colour
    return image


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def near(found: np.ndarray, image: np.ndarray) -> bool:
    """Equal but for what JPEG does to edges; quarters that changed places are far from it."""
    return bool(np.abs(found.astype(int) - image).mean() < 5)


def noise(side: int = 200) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (side, side, 3), np.uint8)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


JPEG, PNG = encoded(noise(), "JPEG", quality=95), encoded(noise(), "PNG")


def cut_with_thumbnail() -> bytes:
    """A camera's JPEG, cut off soon after its header: the thumbnail in the header has an end mark of its own."""
    thumbnail = encoded(quarters(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    whole = JPEG[:2] + segment + JPEG[2:]
    assert np.array_equal(decode.decode(whole), decode.decode(JPEG))
    return whole[: len(segment) + 3000]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is no image at all, whatever its name says\n" * 50, "not an image"),
        (JPEG[: len(JPEG) // 2], "cut off"),
        (JPEG[:-1], "cut off"),
        (JPEG[:100], "cut off"),
        (cut_with_thumbnail(), "cut off|not an image"),
        (b"\xff\xd8" + b"x" * 500 + b"\xff\xd9", "not an image"),
        (PNG[: len(PNG) // 2], "not an image"),
        (PNG[:-12], "not an image"),
        (encoded(quarters(), "GIF")[:60], "not an image"),
        (png_that_claims(60000, 60000), "too many pixels: 60000 x 60000"),
        (png_that_claims(8000, 8000), "not an image"),
    ],
    ids=["empty", "text named .jpg", "half a JPEG", "a JPEG without its last byte", "a JPEG's header",
         "a JPEG cut behind its thumbnail", "a JPEG of nonsense", "half a PNG", "a PNG without its end", "half a GIF",
         "a PNG that claims 60000 x 60000", "a PNG that claims 8000 x 8000"],
)  # fmt: skip
def test_rejected_with_a_reason_of_one_line(data, reason):
    with pytest.raises(decode.DecodeError, match=reason) as caught:
        decode.decode(data)
    assert "\n" not in str(caught.value)


def test_decoded_truthfully():
    image = quarters()
    palette = Image.fromarray(image).convert("P", palette=Image.Palette.ADAPTIVE)
    deep = cv2.imencode(".png", image[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    moving = encoded(image, "GIF", save_all=True, append_images=[Image.fromarray(255 - image)])
    for data in (encoded(image, "PNG"), encoded(palette, "PNG"), deep, moving, decode.encode_png(image)):
        assert np.array_equal(decode.decode(data), image)  # of the animated one, the first image
    cmyk = Image.fromarray(image).convert("CMYK")
    for data in (encoded(image, "JPEG", quality=97), encoded(cmyk, "JPEG", quality=97), decode.encode_jpeg(image, 97)):
        assert near(decode.decode(data), image)
    assert np.array_equal(decode.decode(JPEG + b"\0" * 50), decode.decode(JPEG))


def test_bytes_behind_a_jpeg_such_as_a_phones_film_do_no_harm():
    assert np.array_equal(decode.decode(JPEG + b"\0" * 9000), decode.decode(JPEG))


def test_sixteen_bits_of_grey_become_the_upper_eight():
    grey = (np.arange(48 * 64).reshape(48, 64) * 21).astype(np.uint16)
    found = decode.decode(encoded(Image.fromarray(grey), "PNG"))
    assert found.dtype == np.uint8 and np.abs(found - (grey / 256.0)[..., None]).max() <= 1


def test_grey_becomes_three_equal_channels():
    grey = Image.fromarray(quarters()).convert("L")
    found = decode.decode(encoded(grey, "PNG"))
    assert np.array_equal(found, np.repeat(np.asarray(grey)[..., None], 3, 2))


def test_transparency_is_dropped_and_the_colour_below_it_shown():
    image = quarters()
    alpha = np.zeros((*image.shape[:2], 1), np.uint8)
    assert np.array_equal(decode.decode(encoded(np.concatenate([image, alpha], -1), "PNG")), image)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_rotation_gives_the_image_as_displayed(turn):
    image, exif = quarters(), Image.Exif()
    exif[274] = turn
    displayed = {
        1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1],
        5: image.swapaxes(0, 1), 6: np.rot90(image, -1), 7: np.rot90(image, 2).swapaxes(0, 1), 8: np.rot90(image),
    }[turn]  # fmt: skip
    found = decode.decode(encoded(image, "JPEG", quality=97, exif=exif.tobytes()))
    assert found.shape == displayed.shape and near(found, displayed)


def test_one_pixel_and_a_ribbon_are_images_like_others():
    dot = placement.place(decode.decode(encoded(quarters()[:1, :1], "PNG")), 32, 40)
    assert (dot.image == COLOURS[0]).all() and dot.extent.tolist() == [20] * 4
    ribbon = np.zeros((20, 20000, 3), np.uint8)
    ribbon[:, 10000:] = 255
    canvas = placement.place(decode.decode(encoded(ribbon, "PNG")), 32, 40)
    assert canvas.image[:, :20].max() == 0 and canvas.image[:, 20:].min() == 255
    assert canvas.extent.tolist() == [0, 10, 39, 29]


def blob(width: int, height: int, x: float, y: float, sigma: float) -> np.ndarray:
    """A Gaussian of grey on black, its centre at (x, y) where pixel centres are whole numbers."""
    across, down = (np.exp(-((np.arange(n) - c) ** 2) / (2 * sigma**2)) for n, c in ((width, x), (height, y)))
    return np.repeat(np.rint(250 * down[:, None] * across)[..., None].astype(np.uint8), 3, 2)


def centroid(image: np.ndarray) -> np.ndarray:
    weights = image[..., 0].astype(np.float64)
    rows, columns = np.indices(weights.shape)
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


SIZES = [(60, 60), (61, 83), (128, 200), (201, 128), (129, 131), (127, 127), (300, 211), (640, 480), (481, 641),
         (1300, 1300), (975, 1300), (1300, 701), (128, 640)]  # fmt: skip


@pytest.mark.parametrize("factor", [1.0, 1.25])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_lies_at_a_point_is_shown_where_the_frame_says(width, height, factor):
    size, short = 128, min(width, height)
    sigma = 3.0 * max(1.0, short / size)
    for dx, dy in ((0.0, 0.0), (0.13, -0.21), (-0.18, 0.07)):
        true = np.array([width / 2 + dx * short + 0.37, height / 2 + dy * short - 0.21])
        canvas = placement.place(blob(width, height, *true, sigma), size, placement.canvas_side(size, factor))
        assert canvas.image.shape == (placement.canvas_side(size, factor),) * 2 + (3,)
        found, said = (
            affine.apply(m, p[None])[0] for m, p in ((canvas.fit, centroid(canvas.image)), (canvas.frame, true))
        )
        assert np.abs(found - said).max() < 0.02 * max(1.0, size / short)  # 0.02 px of the canvas


@pytest.mark.parametrize(("width", "height"), [s for s in SIZES if min(s) >= 128])
def test_nothing_is_smoothed_on_the_device_when_the_reduction_gave_the_size(width, height):
    fit = placement.place(np.zeros((height, width, 3), np.uint8), 128, 160).fit
    assert np.array_equal(fit[:, :2], np.eye(2)) and np.array_equal(fit[:, 2], np.rint(fit[:, 2]))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_short_side_fills_the_input_and_the_centres_agree(width, height):
    frame = placement.place(np.zeros((height, width, 3), np.uint8), 128, 160).frame
    axis = int(width > height)
    ends = affine.apply(frame, np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]]))
    assert np.allclose(ends[:, axis], [-0.5, 127.5], atol=1e-9)
    assert abs(ends[:, 1 - axis].mean() - 63.5) <= 0.5 + 1e-9 and np.ptp(ends[:, 1 - axis]) >= 127.5


@pytest.mark.parametrize(("width", "height"), [(60, 60), (150, 61), (130, 900), (3, 300), (40, 40), (41, 39)])
@pytest.mark.parametrize("side", [40, 41])
def test_extent_tells_true_pixels_from_padding_which_repeats_the_edge(width, height, side):
    image = np.stack(np.broadcast_arrays(np.arange(width) % 256, np.arange(height)[:, None] % 256, 7), -1).astype(
        np.uint8
    )
    canvas = placement.place(image, max(width, height, 32), side)  # so large a size reduces nothing
    x0, y0, x1, y1 = canvas.extent.astype(int)
    assert (x1 - x0 + 1, y1 - y0 + 1) == (min(side, width), min(side, height))
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    shown = canvas.image[y0 : y1 + 1, x0 : x1 + 1]
    assert np.array_equal(shown, image[top : top + side, left : left + side])
    rows, columns = np.indices((side, side))
    assert np.array_equal(canvas.image, canvas.image[np.clip(rows, y0, y1), np.clip(columns, x0, x1)])


def test_points_go_to_the_input_and_are_mapped_back_through_a_large_image():
    points = np.array([[-22.0, 1308.0], [0, 0], [1307, 979], [653.123, 489.456], [5000, -5000]])
    for width, height in ((1308, 980), (980, 1308), (1308, 61)):
        frame = placement.place(np.zeros((height, width, 3), np.uint8), 128, 160).frame
        crossed = affine.apply(frame, points).astype(np.float32)  # as they travel to the device
        assert frame.dtype == np.float64
        assert np.abs(affine.apply(affine.invert(frame), crossed.astype(np.float64)) - points).max() < 1e-3


def test_the_side_of_the_canvas_is_rounded_up_but_not_for_rounding_errors():
    assert [placement.canvas_side(*a) for a in ((128, 1.25), (128, 1.0), (33, 1.25), (100, 1.1))] == [160, 128, 42, 110]
