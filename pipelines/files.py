"""Files written whole or not at all."""

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")
FORMAT_VERSION = 1
_NO_FILE = (errno.ENXIO, errno.ELOOP)  # a socket; links that lead in a circle
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PAUSES = (0.1, 0.5, 2.0)  # seconds before a failed read is tried again


def cache_root() -> Path:
    """The folder of what is kept between commands."""
    return Path(os.environ.get("JAXMARKS_CACHE") or "~/.cache/jaxmarks").expanduser()


def check_out(flag: str, path: str | Path, folder: bool = False) -> None:
    """Raises ValueError where a folder lies at what is to become a file, or the other way round, and where nothing can be
    written there: by writing a file without a name, which leaves nothing."""
    path = Path(path)
    if path.exists() and path.is_dir() != folder:
        there, wanted = ("a file", "a folder") if folder else ("a folder", "a file")
        raise ValueError(f"{flag} {path}: {there} is there; name {wanted}")
    around = next(p for p in (path if folder else path.parent, *path.absolute().parents) if p.exists())
    if not around.is_dir():
        raise ValueError(f"{flag} {path}: {around} is a file, so nothing can lie in it; name another place")
    try:
        tempfile.TemporaryFile(dir=around).close()
    except OSError as error:
        raise ValueError(f"{flag} {path}: nothing can be written in {around} ({error.strerror})") from None


def check_outs(outs: Mapping[str, str | None], folders: Iterable[str] = ()) -> None:
    """`check_out` of each flag that names an output, and ValueError where two name the same."""
    taken: dict[Path, str] = {}
    for flag, path in outs.items():
        if path:
            check_out(flag, path, flag in folders)
            if (other := taken.setdefault(Path(path).resolve(), flag)) != flag:
                raise ValueError(f"{other} and {flag} are both {path}: one would take the other's place")


@contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """A file open for writing bytes under a temporary name, renamed to `path` when the block ends well."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        opened = open(temporary, "wb")  # noqa: SIM115  closed below
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with opened as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        if error.errno in _FULL and not error.filename:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_bytes(path: Path) -> bytes:
    """A file's content. An input/output error is tried again three times, with longer and longer pauses, then raised;
    a file that is not there or is none is told at once (FileNotFoundError, IsADirectoryError)."""

    def read() -> bytes:
        try:
            with open(path, "rb", opener=_no_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise IsADirectoryError(f"{path} is not a file")
                return file.read()
        except OSError as error:
            if error.errno in _NO_FILE:
                raise IsADirectoryError(f"{path} is not a file") from None
            raise

    return patiently(read)


def patiently(action: Callable[[], T]) -> T:
    """What an action gives; an input/output error (OSError, but for a file that is not there, is none, or is not ours) is
    met by trying again three times, with longer and longer pauses."""
    for pause in _PAUSES:
        try:
            return action()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
            raise
        except OSError:
            time.sleep(pause)
    return action()


def _no_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe that is named like a picture would keep us waiting


def digest(path: Path) -> bytes:
    """sha256 of a file's content, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def size(path: Path) -> int:
    """The bytes of a file, or -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in _NO_FILE:
            return -1
        raise


@contextmanager
def locked(path: Path, told: str, *, shared: bool = False) -> Iterator[None]:
    """Holds the lock of a file, alone or with others that share it; raises ValueError with `told` where that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(told) from None
        yield


def csv_row(fields: Iterable[object]) -> bytes:
    """One comma-separated line; a field with a comma or a quote in it is quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


def write_json(path: str | Path, data: dict[str, Any]) -> None:
    """`data` with a `format_version`, as JSON that refuses NaN."""
    text = json.dumps({"format_version": FORMAT_VERSION, **data}, indent=1, allow_nan=False)
    with whole(path) as file:
        file.write(text.encode() + b"\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """What `write_json` wrote. Raises ValueError, naming the file, when it is not that."""
    data = parse_json(read_bytes(Path(path)), path)
    if not isinstance(data, dict) or data.pop("format_version", None) != FORMAT_VERSION:
        raise ValueError(f"{path}: not a file of format_version {FORMAT_VERSION}")
    return data


def parse_json(data: bytes | str, where: object) -> Any:
    """The content of JSON text, UTF-8 where it does not say otherwise (a byte order mark is no fault).

    Raises ValueError, naming `where` and the place, for what is none, is nested too deeply, or holds a whole number that
    64 bits do not.
    """
    try:
        large = re.search(rb"\d{19}" if isinstance(data, bytes) else r"\d{19}", data)
        return json.loads(data, parse_int=_whole_number if large else None)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON (line {error.lineno}, column {error.colno}: {error.msg})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not JSON ({not_text(error)})") from None
    except RecursionError:
        raise ValueError(f"{where}: not JSON of ours (brackets nested a thousand deep or more)") from None
    except ValueError as error:
        raise ValueError(f"{where}: not JSON of ours ({error})") from None


def _whole_number(digits: str) -> int:
    if len(digits) > 20 or abs(value := int(digits)) >= 1 << 64:
        raise ValueError(f"a number of {len(digits.lstrip('-'))} digits, {digits[:12]}...; 64 bits hold no such number")
    return value


def read_text(path: str | Path) -> str:
    """A file's text, UTF-8 with or without a byte order mark. Raises ValueError, naming file and place, where it is not."""
    try:
        return read_bytes(Path(path)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {not_text(error)}; save it as UTF-8") from None


def not_text(error: UnicodeDecodeError) -> str:
    """What is not text, and where."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"line {line}: the byte 0x{error.object[error.start]:02x} is not {error.encoding.upper()}"


def write_sealed(path: str | Path, data: dict[str, Any]) -> None:
    """As `write_json`, with a digest of the content in it."""
    write_json(path, {**data, "digest": _seal(data)})


def read_sealed(path: str | Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises ValueError, naming the file, when it is not that, or not any more."""
    data = read_json(path)
    if data.pop("digest", None) != _seal(data):
        raise ValueError(f"{path}: its digest does not fit its content; it was changed or damaged")
    return data


def _seal(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
