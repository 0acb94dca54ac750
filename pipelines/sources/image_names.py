"""Names of images in lists and on disks: paths below a folder, in characters that a table and a terminal can show."""

import posixpath
import re
from collections.abc import Callable

from pipelines.sources import joined

_LONGEST_NAME = 255  # bytes, as file systems have it
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ABSOLUTE = re.compile(r"([A-Za-z]:)?[/\\]")
_NO_TEXT = re.compile(r"[\ud800-\udfff]")
NOT_UTF8 = "not UTF-8 text: save the table in UTF-8 (in Excel: CSV UTF-8)"
MIXED = "UTF-16 text within UTF-8 (PowerShell's >>?): save it in one encoding"  # where a NUL is


def plain_name(name: str) -> bool:
    """Return whether this is a bare file name, without a folder."""
    return "/" not in name and inner_path(name)


def inner_path(name: str) -> bool:
    """Return whether this is a path in a folder or below it, in characters that a table and a terminal can show."""
    return path_fault(name, "") is None


def path_fault(name: str, expected: str, *, listed: bool = False) -> str | None:
    """Describe the fault of a name that should be a path below a folder, None for a valid one. expected: what it is
    not, if it leads elsewhere; listed: it is from a list of images, not from a disk."""
    if "\0" in name:
        return f"is {MIXED}"
    if _CONTROL.search(name):
        return "has a control character (a tab, a newline or the like): rename the file"
    if _NO_TEXT.search(name):
        return f"is {NOT_UTF8}" if listed else "is not Unicode text: rename the file in UTF-8"
    steps = name.split("/")
    if _ABSOLUTE.match(name):
        return "is a path from the root of a disk, perhaps another computer's: write it from the folder of images on"
    if any(len(step.encode()) > _LONGEST_NAME for step in steps):
        return f"is longer than the {_LONGEST_NAME} bytes that a file's name can have"
    return f"is not {expected}" if "\\" in name or {"", ".", ".."} & set(steps) else None


def own_form(name: str) -> str:
    """Return the path of an image in a list as other systems write it, with / and without a leading ./ and the like."""
    name = name.replace("\\", "/")
    return re.sub(r"^(\./)+", "", name) if name.startswith("./") else name


def name_fault(name: str | None, seen: dict[str, int], safe: Callable[[str], bool]) -> str | None:
    """Describe the fault of a row's name, None for a valid one. seen: the lines of the names before it."""
    if name is None:
        return f"bad file name: {NOT_UTF8}"
    if not safe(name):
        inner = f"is in a folder, which names here have none of: write {posixpath.basename(name)!r}"
        return f"bad file name: {name[:80]!r} {path_fault(name, 'a plain file name', listed=True) or inner}"
    return joined.again_reason(name, f"line {seen[name]}") if name in seen else None
