"""Images of a COCO file by their ids."""

import posixpath
from typing import Any, NamedTuple

from jaxmarks import words

_EXACT = 1 << 53  # beyond it two whole numbers may be one float
_UNSET = (None, 0, "0", "", "false", "False")  # of a flag; anything else sets it
_FLAGS = {"deleted": "flagged as deleted", "ignore": "flagged to be ignored"}  # of images and annotations


class Images(NamedTuple):
    """Facts of each image id."""

    files: dict[int | str, list[str]]  # id: the paths it stands for, one where the file is sound
    sizes: dict[int | str, tuple[int, int]]  # id: width, height as the file has them; zeros: it does not say
    flags: dict[int | str, str]  # why an image is left out, for those that are flagged
    notes: list[str]


def whole_ids(data: dict[str, Any]) -> None:
    """Make ids that are whole numbers written as floats, as some programs do of a column with gaps, into those numbers:
    4.0 is 4. A category's number that an annotation has as text, "1", is made that number where the file declares it."""
    declared = data["categories"] if isinstance(data.get("categories"), list) else []
    texts = {str(c["id"]): c["id"] for c in declared if isinstance(c, dict) and type(c.get("id")) is int}
    for entry in data["annotations"]:
        if isinstance(entry, dict) and isinstance(key := entry.get("category_id"), str) and key in texts:
            entry["category_id"] = texts[key]
    for part in ("images", "annotations", "categories"):
        for entry in data[part] if isinstance(data.get(part), list) else []:
            for key in ("id", "image_id", "category_id") if isinstance(entry, dict) else ():
                found = entry.get(key)
                if isinstance(found, float) and abs(found) < _EXACT and found.is_integer():
                    entry[key] = int(found)


def is_id(value: Any) -> bool:
    """Return whether a value is an id: a whole number or a text, but not True or False."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def read(entries: list[Any], where: str) -> Images:
    """The images by id. An id that is given to several files keeps them all; entries without an id or a name are left out."""
    found, unsaid = Images({}, {}, {}, []), []
    for image in entries:
        if isinstance(image, dict) and is_id(image.get("id")) and isinstance(image.get("file_name"), str):
            key, name = image["id"], _inner(image["file_name"])
            size = found.sizes.setdefault(key, _size(image))
            if name not in found.files.setdefault(key, []):
                found.files[key].append(name)
            if why := flag(image):
                found.flags[key] = why
            if not any(size):
                unsaid.append(name)
    if unsaid:
        found.notes.append(
            f"{where}: of {len(unsaid)} of {words.counted(len(entries), 'image')}, the first {unsaid[0][:80]!r}, width or"
            " height is missing or not a whole number; whether they have the size they were labelled in is not checked"
        )
    return found


def flag(entry: dict[str, Any]) -> str | None:
    """Why an image or annotation is left out that an annotation tool keeps and flags, None for one without such a flag."""
    return next((why for key, why in _FLAGS.items() if entry.get(key) not in _UNSET), None)


def shifted(annotations: list[Any], images: Images) -> list[str]:
    """A warning where annotations name ids that no image has, and images have no annotation, as where images were removed
    and the others numbered anew."""
    named = [a["image_id"] for a in annotations if isinstance(a, dict) and is_id(a.get("image_id"))]
    unknown, bare = sum(key not in images.files for key in named), len(images.files.keys() - set(named))
    if not unknown or not bare:
        return []
    have = "image has" if bare == 1 else "images have"
    return [
        f"{words.counted(unknown, 'annotation')} of an image id that no image has, and {bare} {have} no"
        " annotation: were images removed and the others numbered anew? Then labels are on other images: look at them"
        " (prepare.py)"
    ]


def ambiguity(key: int | str, names: list[str]) -> str | None:
    """Describe the fault of an id that stands for several files, None for a unique one."""
    if len(names) == 1:
        return None
    more = ", ..." if len(names) > 3 else ""
    count = "two" if len(names) == 2 else len(names)
    return f"image id {key!r:.40} belongs to {count} files: {', '.join(n[:80] for n in names[:3])}{more}"


def _inner(name: str) -> str:
    """The path of an image as other systems write it, with / and without a leading ./ and the like."""
    return posixpath.normpath(name.replace("\\", "/"))


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """(width, height) that an image is said to have, also where they are digits in quotes; zeros where it is not said."""
    found = [_number(image.get(key)) for key in ("width", "height")]
    return (found[0], found[1]) if all(found) else (0, 0)


def _number(value: Any) -> int:
    """A length in pixels, 0 if it is not valid."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11:
        value = int(value)
    good = isinstance(value, int | float) and value is not True and 0 < value < 1 << 31 and value == int(value)
    return int(value) if good else 0
