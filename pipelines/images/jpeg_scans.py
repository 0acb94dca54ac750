"""Whether the coded pixels of a JPEG are all there: decoders fill what is missing with grey or with the last colour, and
return an image."""

import io
import re
from collections.abc import Iterator, Sequence

from PIL import Image

from jaxmarks import words
from pipelines.images.jpeg import is_jpeg, segments

_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the first marker after coded pixels
_AHEAD = 24  # bytes that a decoder may read beyond the last pixel
_PADDING = bytes(16)
_PIXELS = 1 << 26  # of larger images nothing is said
_NAMED = 3


class _Stepped(io.BytesIO):
    """A file of which no reading crosses `step`."""

    step = 0

    def read(self, size: int | None = -1) -> bytes:
        left = self.step - self.tell()
        if left > 0:
            size = left if size is None or size < 0 else min(size, left)
        return super().read(size)


def damaged(data: bytes) -> bool:
    """Return whether coded pixels of a JPEG are missing, or some are left over once all pixels are known.

    Where all of them are coded in one scan, it is decoded at 1/8: its data must last to the end, and end there. Where
    there are several scans, as in a progressive JPEG, only whole ones that are missing are found. False for other files,
    and for images of more than 2^26 pixels.
    """
    try:
        return is_jpeg(data) and _damaged(data)
    except (IndexError, ValueError):  # headers that other decoders understand
        return False


def _damaged(data: bytes) -> bool:
    head = list(segments(data))
    frame = next((at for marker, at in head if marker in (0xC0, 0xC1, 0xC2)), None)
    if frame is None or head[-1][0] != 0xDA or data[frame + 4] != 8:
        return False
    size = int.from_bytes(data[frame + 5 : frame + 7], "big") * int.from_bytes(data[frame + 7 : frame + 9], "big")
    if size > _PIXELS:
        return False
    if data[frame + 1] == 0xC2 or data[head[-1][1] + 4] < data[frame + 9]:
        return _lacks_scans(data, frame, head[-1][1])
    return _ends_wrong(data, head)


def _ends_wrong(data: bytes, head: Sequence[tuple[int, int]]) -> bool:
    """Whether the data of the only scan end before the last pixel or go on after it. The end marker is left out: with it,
    a decoder makes up what is missing."""
    kept = [data[at : _behind(data, at)] for marker, at in head if marker < 0xE0]  # without EXIF data and the like
    start = _behind(data, head[-1][1])
    found = _END.search(data, start)
    stop = len(data) if found is None else found.start()
    before = b"".join([b"\xff\xd8", *kept])
    file = _Stepped(before + data[start:stop] + _PADDING)
    file.step = len(before) + max(stop - start - _AHEAD, 0)
    try:
        image = Image.open(file, formats=("JPEG",))
    except (OSError, SyntaxError):
        return False
    image.draft("L", (1, 1))
    try:
        image.load()
    except OSError:
        return True
    return stop - start > _AHEAD and file.tell() <= file.step


def _behind(data: bytes, at: int) -> int:
    """Where the segment at a place ends."""
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _lacks_scans(data: bytes, frame: int, first: int) -> bool:
    """Whether a coefficient of a colour was not coded to its last bit by any scan."""
    known = {data[frame + 10 + 3 * n]: [False] * 64 for n in range(data[frame + 9])}
    for at in _scans(data, first):
        count = data[at + 4]
        start, stop, bits = data[at + 5 + 2 * count : at + 8 + 2 * count]
        for colour in data[at + 5 : at + 5 + 2 * count : 2]:
            if colour in known and not bits & 15:
                known[colour][start : stop + 1] = [True] * (min(stop, 63) + 1 - start)
    return not all(all(row) for row in known.values())


def _scans(data: bytes, at: int) -> Iterator[int]:
    """Where the scans of a JPEG stand that are all there but for their data, from the first on."""
    while at + 10 <= len(data) and data[at + 1] != 0xD9:
        if data[at + 1] == 0xDA and _behind(data, at) <= len(data) and data[at + 4] <= 4:
            yield at
        found = _END.search(data, _behind(data, at))
        if found is None:
            return
        at = found.start()


def describe(found: Sequence[str]) -> list[str]:
    """A warning where JPEGs are damaged; none without such. found: their names."""
    if not found:
        return []
    named = words.listed(found, _NAMED)
    are = "is" if len(found) == 1 else "are"
    return [
        f"warning: images: {words.counted(len(found), 'JPEG')} {are} cut off or damaged inside, and used as far as the"
        f" decoder makes pixels of it: {named}; look at them, and copy them again or take them out"
    ]
