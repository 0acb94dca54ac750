"""Packed data sets: ArrayRecord shards with TFDS metadata, as `tfds.data_source` and grain read them, without TensorFlow.

A folder holds jaxmarks-PART.array_record-*, features.json, dataset_info.json (the last to be written: the sign that the
set is whole), a table PART.csv with a row a record, and jaxmarks.json. Nothing in it depends on path, time or machine.
"""

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines import files
from pipelines.sources import Example, identity_of, record_digest

NAME = "jaxmarks"
INFO = f"{NAME}.json"
_WHOLE = "dataset_info.json"
_UNKNOWN = np.iinfo(np.int16).min  # a coordinate that is not labelled, where coordinates are stored as int16


class Layout(NamedTuple):
    """What is the same for all records of a set, and so how they are stored."""

    num_points: int
    whole: bool  # coordinates are whole numbers: int16, -32768 where a point is not labelled; else float32, NaN
    boxes: bool  # each record has a box
    working_size: int = 0  # what the pictures' short side, or box, was reduced to; 0: the original files

    def points(self, example: Example) -> np.ndarray:
        """The points as they are stored, [points, 2]."""
        if self.whole:
            return np.where(example.mask[:, None], example.points, _UNKNOWN).astype(np.int16)
        return np.where(example.mask[:, None], example.points, np.nan).astype(np.float32)

    def label(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(points f64[points, 2], mask bool[points]) of points as they are stored."""
        known = np.not_equal(stored, _UNKNOWN) if self.whole else np.isfinite(stored)
        mask = np.all(known, axis=1)
        return np.where(mask[..., None], stored, 0).astype(np.float64), mask


class Record(NamedTuple):
    """What the table says of a record."""

    name: str
    width: int  # of the photograph, as displayed
    height: int
    digest: bytes
    group: str  # near-duplicates share one
    line: str = ""  # in the table that it was packed from
    spread: str = ""  # side of the labels' box over that of the photograph
    asked: str = ""  # the points to hand in


def shard_name(part: str, number: int, of: int) -> str:
    """The file name of a shard, as TFDS has it."""
    return f"{NAME}-{part}.array_record-{number:05d}-of-{of:05d}"


def _features(layout: Layout) -> Any:
    import tensorflow_datasets as tfds

    kind = np.int16 if layout.whole else np.float32
    features = {
        "file_name": tfds.features.Text(),
        "image": tfds.features.Image(shape=(None, None, 3)),
        "points": tfds.features.Tensor(shape=(layout.num_points, 2), dtype=kind, encoding="bytes"),
        "width": np.int32,
        "height": np.int32,
    }
    if layout.boxes:
        features["box"] = tfds.features.Tensor(shape=(4,), dtype=np.float64, encoding="bytes")
    return tfds.features.FeaturesDict(features)


class Encoder:
    """Records to the bytes of a shard: the same example gives the same bytes, whatever the process."""

    def __init__(self, layout: Layout):
        from tensorflow_datasets.core import example_serializer

        self._layout, self._features = layout, _features(layout)
        self._serializer = example_serializer.ExampleSerializer(self._features.get_serialized_info())

    def __call__(self, name: str, example: Example, size: tuple[int, int]) -> bytes:
        """example.picture must be the bytes of a file; size: (width, height) of the photograph."""
        assert isinstance(example.picture, bytes)
        record = {
            "file_name": name,
            "image": io.BytesIO(example.picture),
            "points": self._layout.points(example),
            "width": size[0],
            "height": size[1],
        }
        if self._layout.boxes:
            assert example.box is not None
            record["box"] = np.asarray(example.box, np.float64)
        encoded = self._serializer.get_tf_example(self._features.encode_example(record))
        return encoded.SerializeToString(deterministic=True)


@contextmanager
def shard(path: Path) -> Iterator[Any]:
    """A shard open for `write(bytes)`, under a temporary name until the block ends well."""
    from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    writer = array_record_module.ArrayRecordWriter(str(temporary), "group_size:1,uncompressed")
    try:
        yield writer
    except BaseException:
        writer.close()
        temporary.unlink(missing_ok=True)
        raise
    writer.close()
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    temporary.rename(path)


def write_table(folder: Path, part: str, records: Iterable[Record]) -> str:
    """Writes PART.csv; gives the identity of the part."""
    digests = hashlib.sha256()
    with files.whole(folder / f"{part}.csv") as file:
        file.write(files.csv_row(["file_name", "width", "height", "sha256", "group", "line", "spread", "asked"]))
        for r in records:
            digests.update(r.digest)
            file.write(files.csv_row([r.name, r.width, r.height, r.digest.hex(), *r[4:]]))
    return digests.hexdigest()


def finish(folder: Path, layout: Layout, shards: dict[str, list[tuple[int, int]]], about: dict[str, Any]) -> None:
    """Makes shards a data set: jaxmarks.json, then TFDS's metadata, dataset_info.json last.

    shards: of each part (records, bytes) of its shards in order. about: goes into jaxmarks.json.
    """
    import tensorflow_datasets as tfds

    sizes = {part: [size for _, size in found] for part, found in shards.items()}
    files.write_json(folder / INFO, {"layout": layout._asdict(), "shard_bytes": sizes, **about})
    with tempfile.TemporaryDirectory(dir=folder, prefix=".metadata") as temporary:
        for part, found in shards.items():  # TFDS wants to see them beside what it writes, which is to be renamed whole
            for name in (shard_name(part, number, len(found)) for number in range(len(found))):
                os.symlink((folder / name).resolve(), os.path.join(temporary, name))
        infos = [
            tfds.core.SplitInfo(
                name=part,
                shard_lengths=[count for count, _ in found],
                num_bytes=sum(sizes[part]),
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=temporary,  # pyright: ignore[reportArgumentType]
                    dataset_name=NAME,
                    split=part,
                    filetype_suffix="array_record",
                ),
            )
            for part, found in shards.items()
        ]
        tfds.folder_dataset.write_metadata(
            data_dir=temporary, features=_features(layout), split_infos=infos, check_data=False
        )
        for name in ("features.json", _WHOLE):
            os.rename(os.path.join(temporary, name), folder / name)


def is_packed(folder: Path) -> bool:
    """Whether this is the folder of a packed set, whole or not."""
    begun = (folder / ".lock").is_file()  # a packer was there
    return begun or (folder / INFO).is_file() or any(folder.glob(f"{NAME}-*.array_record-*"))


def info(folder: Path) -> dict[str, Any]:
    """jaxmarks.json of a whole set. Raises ValueError where the set is not whole."""
    if not (folder / _WHOLE).is_file() or not (folder / INFO).is_file():
        raise ValueError(f"{folder}: this packed set is not whole yet; the same prepare.py command goes on with it")
    return files.read_json(folder / INFO)


def parts(folder: Path) -> list[str]:
    """Which parts a packed set has."""
    return sorted(info(folder)["shard_bytes"], reverse=True)


class Packed:
    """A part of a packed set as a source. Every record is held against the digest it was packed with."""

    def __init__(self, folder: Path, part: str):
        """Raises ValueError where the set is not whole, has no such part, or a shard is not as it was written."""
        import tensorflow_datasets as tfds

        about = info(folder)
        if part not in about["shard_bytes"]:
            raise ValueError(f"{folder}: this packed set has no {part} part, only {', '.join(about['shard_bytes'])}")
        self._layout, self._folder = Layout(**about["layout"]), folder
        _check_sizes(folder, part, about["shard_bytes"][part])
        records = list(read_table(folder, part))
        self.names: Sequence[str] = [r.name for r in records]
        self.groups: Sequence[str] = [r.group for r in records]
        self._digests = b"".join(r.digest for r in records)
        self.identity = identity_of(r.digest for r in records)
        if self.identity != about["identity"][part]:
            raise ValueError(f"{folder / part}.csv: changed since the set was packed; pack it again")
        self.num_points, self.labelled = self._layout.num_points, about["labelled"][part]
        self.boxed, self.replaced = self._layout.boxes, about.get("boxes_replaced", {}).get(part, 0)
        asked = [np.array(r.asked.split(), int) for r in records]
        self.asked = asked if records and len(asked[0]) else None
        if not records:
            raise ValueError(f"{folder}: its {part} part is empty")
        builder = tfds.builder_from_directory(folder)
        skip = {"image": tfds.decode.SkipDecoding()}
        self._data = builder.as_data_source(split=part, decoders=skip)  # pyright: ignore[reportCallIssue]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        try:
            record = self._data[index]
        except (RuntimeError, IndexError) as error:  # what array_record makes of damage
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{self._folder}: {self.names[index]} cannot be read ({reason}); pack the set again, into an empty folder"
            ) from None
        points, mask = self._layout.label(record["points"])
        if (box := record.get("box")) is not None and np.isnan(box).any():
            raise ValueError(
                f"{self._folder}: {self.names[index]} has no bounding box, and others have: packed by an older version;"
                " pack the set again, into an empty folder"
            )
        size = (int(record["width"]), int(record["height"])) if self._layout.working_size else None
        example = Example(record["image"], points, mask, box, size)
        if record_digest(self.names[index], example) != self._digests[32 * index : 32 * index + 32]:
            raise ValueError(
                f"{self._folder}: {self.names[index]} is not as it was packed; pack the set again, into an empty folder"
            )
        return example


def _check_sizes(folder: Path, part: str, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        path = folder / shard_name(part, number, len(sizes))
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes, was written with {size}"
            raise ValueError(f"{path}: the shard {state}; pack the set again, into an empty folder")


def read_table(folder: Path, part: str) -> Iterator[Record]:
    """What PART.csv says of each record."""
    with open(folder / f"{part}.csv", newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for name, width, height, digest, *rest in rows:
            yield Record(name, int(width), int(height), bytes.fromhex(digest), *rest)
