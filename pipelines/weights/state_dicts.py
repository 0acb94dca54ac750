"""State dicts of published weights, from `.safetensors` and torch's `.pth` and `.pt`, without torch or pickle.

A tensor's numbers are copied once the notes of where they lie are checked against what the file holds: what a file
claims to hold is never reserved, and a few times its own size is all that reading it takes.
"""

import io
import math
import struct
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import safetensors

from pipelines.io import files
from pipelines.weights.unpickling import SAVE_ANEW, Rejected, Tensor, known, unpickle

_Raw = bytes | memoryview

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of torch's files before 1.6, which are a stream of pickles
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training scripts put a state dict under
_MAX_DIMENSIONS = 8

_SAFETENSORS = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": ml_dtypes.bfloat16, "I64": "i8", "I32": "i4", "I16": "i2",
    "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip

# What a damaged file makes of the reading of it.
_DAMAGE = (
    *(ValueError, TypeError, LookupError, EOFError, OverflowError, RuntimeError, struct.error),
    *(zipfile.BadZipFile, safetensors.SafetensorError),
)


class _Opened(NamedTuple):
    """A file of torch's: the object it holds, a storage's bytes by its key, and their order, "little" or "big"."""

    content: Any
    raw: Callable[[str], _Raw]
    order: str


def read(path: Path) -> dict[str, np.ndarray]:
    """The state dict in a file of safetensors or of `torch.save`, of either of its formats, by name.

    Numbers with a point come as f32, others as they are. A dict within {"state_dict": ...} (or model_state_dict, or
    model) is taken out, and the `module.` that a parallel run puts before every name taken off. Raises ValueError of one
    line that names the file for one that is empty, damaged, no state dict, or asks for any code; none is ever run.
    """
    data = files.read_bytes(path)
    try:
        if data[8:9] == b"{":
            return _unprefixed(_from_safetensors(data))
        if data[:4] == b"PK\x03\x04":
            return _from_torch(_open_zip(data), len(data))
        if data[:1] == b"\x80":
            return _from_torch(_open_stream(data), len(data))
        raise Rejected(
            "no file of torch.save or safetensors: fetch or save it again" if data else "empty: fetch it again"
        )
    except Rejected as error:
        raise ValueError(f"{path}: {error}") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path}: damaged or no file of weights ({reason}): fetch it again") from None


def _from_safetensors(data: bytes) -> dict[str, np.ndarray]:
    named = {}
    for name, entry in safetensors.deserialize(data):
        if entry["dtype"] not in _SAFETENSORS:
            raise Rejected(f"{name!r} is of type {entry['dtype']}: save it as float32")
        numbers = np.frombuffer(entry["data"], np.dtype(_SAFETENSORS[entry["dtype"]])).reshape(entry["shape"])
        named[name] = _single(numbers if sys.byteorder == "little" else numbers.byteswap())
    return named


def _from_torch(opened: _Opened, limit: int) -> dict[str, np.ndarray]:
    """Its tensors as arrays; limit: of all numbers together, since what a file holds is no more than its bytes."""
    tensors = _state_dict(opened.content)
    for name, tensor in tensors.items():
        _check(name, tensor)
        limit -= math.prod(tensor.size)
        if limit < 0:
            raise ValueError(f"more numbers than the file has bytes, with {name[:100]!r}")
    return _unprefixed({name: _array(name, tensor, opened) for name, tensor in tensors.items()})


def _state_dict(content: Any) -> dict[str, Tensor]:
    if isinstance(content, dict):
        content = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), dict)), content)
    if not isinstance(content, dict) or not content:
        raise Rejected(f"holds no state dict: {SAVE_ANEW}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise Rejected(f"is no state dict, since its entry {str(name)[:100]!r} is no tensor: {SAVE_ANEW}")
    return content


def _unprefixed(named: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not all(name.startswith("module.") for name in named):
        return named
    return {name.removeprefix("module."): value for name, value in named.items()}


def _check(name: str, tensor: Tensor) -> None:
    """Raise ValueError where a tensor's size, stride and offset are no such."""
    if tensor.storage is None or len(tensor.size) != len(tensor.stride) or len(tensor.size) > _MAX_DIMENSIONS:
        raise ValueError(f"{name[:100]!r} has no size")
    numbers = (tensor.storage.start, tensor.offset, *tensor.size, *tensor.stride)
    if not all(type(number) is int and 0 <= number < 2**48 for number in numbers):
        raise ValueError(f"{name[:100]!r} has an invalid size, stride or offset")


def _array(name: str, tensor: Tensor, opened: _Opened) -> np.ndarray:
    """A tensor's numbers, copied; nothing outside its storage is read."""
    storage = tensor.storage
    assert storage is not None
    if 0 in tensor.size:
        return _single(np.zeros(tensor.size, storage.dtype))
    raw, first = opened.raw(storage.key), storage.start + tensor.offset
    held = np.frombuffer(raw, storage.dtype, len(raw) // storage.dtype.itemsize)
    steps = [stride if count > 1 else 0 for count, stride in zip(tensor.size, tensor.stride, strict=True)]
    if first + sum((count - 1) * step for count, step in zip(tensor.size, steps, strict=True)) >= len(held):
        raise ValueError(f"{name[:100]!r} reaches beyond its storage")
    strides = [step * held.itemsize for step in steps]
    numbers = np.lib.stride_tricks.as_strided(held[first:], tensor.size, strides)
    return _single(numbers if opened.order == sys.byteorder else numbers.byteswap())


def _single(numbers: np.ndarray) -> np.ndarray:
    """A copy, as f32 where numbers have a point."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(numbers, numbers.dtype if numbers.dtype.kind in "iub" else np.float32, order="C")


def _open_zip(data: bytes) -> _Opened:
    """torch's format since 1.6. Entries are stored as they are, and so none can grow on being read."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    if sum(info.file_size for info in archive.infolist()) > len(data):
        raise ValueError("its entries are larger than the file")
    roots = [name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise Rejected(f"a zip file, but none of torch.save's: {SAVE_ANEW}")

    def entry(name: str) -> bytes:
        info = archive.getinfo(roots[0] + name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise Rejected(f"{name[:100]!r} in it is compressed, and torch.save compresses nothing: {SAVE_ANEW}")
        return archive.read(info)

    order = entry("byteorder").decode() if f"{roots[0]}byteorder" in archive.namelist() else "little"
    if order not in ("little", "big"):
        raise ValueError(f"its byte order is {order[:20]!r}")
    content, _ = unpickle(io.BytesIO(entry("data.pkl")))
    return _Opened(content, cache(lambda key: entry(f"data/{key}")), order)


def _open_stream(data: bytes) -> _Opened:
    """torch's format before 1.6: five pickles, and for each key of the last a count, an i64, and as many numbers."""
    stream = io.BytesIO(data)
    if unpickle(stream)[0] != _MAGIC:
        raise Rejected(f"a pickle, but none of torch.save's: {SAVE_ANEW}")
    if unpickle(stream)[0] != _PROTOCOL:
        raise ValueError(f"its protocol is not {_PROTOCOL}")
    system, _ = unpickle(stream)
    content, dtypes = unpickle(stream)
    keys, _ = unpickle(stream)
    order = "little" if system["little_endian"] else "big"
    raw, view, at = {}, memoryview(data), stream.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q" if order == "little" else ">q", data, at)
        start, at = at + 8, at + 8 + count * dtypes[known(key, str)].itemsize
        if count < 0 or at > len(data):
            raise EOFError(f"{len(data)} bytes are not all of it")
        raw[key] = view[start:at]
    return _Opened(content, raw.__getitem__, order)
