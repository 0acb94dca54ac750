"""What a data set is: a length, names, and an example by index. `open_source` finds the right one for a path."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from pipelines import guesses

if TYPE_CHECKING:
    from pipelines import tables
    from pipelines.tables import Pictures

_log = logging.getLogger("jaxmarks")


class Example(NamedTuple):
    """One photograph and its label."""

    picture: bytes | np.ndarray  # an encoded file, or u8[h, w, 3] RGB
    points: np.ndarray  # f64[points, 2]  in pixels of the photograph
    mask: np.ndarray  # bool[points]
    box: np.ndarray | None = None  # f64[4]  x, y, width, height of the part to look at, in pixels of the photograph
    size: tuple[int, int] | None = None  # (width, height) of the photograph, where the picture is a reduction of it


class Source(Protocol):
    """A data set of photographs, in canonical order: by file name (a test part: in the order of its list)."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def num_points(self) -> int: ...

    @property
    def labelled(self) -> bool: ...

    @property
    def boxed(self) -> bool:
        """Whether every record has a bounding box; none has one otherwise."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example:
        """Raises `decode.DecodeError` where the file is not there, OSError where it cannot be read."""
        ...


class Subset:
    """Some examples of a source, in the order given."""

    def __init__(self, source: Source, indices: Sequence[int]):
        self._source, self._indices = source, list(indices)
        self.names = [source.names[i] for i in self._indices]
        self.num_points, self.labelled, self.boxed = source.num_points, source.labelled, source.boxed

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[self._indices[index]]


def names_at(source: Source, indices: Sequence[int] | np.ndarray) -> list[str]:
    """The file names of some examples."""
    return [source.names[int(i)] for i in indices]


def names_digest(source: Source) -> str:
    """sha256 of the names in their order."""
    return hashlib.sha256("\n".join(source.names).encode("utf-8", "surrogateescape")).hexdigest()


def asked_points(source: Source) -> list[np.ndarray] | None:
    """For each photograph the indices of the points to hand in, or None where a source asks for none."""
    return getattr(source, "asked", None)


def near_duplicates(source: Source) -> list[str] | None:
    """For each image what its near-duplicates have in common, empty where it has none; None where they were not looked
    for."""
    return getattr(source, "groups", None)


def identity(source: Source) -> str:
    """The digest of the records' digests, in canonical order: independent of path and times.

    A drawn set is known by its specification and the generator's version; a set that was packed or surveyed knows its
    own.
    """
    if (known := getattr(source, "specification", None)) is not None:
        return hashlib.sha256(known.encode()).hexdigest()
    if (known := getattr(source, "identity", None)) is not None:
        return known
    return identity_of(_digest(source, index) for index in range(len(source)))


def content(source: Source, indices: Iterable[int]) -> str:
    """The digest of some records, in the order given: of their names, pictures, labels and boxes as they are now."""
    if (known := getattr(source, "specification", None)) is not None:
        return hashlib.sha256(f"{known} {list(indices)}".encode()).hexdigest()
    return identity_of(_digest(source, index) for index in indices)


def _digest(source: Source, index: int) -> bytes:
    try:
        return record_digest(source.names[index], source[index])
    except ValueError as error:  # a missing picture is part of what an unchecked set is
        return hashlib.sha256(f"{source.names[index]}\0{error}".encode()).digest()


def identity_of(digests: Iterable[bytes]) -> str:
    """The identity of a set from its records' digests, in canonical order."""
    total = hashlib.sha256()
    for digest in digests:
        total.update(digest)
    return total.hexdigest()


def record_digest(name: str, example: Example) -> bytes:
    """sha256 over a record's name, picture, labels as float32, mask, and box and photograph's size where it has them."""
    record = hashlib.sha256(name.encode() + b"\0")
    picture = example.picture if isinstance(example.picture, bytes) else example.picture.tobytes()
    record.update(hashlib.sha256(picture).digest())
    record.update(np.where(example.mask[:, None], example.points, 0).astype("<f4").tobytes())
    record.update(example.mask.tobytes())
    if example.box is not None:
        record.update(b"box" + np.asarray(example.box, "<f8").tobytes())
    if example.size is not None:
        record.update(b"size" + np.asarray(example.size, "<i8").tobytes())
    return record.digest()


def open_source(
    path: str,
    part: str = "train",
    num_points: int | None = None,
    *,
    pictures: str = "",
    boxes: str = "",
    category: str = "",
) -> Source:
    """The source at PATH: drawn:COUNT[:POINTS], a packed folder, or files of a known format; part `train` or `test`.

    num_points: of the network, for a test part beside which nothing says how many there are. pictures: the folder of
    the photographs, where it is not the format's own. boxes: a file of what part of each photograph to look at.
    category: the one of COCO's annotations to read, where several have keypoints. Rows that cannot be used are left out,
    and said so; where points are asked for, which must be complete, they are refused. Raises ValueError in one line.
    """
    from pipelines import report
    from pipelines.boxes import replaced_line
    from pipelines.tables import Pictures

    source = open_any(path, part, num_points, pictures=pictures, boxes=boxes, category=category)
    refused = source.table.refused if isinstance(source, Pictures) else []
    if refused and asked_points(source) is not None:
        raise ValueError(f"{path}: {report.line(refused[0])} ({len(refused)} such in all)")
    if refused:
        told = report.by_kind(refused)
        _log.warning(
            "%s: %d records cannot be used and are left out (%s); prepare.py tells of each", path, len(refused), told
        )
    if replaced := boxes_replaced(source):
        _log.warning("%s: %s", path, replaced_line(replaced, len(source)))
    return source


