"""Packed data sets: ArrayRecord shards with TFDS metadata, for `tfds.data_source` and grain, without TensorFlow.

A folder holds jaxmarks-PART.array_record-*, features.json, dataset_info.json, a table PART.csv with a row a record, and
jaxmarks.json, the seal of all of these (the last to be written: the sign that the set is whole). Nothing in it depends on
path, time or machine. We read it without TFDS, which would import what features.json names.
"""

import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.example import Example, Source, identity_of, record_digest
from pipelines.images import placement
from pipelines.packing import record_table, seal, shards
from pipelines.packing.seal import NAME, Sealed, shard_name

_UNKNOWN = np.iinfo(np.int16).min  # a coordinate that is not labelled, where coordinates are stored as int16


class Layout(NamedTuple):
    """Properties shared by all records of a set, which determine how they are stored."""

    num_points: int
    whole: bool  # coordinates are whole numbers: int16, -32768 where a point is not labelled; else float32, NaN
    boxes: bool  # each record has a box
    working_size: int = 0  # what the images' short side, or box, was reduced to; 0: the original files

    def points(self, example: Example) -> np.ndarray:
        """The points as they are stored, [points, 2]."""
        if self.whole:
            return np.where(example.mask[:, None], example.points, _UNKNOWN).astype(np.int16)
        return np.where(example.mask[:, None], example.points, np.nan).astype(np.float32)

    def label(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(points f64[points, 2], mask bool[points]) of points as they are stored."""
        known = stored != _UNKNOWN if self.whole else np.isfinite(stored)
        points, mask = stored.astype(np.float64), known[:, 0] & known[:, 1]
        points[~mask] = 0.0
        return points, mask

    @property
    def dtype(self) -> np.dtype:
        """The type of a coordinate as it is stored."""
        return np.dtype("<i2" if self.whole else "<f4")

    def kinds(self) -> dict[str, type]:
        """The features of a record, and of what kind their one value is."""
        kinds = {"file_name": bytes, "image": bytes, "points": bytes, "width": int, "height": int}
        return {**kinds, "box": bytes} if self.boxes else kinds


LOCK = f".{NAME}.lock"  # beside the shards while they are written
NOTES = "notes"  # the folder of what is known of completed shards


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
        """example.image must be the bytes of a file; size: (width, height) of the image."""
        assert isinstance(example.image, bytes)
        record = {
            "file_name": name,
            "image": io.BytesIO(example.image),
            "points": self._layout.points(example),
            "width": size[0],
            "height": size[1],
        }
        if self._layout.boxes:
            assert example.box is not None
            record["box"] = np.asarray(example.box, np.float64)
        encoded = self._serializer.get_tf_example(self._features.encode_example(record))
        return encoded.SerializeToString(deterministic=True)


def finish(
    folder: Path,
    layout: Layout,
    found: dict[str, list[tuple[int, int]]],
    about: dict[str, Any],
    digests: dict[str, str],
) -> None:
    """Make shards, tables and report a data set: TFDS's metadata, then the seal of all.

    found: of each part (records, bytes) of its shards in order. about: plan, identity, labelled, boxes_replaced,
    point_names and mirror of `seal.Sealed`. digests: sha256 of the files of which it is known already.
    """
    import tensorflow_datasets as tfds

    with tempfile.TemporaryDirectory(dir=folder, prefix=".metadata") as temporary:
        for part, counts in found.items():  # TFDS wants to see them beside what it writes, which is to be renamed whole
            for name in (shard_name(part, number, len(counts)) for number in range(len(counts))):
                os.symlink((folder / name).resolve(), os.path.join(temporary, name))
        infos = [
            tfds.core.SplitInfo(
                name=part,
                shard_lengths=[count for count, _ in counts],
                num_bytes=sum(size for _, size in counts),
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=temporary,  # pyright: ignore[reportArgumentType]
                    dataset_name=NAME,
                    split=part,
                    filetype_suffix="array_record",
                ),
            )
            for part, counts in found.items()
        ]
        tfds.folder_dataset.write_metadata(
            data_dir=temporary, features=_features(layout), split_infos=infos, check_data=False
        )
        for name in (seal.FEATURES, seal.WHOLE):
            os.rename(os.path.join(temporary, name), folder / name)
    records = {part: [count for count, _ in counts] for part, counts in found.items()}
    seal.write(folder, {"layout": layout._asdict(), "records": records, **about}, digests)


def is_packed(folder: Path) -> bool:
    """Return whether this is the folder of a packed set, complete or not."""
    begun = (folder / LOCK).is_file()  # a packer was there
    begun |= (folder / seal.INFO).is_file() or any(folder.glob(f"{NAME}-*.array_record-*"))
    return begun or _discarded(folder)


def _discarded(folder: Path) -> bool:
    """Whether all shards were taken away, since the data was changed, and none was written again."""
    notes = folder / NOTES
    if not notes.is_dir() or any(not p.name.startswith((f"{NAME}-", f".{NAME}-")) for p in notes.iterdir()):
        return False
    return (folder / seal.FEATURES).is_file() or {p.name for p in folder.iterdir() if p.name[0] != "."} == {NOTES}


def parts(folder: Path) -> list[str]:
    """Return the splits of a packed set. Raises ValueError as `seal.read` does."""
    return seal.read(folder).parts


class Packed(Source):
    """Source of a split of a packed set. Every record is verified against the digest it was packed with when it is first
    read; later reads rely on ArrayRecord's own checksums."""

    def __init__(self, folder: Path, part: str, sealed: Sealed | None = None):
        """sealed: what `seal.read` gave, where it was read already. Raises ValueError as that does, and where the set has no
        such part, a shard is not as long as it was, or its table says what cannot be."""
        sealed = sealed or seal.read(folder)
        if part not in sealed.records:
            raise ValueError(f"{folder}: this packed set has no {part} part, only {', '.join(sealed.parts)}")
        self._layout, self._folder = Layout(**sealed.layout), folder
        self._kinds = self._layout.kinds()
        for name in sealed.shards(part):
            seal.check_size(folder, sealed, name)
        self.num_points, self.labelled = self._layout.num_points, sealed.labelled[part]
        records = record_table.read(folder, part, self.num_points)
        self.names: Sequence[str] = [r.name for r in records]
        self.groups: Sequence[str] = [r.group for r in records]
        self._digests, self._verified = b"".join(r.digest for r in records), bytearray(len(records))
        self._sizes = np.array([[r.width, r.height] for r in records], np.int32)
        self.identity = identity_of(r.digest for r in records)
        if self.identity != sealed.identity[part] or len(records) != sum(sealed.records[part]):
            raise ValueError(f"{folder / part}.csv: not the records that {seal.INFO} tells of; {seal.AGAIN}")
        self.boxed, self.replaced = self._layout.boxes, sealed.boxes_replaced[part]
        self._check_room(sum(sealed.files[name]["bytes"] for name in sealed.shards(part)))
        asked = [np.array(r.asked.split(), int) for r in records]
        self.asked = asked if len(asked[0]) else None
        self.point_names, self.mirror = sealed.point_names, sealed.mirror
        self._data = shards.Shards([folder / name for name in sealed.shards(part)], sealed.records[part])

    def _check_room(self, size: int) -> None:
        """Raise ValueError where shards of so many bytes cannot hold so many points: a network is built for them."""
        if 2 * self.num_points * self._layout.dtype.itemsize * len(self) > size:
            raise ValueError(
                f"{self._folder / seal.INFO}: layout.num_points: {self.num_points} points of {len(self)} records"
                f" are more than {size} bytes of shards hold; {seal.AGAIN}"
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        try:
            return self._read(range(len(self))[index])
        except ValueError as error:
            raise ValueError(f"{self._folder}: {self.names[index]} {error}; {seal.AGAIN}") from None

    def _read(self, index: int) -> Example:
        name, layout = self.names[index], self._layout
        found = shards.parsed(self._data[index], self._kinds)
        size = found["width"], found["height"]
        try:
            points, mask = layout.label(np.frombuffer(found["points"], layout.dtype).reshape(layout.num_points, 2))
            box = np.frombuffer(found["box"], "<f8").reshape(4) if layout.boxes else None
        except ValueError:  # another number of bytes
            raise ValueError("has points or a box of another length than the set's") from None
        if box is not None:
            placement.check_box(box, *size)
        example = Example(found["image"], points, mask, box, size if layout.working_size else None)
        same = found["file_name"] == name.encode() and list(size) == self._sizes[index].tolist()
        if same and not self._verified[index]:
            same = record_digest(name, example) == self._digests[32 * index : 32 * index + 32]
        if not same:
            raise ValueError("is not as it was packed")
        self._verified[index] = 1
        return example
