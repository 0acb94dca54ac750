"""Sheet of rejected images, as far as they can be shown."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from pipelines.example import Source
from pipelines.images import decode, headers
from pipelines.io import files
from pipelines.packing import report
from pipelines.reports import sheets
from pipelines.sources import image_names
from pipelines.sources.tables import table_of

_SIDE, _MOST, _BYTES = 160, 64, 1 << 24
_PIXELS = 1 << 26  # more are not decoded for a thumbnail
_FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "GIF",
    "TIFF",
    "WEBP",
    "PPM",
)  # others that Pillow knows run programs, or are not ours


def salvaged(data: bytes) -> np.ndarray | None:
    """u8[h, w, 3] of what comes before the damage, or None where there is no image at all, or a very large
    one."""
    size = headers.header_size(data)
    if size is None or size[0] * size[1] > _PIXELS:
        return None
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _PIXELS:
                return None
            image.draft("RGB", (512, 512))
            image.thumbnail((512, 512))
            return np.asarray(image.convert("RGB"))
    except Exception:  # whatever Pillow makes of a damaged file
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def thumbnails(sources: dict[str, Source], summary: dict[str, Any], most: int = _MOST) -> dict[str, np.ndarray]:
    """Return what can be shown of the first rejected records, by file."""
    found: dict[str, np.ndarray] = {}
    for rejected in summary["refused"]:
        table = table_of(sources[rejected["part"]]) if rejected["part"] in sources else None
        if table is None or not image_names.inner_path(rejected["file"]):
            continue
        path = table.root / rejected["file"]
        if not path.is_file() or not 0 < files.size(path) < _BYTES:
            continue
        if len(found) < most and (image := salvaged(files.read_bytes(path))) is not None:
            found[rejected["file"]] = image
    return found


def sheet(folder: Path, found: dict[str, np.ndarray], summary: dict[str, Any]) -> str:
    """Write the thumbnails, each with its name and the kind of its rejection, as folder/rejected.png; return its path."""
    reasons = {r["file"]: report.kind(r["reason"]) for r in summary["refused"]}
    images = [sheets.fitted(image, _SIDE) for image in found.values()]
    captions = [f"{sheets.shortened(name)}\n{reasons[name][:22]}" for name in found]
    with files.whole(folder / "rejected.png") as file:
        file.write(decode.encode_png(sheets.contact(images, 8, captions)))
    return str(folder / "rejected.png")
