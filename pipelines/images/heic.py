"""HEIC images, by the optional package pillow-heif."""

import importlib.util
import io

import numpy as np

from pipelines.images.headers import MAX_PIXELS

MISSING = "a HEIC image, which needs the package pillow-heif (pip install pillow-heif)"


def available() -> bool:
    """Return whether HEIC images can be decoded here."""
    return importlib.util.find_spec("pillow_heif") is not None


def decoded(data: bytes) -> np.ndarray:
    """u8[h, w, 3] RGB of the main image of a HEIC file, as displayed. Raises ValueError where it cannot be decoded, or the
    package is not installed."""
    if not available():
        raise ValueError(MISSING)
    import pillow_heif  # pyright: ignore[reportMissingImports]

    try:
        image = pillow_heif.open_heif(io.BytesIO(data))
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise ValueError(f"too many pixels: {image.size[0]} x {image.size[1]}")
        return np.asarray(image.to_pillow().convert("RGB"))
    except Exception as error:  # libheif has a dozen kinds, and files are anyone's
        raise ValueError(f"not an image that can be decoded: {' '.join(str(error).split())[:80]}") from None
