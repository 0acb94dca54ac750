"""Seal of a packed set: jaxmarks.json, written last, with the size and sha256 of every other file of the set.

Nothing in it is trusted: its form is checked, and the names of files are ours, never its own. Digests tell a set that was
changed from one that was not; they do not tell who made it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxmarks import landmarks
from pipelines.io import files, schema

NAME = "jaxmarks"
INFO = f"{NAME}.json"
WHOLE = "dataset_info.json"
FEATURES = "features.json"
REPORT = "report.json"
AGAIN = "pack it again, into an empty folder"
VERSION = 2  # of packed sets: 1 had no seal
PARTS = ("train", "test")
_LARGEST = 1 << 24  # bytes of jaxmarks.json: 100 for each shard
_HEX = schema.Text(re.compile("[0-9a-f]{64}").fullmatch, "64 hexadecimal digits")
_COUNT = schema.Whole(0, 1 << 50)
_LAYOUT = {
    "num_points": schema.Whole(1, 1 << 20),
    "whole": bool,
    "boxes": bool,
    "working_size": schema.Whole(0, 1 << 16),
}
_FORM = {
    "layout": _LAYOUT, "plan": _HEX, "records": {str: [_COUNT]}, "identity": {str: _HEX}, "labelled": {str: bool},
    "boxes_replaced": {str: _COUNT}, "files": {str: {"bytes": _COUNT, "sha256": _HEX}},
    "point_names": [str], "mirror": [_COUNT],
}  # fmt: skip
_TFDS = "tensorflow_datasets.core.features."
_NAMING = ("pythonClassName", "python_class_name", "type")  # the last in TFDS's older form
_CLASSES = {
    f"{_TFDS}{name}"
    for name in ("features_dict.FeaturesDict", "text_feature.Text", "image_feature.Image", "tensor_feature.Tensor")
}


class Sealed(NamedTuple):
    """Content of jaxmarks.json of a complete set."""

    layout: dict[str, Any]  # the fields of `dataset.Layout`
    plan: str  # digest of what it was packed from
    records: dict[str, list[int]]  # of each part: the records of its shards in order
    identity: dict[str, str]  # of each part
    labelled: dict[str, bool]
    boxes_replaced: dict[str, int]  # of each part: boxes without area, for which that of the points was taken
    files: dict[str, dict[str, Any]]  # of each file but this one: its bytes and sha256
    point_names: list[str]  # in the order of the points; empty: they have none
    mirror: list[int]  # which point each becomes when mirrored; empty: its files did not say it

    @property
    def parts(self) -> list[str]:
        """The parts of the set, `train` first."""
        return [part for part in PARTS if part in self.records]

    def shards(self, part: str) -> list[str]:
        """The file names of a part's shards, in order."""
        return [shard_name(part, number, len(self.records[part])) for number in range(len(self.records[part]))]


def shard_name(part: str, number: int, of: int) -> str:
    """The file name of a shard, as TFDS has it."""
    return f"{NAME}-{part}.array_record-{number:05d}-of-{of:05d}"


def is_whole(folder: Path) -> bool:
    """Return whether a folder holds a complete packed set."""
    return (folder / WHOLE).is_file() and (folder / INFO).is_file()


