"""What image files hold and nothing is trained on: what an alpha channel hides, further frames, values below black."""

from collections.abc import Mapping, Sequence

from jaxmarks import words
from pipelines.images import decoders, depth, headers

KINDS = ("alpha", "frames", "negative")
_NAMED = 3
_BELOW = ("TIFF", "PFM")  # formats whose values have a sign
_LINES = {  # what one image or several have, and what to do about it
    "alpha": (
        "has an alpha channel that is not opaque; it is",
        "have alpha channels that are not opaque; they are",
        "dropped, and the colours under it are used",
        "paint what is meant to be hidden over (magick IN -background white -flatten OUT)",
    ),
    "frames": (
        "has several frames, pages or pictures; of it",
        "have several frames, pages or pictures; of each",
        "only the first is used",
        "save the others as files of their own, with labels, to use them",
    ),
    "negative": (
        "has values below 0; they become",
        "have values below 0; they become",
        "black",
        depth.SHIFT,
    ),
}


def of(data: bytes) -> tuple[str, ...]:
    """Return which of KINDS an encoded image has, in their order.

    Pixels are decoded for it only where the header says that there is an alpha channel, or values that may have a sign.
    """
    found = headers.read(data)
    if found is None:
        return ()
    alpha = found.alpha and decoders.transparent(data)
    negative = found.deep and found.kind in _BELOW and decoders.below(data) > 0
    return tuple(kind for kind, has in zip(KINDS, (alpha, found.frames, negative), strict=True) if has)


def describe(found: Mapping[str, Sequence[str]]) -> list[tuple[str, list[str]]]:
    """A warning for each kind that some images have, and their names.

    found: by kind, the names.
    """
    return [(_line(kind, found[kind]), list(found[kind])) for kind in KINDS if found.get(kind)]


def _line(kind: str, names: Sequence[str]) -> str:
    one, several, fate, remedy = _LINES[kind]
    named = words.listed(names, _NAMED)
    have = one if len(names) == 1 else several
    return f"warning: images: {words.counted(len(names), 'image')} {have} {fate}: {named}; {remedy}"
