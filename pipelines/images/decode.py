"""Decoding: encoded bytes to RGB arrays and back, their size, and the reduction of arrays by area."""

import cv2
import numpy as np

from pipelines.example import Example
from pipelines.images import headers
from pipelines.images.decoders import DecodeError as DecodeError
from pipelines.images.decoders import decoded
from pipelines.images.jpeg import orientation

_HEADER = 1 << 16  # bytes in which what comes before a PNG's pixels lies
_UNTURNED = ("JPEG", "PNG", "BMP", "GIF")  # formats whose header, with the orientation, has the size as displayed


def decode(data: bytes, reduction: int = 1) -> np.ndarray:
    """Return an encoded image as RGB, its EXIF rotation applied; of several frames the first.

    More than 8 bits are scaled by those that this image uses; `decoders.eight_bits` does it for a set.

    Args:
        data: the file.
        reduction: 1, 2, 4 or 8; a JPEG is decoded at 1/reduction of its size (ceil(n / reduction) pixels, made from
            each block's low frequencies), x going to (x + 0.5) / reduction - 0.5. Other formats take 1 only.

    Returns:
        u8[h, w, 3].

    Raises:
        DecodeError: where it is no image, or a damaged one.
    """
    return cv2.cvtColor(decoded(data, reduction), cv2.COLOR_BGR2RGB)


def pixels(image: bytes | np.ndarray) -> np.ndarray:
    """Return an example's image, encoded or not, as RGB.

    Args:
        image: an encoded file, or u8[h, w, 3].

    Returns:
        u8[h, w, 3].

    Raises:
        DecodeError: as `decode`.
    """
    return decode(image) if isinstance(image, bytes) else image


def image_size(example: Example) -> tuple[int, int]:
    """Return the size of the image that an example's points refer to, from its header if possible, else by decoding.

    Args:
        example: the example.

    Returns:
        (width, height) in pixels.

    Raises:
        DecodeError: as `decode`.
    """
    if example.size is not None:
        return example.size
    if isinstance(example.image, np.ndarray):
        return example.image.shape[1], example.image.shape[0]
    return displayed_size(example.image)


def displayed_size(data: bytes) -> tuple[int, int]:
    """Return the size of an encoded image as displayed, from its header if possible, else by decoding.

    Args:
        data: the file.

    Returns:
        (width, height) in pixels.

    Raises:
        DecodeError: as `decode`.
    """
    known = headers.read(data)
    if known is None or known.kind not in _UNTURNED or (known.kind == "PNG" and b"eXIf" in data[:_HEADER]):
        image = decode(data)
        return image.shape[1], image.shape[0]
    turned = orientation(data) >= 5
    return (known.height, known.width) if turned else (known.width, known.height)


def encode_jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    """Return an image as JPEG.

    Args:
        image: u8[h, w, 3], RGB.
        quality: 0..100.

    Returns:
        the file.
    """
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[
        1
    ].tobytes()


def encode_png(image: np.ndarray) -> bytes:
    """Return an image as PNG.

    Args:
        image: u8[h, w, 3], RGB.

    Returns:
        the file.
    """
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image made smaller by area; itself where that would enlarge it.

    A side of n pixels becomes one of m = max(1, round(n scale)), and x goes to (x + 0.5) m / n - 0.5.

    Args:
        image: u8[h, w, 3].
        scale: about the new side over the old.

    Returns:
        u8[h', w', 3].
    """
    height, width = image.shape[:2]
    return resized(image, reduced_size(width, height, scale))


def reduced_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return (width, height) to which `reduced` brings an image.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        scale: as `reduced` takes it.

    Returns:
        (width, height) in pixels.
    """
    return (max(1, round(width * scale)), max(1, round(height * scale))) if scale < 1 else (width, height)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image made smaller by area to a size; itself where it has that size.

    Args:
        image: u8[h, w, 3].
        size: (width, height) in pixels, at most the image's.

    Returns:
        u8[height, width, 3].
    """
    return image if size == image.shape[1::-1] else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
