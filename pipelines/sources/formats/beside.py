"""Images beside files of labels: those whose names have the stem of the file's."""

import os
import unicodedata
from pathlib import Path

from jaxmarks import words
from pipelines.io import guesses

NO_IMAGE = "no image:"
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jfif")


class Images:
    """The images below a folder by the stems of their names, however those are spelled in Unicode."""

    def __init__(self, root: Path, kind: str):
        """kind: the ending of the files of labels."""
        self._root, self._kind = root, kind
        self._folders: dict[str, dict[str, list[str]]] = {}
        self._several: list[list[str]] = []  # that share a stem

    def of(self, name: str) -> str | None:
        """Return the image of x/y.pts: the first by its ending, as ENDINGS has them, of those of its stem."""
        folder, _, file = name.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._listed(folder)
        found = self._folders[folder].get(unicodedata.normalize("NFC", file[: -len(self._kind)]), [])
        exact = [n for n in found if file[: -len(self._kind)] in (n, os.path.splitext(n)[0])] or found
        if len(exact) > 1:
            self._several.append([f"{folder}/{n}".lstrip("/") for n in exact])
        return f"{folder}/{exact[0]}".lstrip("/") if exact else None

    def _listed(self, folder: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        try:
            with os.scandir(self._root / folder) as entries:
                names = [entry.name for entry in entries if entry.is_file()]
        except OSError:
            return {}
        known = [(ENDINGS.index(end.lower()), stem, name) for name in names for stem, end in [os.path.splitext(name)]
                 if end.lower() in ENDINGS]  # fmt: skip
        for _, stem, name in sorted(known):
            found.setdefault(unicodedata.normalize("NFC", stem), []).append(name)
        for _, _, name in known:  # of a.jpg.pts
            found.setdefault(unicodedata.normalize("NFC", name), [name])
        return found

    def missing(self, name: str) -> str:
        """Describe that a .pts file has no image, with one whose name differs little."""
        near = next(
            filter(None, (guesses.near_file(self._root / f"{name[: -len(self._kind)]}{end}") for end in ENDINGS)), ""
        )
        return f"{NO_IMAGE} none of its stem and {' '.join(ENDINGS)} is beside it{near}"

    def notes(self) -> list[str]:
        """A line where several images have the stem of one file; none without such."""
        if not self._several:
            return []
        first, counted = self._several[0], words.counted(len(self._several), f"{self._kind} file")
        return [
            f"{counted} with several images of the stem, as {', '.join(first)}: the first by {' '.join(ENDINGS)} is used,"
            f" {first[0]}"
        ]
