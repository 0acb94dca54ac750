"""Opening of data sets of any kind: `open_source` finds the right one for a path."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from jaxmarks import data_sets, words
from pipelines.example import Source
from pipelines.io import guesses
from pipelines.packing import dataset, report
from pipelines.sources import formats, image_folder
from pipelines.sources.boxes import completed, replaced_line
from pipelines.sources.formats import coco
from pipelines.sources.tables import Images, Table, table_of
from pipelines.synthetic import drawn

_log = logging.getLogger("jaxmarks")
_NAMED = 3  # points of a table that are named


def open_source(
    path: str,
    part: str = "train",
    num_points: int | None = None,
    *,
    pictures: str = "",
    boxes: str = "",
    category: str = "",
) -> Source:
    """Open the source at a path.

    Rows that cannot be used are skipped and reported.

    Args:
        path: drawn:COUNT[:POINTS], a packed folder, or files of a known format.
        part: `train` or `test`.
        num_points: of the network, for a test split beside which nothing states it.
        pictures: the folder of the images; empty: the format's own.
        boxes: a CSV of bounding boxes; empty: none but the format's own.
        category: the COCO category to read, if several have keypoints.

    Returns:
        the data set.

    Raises:
        ValueError: in one line, where nothing can be read there, and for a row that cannot be used in a test split that
            requests points, which must be complete.
    """
    source = open_any(path, part, num_points, pictures=pictures, boxes=boxes, category=category)
    rejected = source.table.rejected if isinstance(source, Images) else []
    if rejected and source.asked is not None:
        raise ValueError(f"{path}: {report.line(rejected[0])} ({len(rejected)} such in all)")
    if rejected:
        count, are = words.counted(len(rejected), "record"), "is" if len(rejected) == 1 else "are"
        kinds = report.by_kind(rejected)
        _log.warning("%s: %s cannot be used and %s left out (%s); prepare.py lists each", path, count, are, kinds)
    if source.replaced:
        _log.warning("%s: %s", path, replaced_line(source.replaced, len(source)))
    return source


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
    """Open as `open_source`, without reporting rows that cannot be used.

    Args:
        path: as `open_source` takes it.
        part: `train` or `test`.
        num_points: as `open_source` takes it.
        pictures: as `open_source` takes it.
        boxes: as `open_source` takes it.
        category: as `open_source` takes it.
        once: each record will be read once, so that drawn images need not be kept.

    Returns:
        the data set.

    Raises:
        ValueError: in one line, where nothing can be read there.
    """
    if path.startswith("drawn:"):
        _check_own(path, "drawn", pictures, boxes)
        return drawn.DrawnSource(path, part, keep=not once)
    if (root := local(path)).is_dir() and dataset.is_packed(root):
        _check_own(path, "packed", pictures, boxes)
        return dataset.Packed(root, part)
    table = open_table(path, part, num_points, pictures=pictures, boxes=boxes, category=category)
    for note in table.notes:
        _log.warning("%s", note)
    return Images(table)


def _check_own(path: str, kind: str, pictures: str, boxes: str) -> None:
    """Raise ValueError if an image folder or boxes are given for data that holds its own."""
    if given := " and ".join(f"`{name}`" for name, value in (("pictures", pictures), ("boxes", boxes)) if value):
        raise ValueError(
            f"`data` {path} is {kind}: {given} would do nothing here; prepare.py takes them with its files"
        )


def local(path: str) -> Path:
    """Return a path on this machine.

    Args:
        path: as a person wrote it; `~` is the home folder.

    Returns:
        the path, whatever exists there.

    Raises:
        ValueError: for a URL, and for nothing.
    """
    if not path.strip():
        raise ValueError("`data` is empty: give a folder or file, or drawn:COUNT[:POINTS]")
    if len(several := data_sets.paths(path)) > 1:
        raise ValueError(f"`data`: this takes one data set, {len(several)} are given; do it for each by itself")
    if "://" in path:
        raise ValueError(f"`data` {path}: addresses are not read; copy the data here and give its folder")
    return Path(path).expanduser()


def _existing(path: str) -> Path:
    """Return an existing path on this machine. Raises ValueError if nothing exists there."""
    root = local(path)
    if not root.exists():
        near = guesses.path(root, Path.exists)
        raise ValueError(
            f"`data` {path}: does not exist{near}; give a contest folder, a file of another known format"
            f" ({', '.join(formats.FORMATS)}) or drawn:COUNT[:POINTS]"
        )
    return root


def open_table(
    path: str, part: str, num_points: int | None = None, *, pictures: str = "", boxes: str = "", category: str = ""
) -> Table:
    """Return the table that the files of a format at a path list.

    Args:
        path: a folder or file of a known format.
        part: `train` or `test`.
        num_points: as `open_source` takes it.
        pictures: as `open_source` takes it.
        boxes: as `open_source` takes it.
        category: as `open_source` takes it.

    Returns:
        the table, with the rows that cannot be used as rejected.

    Raises:
        ValueError: in one line, where nothing exists, the format is not known or its files are not what it says.
    """
    root = _existing(path)
    module = formats.recognise(root)
    if category and module.NAME != coco.NAME:
        raise ValueError(f"`category` {category}: {path} has no categories; only a .json of COCO keypoints has")
    wanted = {"category": category} if category else {}
    folder = Path(pictures).expanduser() if pictures else None
    table = formats.respelled(module.read(root, part, folder, num_points, **wanted))
    whole = len(module.parts(root)) == 1
    return formats.with_boxes(table, Path(boxes).expanduser(), whole) if boxes else completed(table)


def described(source: Source) -> str:
    """Describe what a source was read from.

    Args:
        source: the data set.

    Returns:
        one line.
    """
    if (table := table_of(source)) is None:
        return f"{len(source)} drawn faces"
    pairs = [f"({x}, {y})" for x, y in zip(table.columns[::2], table.columns[1::2], strict=True)] or list(table.points)
    shown = [*pairs[: _NAMED - 1], *["..."] * (len(pairs) > _NAMED), *pairs[_NAMED - 1 :][-1:]]
    named = f" of {words.counted(len(pairs), 'point')} {', '.join(shown)}" if pairs else ""
    more = f" and {words.counted(table.tables - 1, 'more table')}" if table.tables > 1 else ""
    return f"{table.where}{more}{named}, images in {table.root}"


def exists(path: str) -> bool:
    """Return whether data exists at a path.

    Args:
        path: as `open_source` takes it, or several as `data_sets.paths` does.

    Returns:
        always True for drawn:COUNT.
    """
    return all(one.startswith("drawn:") or Path(one).expanduser().exists() for one in data_sets.paths(path))


def absolute(path: str) -> str:
    """Return a path as it is from every folder.

    Args:
        path: as `exists` takes it.

    Returns:
        the path; drawn:COUNT and addresses as they are.
    """

    def one(path: str) -> str:
        plain = not path or "://" in path or path.startswith("drawn:")
        return path if plain else os.path.abspath(os.path.expanduser(path))

    return data_sets.joined([one(path) for path in data_sets.paths(path)])


def is_packed(path: str) -> bool:
    """Return whether a path is that of a packed set.

    Args:
        path: as `open_source` takes it.

    Returns:
        False for anything else, or nothing, there.

    Raises:
        ValueError: as `local`.
    """

    return not path.startswith("drawn:") and local(path).is_dir() and dataset.is_packed(local(path))


def is_set(path: str) -> bool:
    """Return whether a path is that of a data set.

    Args:
        path: as `open_source` takes it.

    Returns:
        False for a mere folder of images, or nothing, there.

    Raises:
        ValueError: as `local`.
    """

    root = None if path.startswith("drawn:") else local(path)
    return root is None or (root.is_dir() and dataset.is_packed(root)) or formats.knows(root)


def parts(path: str) -> list[str]:
    """Return the splits of the data at a path; a single file is whichever split is requested.

    Args:
        path: as `exists` takes it.

    Returns:
        `train`, `test` or both.

    Raises:
        ValueError: where nothing exists there or the format is not known.
    """
    if len(several := data_sets.paths(path)) > 1:
        found = {part for one in several for part in parts(one)}
        return [part for part in ("train", "test") if part in found]
    if path.startswith("drawn:"):
        return ["train", "test"]
    root = _existing(path)
    if root.is_dir() and dataset.is_packed(root):
        return dataset.parts(root)
    return formats.recognise(root).parts(root)


def open_images(path: str, num_points: int, boxes: str = "", without: Sequence[str | None] = ()) -> Images:
    """Open the images of a folder and its subfolders, or of one file, without labels, by name.

    Skipped files are reported.

    Args:
        path: a folder or one image.
        num_points: of the network.
        boxes: a CSV of bounding boxes; empty: none. Images without a row are left out.
        without: folders to skip, such as one of results.

    Returns:
        the images.

    Raises:
        ValueError: where there are no images, or `boxes` names none of them.
    """

    root, names = image_folder.found(path, [Path(p) for p in without if p])
    table = Table(root, path, num_points, names, [0] * len(names), None)
    if boxes:
        table = formats.with_boxes(table, Path(boxes).expanduser())
        if not table.names:
            raise ValueError(f"`boxes` {boxes}: it names none of the {words.counted(len(names), 'image')} of {path}")
        if gone := table.rejected:
            _log.warning("%s: %d of %d images left out: no box in %s", path, len(gone), len(names), boxes)
    return Images(table)
