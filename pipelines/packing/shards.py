"""Shards of a packed set: ArrayRecord files of tf.Example records.

They are read by ArrayRecord alone and parsed by a fixed description of tf.Example, so that nothing that lies in a set
chooses what code runs. TFDS, which would import the classes that a set names, is not asked.
"""

import errno
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_OPTIONS = {"options": "readahead_buffer_size:0", "file_reader_buffer_size": 1 << 15}


@contextmanager
def writing(path: Path) -> Iterator[Any]:
    """A shard open for `write(bytes)`, under a temporary name until the block ends well.

    Raises OSError, which names the shard, where the disk takes no more.
    """
    from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        writer = array_record_module.ArrayRecordWriter(str(temporary), "group_size:1,uncompressed")
        try:
            yield writer
        finally:
            writer.close()
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        number = _number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from None


def _number(error: BaseException) -> int | None:
    """The system's number of an error that names no file; array_record tells its text alone."""
    if isinstance(error, OSError):
        return None if error.filename else error.errno
    told = str(error) if isinstance(error, RuntimeError) else ""
    return next((n for n in _DISK if os.strerror(n) in told), None)


class Shards:
    """The records of some shards in order, as bytes; each file is opened when one of its records is asked for."""

    def __init__(self, paths: Sequence[Path], counts: Sequence[int]):
        self._paths, self._counts = paths, counts
        self._starts = [0, *accumulate(counts)]
        self._readers: list[Any] = [None] * len(paths)
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> bytes:
        """Raise ValueError where the record cannot be read."""
        shard = bisect_right(self._starts, index) - 1
        try:
            return self._reader(shard).read([index - self._starts[shard]])[0]
        except (RuntimeError, IndexError) as error:  # what array_record makes of damage
            raise ValueError(f"cannot be read ({' '.join(str(error).split())[:200]})") from None

    def _reader(self, shard: int) -> Any:
        from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]

        with self._lock:
            if self._readers[shard] is None:
                found = array_record_module.ArrayRecordReader(str(self._paths[shard]), **_OPTIONS)
                if found.num_records() != self._counts[shard]:
                    raise IndexError(f"{found.num_records()} records where {self._counts[shard]} were written")
                options = found.writer_options_string().split(",")
                if "uncompressed" not in options:  # a few bytes may stand for gigabytes
                    raise IndexError("its records are compressed, those of a packed set are not")
                self._readers[shard] = found
            return self._readers[shard]


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, **fields: tuple[int, bool, str]) -> None:
    """A message of fields (number, repeated, type); a type in capitals is a message."""
    kinds = descriptor_pb2.FieldDescriptorProto
    made = file.message_type.add(name=name)
    for field, (number, repeated, kind) in fields.items():
        added = made.field.add(name=field, number=number)
        added.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        if kind[0].isupper():
            added.type, added.type_name = kinds.TYPE_MESSAGE, f".{NAMESPACE}.{kind}"
        else:
            added.type = getattr(kinds, f"TYPE_{kind.upper()}")


NAMESPACE = "jaxmarks.records"  # TensorFlow registers its own under another; the bytes do not tell


def _example() -> Any:
    """The class of tf.Example (tensorflow/core/example/example.proto), whose map of features is a list of pairs."""
    file = descriptor_pb2.FileDescriptorProto(name="jaxmarks/records.proto", package=NAMESPACE, syntax="proto3")
    _message(file, "BytesList", value=(1, True, "bytes"))
    _message(file, "FloatList", value=(1, True, "float"))
    _message(file, "Int64List", value=(1, True, "int64"))
    _message(
        file, "Feature", bytes=(1, False, "BytesList"), floats=(2, False, "FloatList"), int64=(3, False, "Int64List")
    )
    _message(file, "Pair", key=(1, False, "string"), value=(2, False, "Feature"))
    _message(file, "Features", feature=(1, True, "Pair"))
    _message(file, "Example", features=(1, False, "Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{NAMESPACE}.Example"))


_EXAMPLE = _example()


def parsed(record: bytes, kinds: dict[str, type]) -> dict[str, Any]:
    """Return the values of a tf.Example that holds just these features, one value each: bytes or int.

    Raises ValueError for anything else.
    """
    try:
        pairs = _EXAMPLE.FromString(record).features.feature
    except DecodeError:
        raise ValueError("is not a tf.Example") from None
    found = {}
    for pair in pairs:
        values = pair.value.bytes.value if kinds.get(pair.key) is bytes else pair.value.int64.value
        if pair.key not in kinds or pair.key in found or len(values) != 1:
            raise ValueError(f"has another feature {ascii(pair.key)[:40]} than a packed record")
        found[pair.key] = values[0]
    if missing := kinds.keys() - found.keys():
        raise ValueError(f"has no feature {min(missing)}")
    return found