def write(folder: Path, about: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Seal the files of a set. about: the fields of `Sealed` but `files`; digests: sha256 of files that are known already."""
    sealed = Sealed(**about, files={})
    for name in _names(sealed):
        path = folder / name
        found = digests.get(name) or files.digest(path).hex()
        sealed.files[name] = {"bytes": path.stat().st_size, "sha256": found}
    files.write_sealed(folder / INFO, sealed._asdict())


def read(folder: Path) -> Sealed:
    """Return a set's seal after verifying every file except the shards against it.

    Raises ValueError, in one line that names the file, if the set is not complete, was packed before there were seals,
    or has changed since it was packed.
    """
    path = folder / INFO
    if not is_whole(folder):
        raise ValueError(f"{folder}: this packed set is not complete; run the same prepare.py command to resume")
    if (found := path.stat().st_size) > _LARGEST:
        raise ValueError(f"{path}: has {found} bytes, expected {_LARGEST} at most; {AGAIN}")
    if "files" not in files.read_json(path):
        raise ValueError(
            f"{path}: lists no files: packed by an earlier version, without a seal; {AGAIN}: prepare.py --data PATH --out NEW"
        )
    sealed = _checked(path, files.read_sealed(path))
    for name in sealed.files.keys() - {s for part in sealed.parts for s in sealed.shards(part)}:
        check(folder, sealed, name)
    check_classes(folder / FEATURES)
    return sealed


def _checked(path: Path, data: dict[str, Any]) -> Sealed:
    data = {"point_names": [], "mirror": [], **data}  # of a set that was packed before they were kept
    schema.check(data, _FORM, str(path))
    sealed = Sealed(**{name: data[name] for name in Sealed._fields})
    if (count := len(set(sealed.point_names))) and not count == len(sealed.point_names) == sealed.layout["num_points"]:
        raise ValueError(
            f"{path}: point_names: expected a name of each of {sealed.layout['num_points']} points; {AGAIN}"
        )
    if sealed.mirror and not landmarks.is_mirror(sealed.mirror, sealed.layout["num_points"]):
        raise ValueError(f"{path}: mirror: expected a permutation of the points that is its own inverse; {AGAIN}")
    if not sealed.records or not set(sealed.records) <= set(PARTS):
        raise ValueError(f"{path}: records: expected {' and '.join(PARTS)}, got {ascii(sorted(sealed.records))[:60]}")
    for field in ("identity", "labelled", "boxes_replaced"):
        if getattr(sealed, field).keys() != sealed.records.keys():
            raise ValueError(f"{path}: {field}: not of the parts {', '.join(sealed.parts)}")
    if sealed.files.keys() != set(_names(sealed)):
        other = min(sealed.files.keys() ^ set(_names(sealed)))
        raise ValueError(f"{path}: files: {ascii(other)[:80]} is missing, or is not a file of a packed set")
    return sealed


def _names(sealed: Sealed) -> list[str]:
    """The files of a set but its seal."""
    shards = [name for part in sealed.parts for name in sealed.shards(part)]
    return [*shards, *(f"{part}.csv" for part in sealed.parts), FEATURES, WHOLE, REPORT, "report.txt"]


def check_size(folder: Path, sealed: Sealed, name: str) -> None:
    """Raise ValueError where a file of the set is missing, or not as long as it was."""
    path, due = folder / name, sealed.files[name]["bytes"]
    found = path.stat().st_size if path.is_file() else None
    if found != due:
        state = "is missing" if found is None else f"has {found} bytes, was written with {due}"
        raise ValueError(f"{path}: the {'shard' if '.array_record-' in name else 'file'} {state}; {AGAIN}")


def check(folder: Path, sealed: Sealed, name: str) -> None:
    """Raise ValueError where a file of the set is missing, or not what it was, by its sha256."""
    check_size(folder, sealed, name)
    if files.digest(folder / name).hex() != sealed.files[name]["sha256"]:
        raise ValueError(f"{folder / name}: changed since the set was packed; {AGAIN}")


def check_classes(path: Path) -> None:
    """Raise ValueError where TFDS's description of features names a class that no packed set has: TFDS, which imports
    what is named there, would run it; we do not read the file otherwise."""
    waiting = [files.parse_json(path.read_bytes(), path)]
    while waiting:
        entry = waiting.pop()
        waiting += entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else []
        named = [entry[key] for key in _NAMING if key in entry] if isinstance(entry, dict) else []
        if new := [kind for kind in named if not isinstance(kind, str) or kind not in _CLASSES]:
            raise ValueError(f"{path}: names {ascii(new[0])[:80]}, which no packed set has and TFDS would run; {AGAIN}")
