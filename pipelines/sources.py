"""What a data set is: a length, names, and an example by index. `open_source` finds the right one for a path."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np


class Example(NamedTuple):
    """One photograph and its label."""

    picture: bytes | np.ndarray  # an encoded file, or u8[h, w, 3] RGB
    points: np.ndarray  # f64[points, 2]  in pixels of the photograph
    mask: np.ndarray  # bool[points]


class Source(Protocol):
    """A data set of photographs, in canonical order: by file name (a test part: in the order of its list)."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def num_points(self) -> int: ...

    @property
    def labelled(self) -> bool: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example:
        """Raises `decode.DecodeError` where the file is not there, OSError where it cannot be read."""
        ...


class Subset:
    """Some examples of a source, in the order given."""

    def __init__(self, source: Source, indices: Sequence[int]):
        self._source, self._indices = source, list(indices)
        self.names = [source.names[i] for i in self._indices]
        self.num_points, self.labelled = source.num_points, source.labelled

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[self._indices[index]]


def names_at(source: Source, indices: Sequence[int] | np.ndarray) -> list[str]:
    """The file names of some examples."""
    return [source.names[int(i)] for i in indices]


def asked_points(source: Source) -> list[np.ndarray] | None:
    """For each photograph the indices of the points to hand in, or None where a source asks for none."""
    return getattr(source, "asked", None)


def identity(source: Source) -> str:
    """The digest of the records' digests, in canonical order: independent of path and times.

    A drawn set is known by its specification and the generator's version.
    """
    if (known := getattr(source, "specification", None)) is not None:
        return hashlib.sha256(known.encode()).hexdigest()
    total = hashlib.sha256()
    for index, name in enumerate(source.names):
        total.update(_record_digest(name, source, index))
    return total.hexdigest()


def _record_digest(name: str, source: Source, index: int) -> bytes:
    record = hashlib.sha256(name.encode() + b"\0")
    try:
        example = source[index]
    except ValueError as error:  # a missing picture is part of what the set is
        record.update(str(error).encode())
        return record.digest()
    picture = example.picture if isinstance(example.picture, bytes) else example.picture.tobytes()
    record.update(hashlib.sha256(picture).digest())
    record.update(np.where(example.mask[:, None], example.points, 0).astype("<f4").tobytes())
    record.update(example.mask.tobytes())
    return record.digest()


def open_source(path: str, part: str = "train", num_points: int | None = None) -> Source:
    """The source at PATH: `drawn:COUNT[:POINTS]` or a contest folder; part `train` or `test`.

    num_points: of the network, for a test part beside which nothing says how many there are. Raises ValueError in one
    line for anything else.
    """
    from pipelines import drawn
    from pipelines.formats import contest

    if path.startswith("drawn:"):
        return drawn.DrawnSource(path, part)
    if "://" in path:
        raise ValueError(f"--data {path}: addresses are not read; copy the data here and give its folder")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f"--data {path}: there is no such folder; give a contest folder or drawn:COUNT[:POINTS]")
    return contest.read_train(root) if part == "train" else contest.read_test(root, num_points)


def exists(path: str) -> bool:
    """Whether there is anything at a data path."""
    return path.startswith("drawn:") or Path(path).expanduser().is_dir()


def has_train(path: str) -> bool:
    """Whether the data has a training part beside its test part."""
    return path.startswith("drawn:") or (Path(path).expanduser() / "train").is_dir()


def open_pictures(folder: str, num_points: int) -> "Pictures":
    """The plain pictures of a folder, without labels, by name. Raises ValueError where there are none."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(f"--images {folder}: there is no such folder")
    endings = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
    names = sorted(p.name for p in root.iterdir() if p.suffix.lower() in endings and p.is_file())
    if not names:
        raise ValueError(f"--images {folder}: no picture there (looked for {' '.join(sorted(endings))})")
    return Pictures(root, names, num_points)


class Pictures:
    """Named picture files of one folder; without labels unless a subclass or caller gives them."""

    def __init__(self, root: Path, names: list[str], num_points: int, points: np.ndarray | None = None):
        """points: f32[photographs, points, 2] in pixels, or None: nothing is labelled."""
        self._root, self._points = root, points
        self.names, self.num_points, self.labelled = names, num_points, points is not None
        self.asked: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        from pipelines.decode import DecodeError

        try:
            data = (self._root / self.names[index]).read_bytes()
        except FileNotFoundError:
            raise DecodeError("the picture is missing") from None
        if self._points is None:
            return Example(data, np.zeros((self.num_points, 2)), np.zeros(self.num_points, bool))
        return Example(data, self._points[index].astype(np.float64), np.ones(self.num_points, bool))