def boxes_replaced(source: Source) -> int:
    """In how many records of a set, as opened, the box of the labelled points took the place of one without area."""
    from pipelines.dataset import Packed
    from pipelines.tables import Pictures

    if isinstance(source, Packed):
        return source.replaced
    known = source.table.replaced if isinstance(source, Pictures) else None
    return 0 if known is None else int(known.sum())


def open_any(
    path: str,
    part: str = "train",
    num_points: int | None = None,
    *,
    pictures: str = "",
    boxes: str = "",
    category: str = "",
    once: bool = False,
) -> Source:
    """As `open_source`, but says nothing of rows that cannot be used. once: each record will be read once."""
    from pipelines import dataset, drawn
    from pipelines.tables import Pictures

    if path.startswith("drawn:"):
        _check_own(path, "drawn", pictures, boxes)
        return drawn.DrawnSource(path, part, keep=not once)
    if (root := local(path)).is_dir() and dataset.is_packed(root):
        _check_own(path, "packed", pictures, boxes)
        return dataset.Packed(root, part)
    table = open_table(path, part, num_points, pictures=pictures, boxes=boxes, category=category)
    for note in table.notes:
        _log.warning("%s", note)
    return Pictures(table)


def _check_own(path: str, kind: str, pictures: str, boxes: str) -> None:
    """Raises ValueError where a folder of images, or boxes, are given for data that holds its own."""
    if given := " and ".join(f"--{name}" for name, value in (("pictures", pictures), ("boxes", boxes)) if value):
        raise ValueError(
            f"--data {path} is {kind}: {given} would do nothing here; prepare.py takes them with its files"
        )


def local(path: str) -> Path:
    """A path on this machine. Raises ValueError for an address."""
    if not path.strip():
        raise ValueError("--data is empty: give a folder or file, or drawn:COUNT[:POINTS]")
    if "://" in path:
        raise ValueError(f"--data {path}: addresses are not read; copy the data here and give its folder")
    return Path(path).expanduser()


def _existing(path: str) -> Path:
    """A path on this machine at which there is something. Raises ValueError where there is nothing."""
    from pipelines import formats

    root = local(path)
    if not root.exists():
        near = guesses.path(root, Path.exists)
        raise ValueError(
            f"--data {path}: there is no such folder or file{near}; give a contest folder, a file of another known format"
            f" ({', '.join(formats.FORMATS)}) or drawn:COUNT[:POINTS]"
        )
    return root


def open_table(
    path: str, part: str, num_points: int | None = None, *, pictures: str = "", boxes: str = "", category: str = ""
) -> "tables.Table":
    """What the files of a format at PATH list. Raises ValueError, in one line, where there is no such format."""
    from pipelines import formats
    from pipelines.boxes import completed

    root = _existing(path)
    module = formats.recognise(root)
    if category and module is not formats.coco:
        raise ValueError(f"--category {category}: {path} has no categories; only a .json of COCO keypoints has")
    wanted = {"category": category} if category else {}
    folder = Path(pictures).expanduser() if pictures else None
    table = formats.respelled(module.read(root, part, folder, num_points, **wanted))
    return formats.with_boxes(table, Path(boxes).expanduser()) if boxes else completed(table)


def described(source: Source) -> str:
    """What a source was read from, in words."""
    table = getattr(source, "table", None)
    return f"{table.where}, photographs in {table.root}" if table else f"{len(source)} drawn faces"


def exists(path: str) -> bool:
    """Whether there is anything at a data path."""
    return path.startswith("drawn:") or Path(path).expanduser().exists()


def is_packed(path: str) -> bool:
    """Whether a path is that of a packed set."""
    from pipelines import dataset

    return not path.startswith("drawn:") and local(path).is_dir() and dataset.is_packed(local(path))


def is_set(path: str) -> bool:
    """Whether a path is that of a data set, not of a mere folder of pictures or of nothing."""
    from pipelines import dataset, formats

    root = None if path.startswith("drawn:") else local(path)
    return root is None or (root.is_dir() and dataset.is_packed(root)) or formats.knows(root)


def parts(path: str) -> list[str]:
    """Which parts the data at a path has: `train`, `test` or both; data of one file is what it is asked for."""
    from pipelines import dataset, formats

    if path.startswith("drawn:"):
        return ["train", "test"]
    root = _existing(path)
    if root.is_dir() and dataset.is_packed(root):
        return dataset.parts(root)
    return formats.recognise(root).parts(root)


def open_pictures(path: str, num_points: int, boxes: str = "", without: Sequence[str | None] = ()) -> "Pictures":
    """The images of a folder and of those below it, or of one file, without labels, by name; what is passed over is told.

    boxes: a file of what part of each to look at. without: folders not to look into, such as one of results. Raises
    ValueError where there are none.
    """
    from pipelines import formats, image_folder
    from pipelines.tables import Pictures, Table

    root, names = image_folder.found(path, [Path(p) for p in without if p])
    table = Table(root, path, num_points, names, [0] * len(names), None)
    if boxes:
        table = formats.with_boxes(table, Path(boxes).expanduser())
        if not table.names:
            raise ValueError(f"--boxes {boxes}: it names none of the {len(names)} images of {path}")
        if gone := table.refused:
            _log.warning("%s: %d of %d images have no box in %s and are left out", path, len(gone), len(names), boxes)
    return Pictures(table)
