"""Atomic file writes, locks, digests and JSON."""

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")
FORMAT_VERSION = 1
_NO_FILE = (errno.ENXIO, errno.ELOOP)  # a socket; links that lead in a circle
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST_OUT = 240  # bytes of an output's name; what is partly written has longer ones, and 255 are the limit
_PAUSES = (0.1, 0.5, 2.0)  # seconds before a failed read is tried again


def cache_root() -> Path:
    """Return the folder of the cache."""
    return Path(os.environ.get("JAXMARKS_CACHE") or "~/.cache/jaxmarks").expanduser()


def check_out(flag: str, path: str | Path, folder: bool = False) -> None:
    """Raise ValueError unless `path` can be written as a file (folder=True: as a folder).

    Tested by writing a file without a name, which leaves nothing behind. flag: the name in the message.
    """
    path = Path(path)
    if (length := len(os.fsencode(path.name))) > _LONGEST_OUT:
        raise ValueError(
            f"{flag} {path}: a name of {length} bytes; at most {_LONGEST_OUT}, since files with longer names lie beside it"
        )
    if path.exists() and path.is_dir() != folder:
        there, wanted = ("a file", "a folder") if folder else ("a folder", "a file")
        raise ValueError(f"{flag} {path}: is {there}; expected {wanted}")
    around = next(p for p in (path if folder else path.parent, *path.absolute().parents) if p.exists())
    if not around.is_dir():
        raise ValueError(f"{flag} {path}: {around} is a file, expected a directory; choose another path")
    try:
        tempfile.TemporaryFile(dir=around).close()
    except OSError as error:
        raise ValueError(f"{flag} {path}: nothing can be written in {around} ({error.strerror})") from None


def check_outs(outs: Mapping[str, str | None], folders: Iterable[str] = ()) -> None:
    """Call `check_out` for each output by its flag; raise ValueError if two name the same path."""
    taken: dict[Path, str] = {}
    for flag, path in outs.items():
        if path:
            check_out(flag, path, flag in folders)
            if (other := taken.setdefault(Path(path).resolve(), flag)) != flag:
                raise ValueError(f"{other} and {flag} are both {path}: one would take the other's place")


@contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing bytes under a temporary name, renamed to `path` when the block ends without an error.

    The temporary file is locked: one left by a killed process is taken over by the next writer.
    """
    path = Path(path)
    temporary = path.with_name(_temporary(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        opened = open(temporary, "wb", opener=lambda name, _: _own(Path(name)))  # noqa: SIM115  closed below
        opened.truncate(0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with opened as file:  # whose lock is held until it has its own name
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.rename(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:  # of closing as well, which writes what a full disk did not take once more
        if error.errno in _FULL and not error.filename:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _temporary(name: str) -> str:
    """Return the name under which a file is written."""
    long = len(os.fsencode(name)) > 250
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest() if long else name}.tmp"


def _own(path: Path, how: int = fcntl.LOCK_EX) -> int:
    """Return a descriptor of the file at `path`, created if missing, with its lock.

    Waits for the lock, or with LOCK_NB in `how` raises BlockingIOError. Never follows a symbolic link: OSError (ELOOP).
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            _flock(descriptor, how)
            if _is_at(descriptor, path):  # else who had it before took it away meanwhile
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _flock(descriptor: int, how: int) -> None:
    """Take a lock; on a file system without locks, continue without one if the caller would wait for it."""
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if how != fcntl.LOCK_EX or error.errno not in _NO_LOCKS:
            raise


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def read_bytes(path: Path | str, most: int | None = None) -> bytes:
    """Return a file's content, of at most `most` bytes. Input/output errors are retried three times with increasing
    pauses.

    Raises FileNotFoundError or IsADirectoryError at once, ValueError for a larger file, OSError after the retries.
    """

    def read() -> bytes:
        try:
            return _content(path, most)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise IsADirectoryError(f"{path} is not a file") from None
            raise

    return patiently(read)


def _content(path: Path | str, most: int | None) -> bytes:
    """`read_bytes` tried once, by the system's own calls: `open` takes twice as long, and an epoch reads every image."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would keep us waiting
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise IsADirectoryError(f"{path} is not a file")
        if most is not None and found.st_size > most:
            raise ValueError(f"too large a file: {found.st_size} bytes, at most {most} are read")
        return b"".join(iter(lambda: os.read(descriptor, found.st_size + 1), b""))
    finally:
        os.close(descriptor)


def patiently(action: Callable[[], T]) -> T:
    """Return action(), retried three times with increasing pauses after an input/output error.

    An OSError that no retry can change (no such file, a directory, no permission) is raised at once.
    """
    for pause in _PAUSES:
        try:
            return action()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
            raise
        except OSError:
            time.sleep(pause)
    return action()


def digest(path: Path) -> bytes:
    """Return the sha256 of a file's content, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def size(path: Path) -> int:
    """Return the size of a file in bytes, or -1 if it does not exist."""
    try:
        return path.stat().st_size
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in _NO_FILE:
            return -1
        raise


@contextmanager
def locked(path: Path, message: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a file, exclusively or shared; raise ValueError with the message if another process holds
    it.

    The last holder deletes the file, including one left by a killed process. A symbolic link there is an error, and its
    target is not touched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = _own(path, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(message) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path}: a symbolic link, where a lock is to be made; remove it") from None
        raise
    try:
        yield
    finally:
        with suppress(OSError):  # others share it
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                path.unlink()
        os.close(descriptor)


def escaped(text: str) -> str:
    """Return text that is safe to print: control and direction characters and invalid Unicode as \\x1b, \\ud800 and the
    like."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def write_json(path: str | Path, data: dict[str, Any]) -> None:
    """Write `data` with a `format_version` as JSON; NaN is rejected."""
    text = json.dumps({"format_version": FORMAT_VERSION, **data}, indent=1, allow_nan=False)
    with whole(path) as file:
        file.write(text.encode() + b"\n")


def parse_json(data: bytes | str, where: object, large: Callable[[str], Any] | None = None) -> Any:
    """The content of JSON in UTF-8 or, where it says so, UTF-16, with or without a byte order mark.

    large: makes something of the digits of whole numbers, where one has 19 or more. Raises ValueError, naming `where` and
    the place, for what is not JSON, is nested too deeply or, without `large`, holds a whole number that 64 bits do not, and,
    naming the key, for an object in which one stands twice.
    """
    twice: list[tuple[str, str]] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(made := dict(pairs)) != len(pairs):
            place = next((f", of {key} {value!r:.40}" for key, value in pairs if key in ("id", "file_name")), "")
            twice.extend((key, place) for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return made

    text = data if isinstance(data, str) else _decoded(data, where)
    try:
        numbers = (large or _whole_number) if re.search(r"\d{19}", text) else None
        found = json.loads(text, parse_int=numbers, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}:{error.lineno}: not JSON (column {error.colno}: {error.msg})") from None
    except RecursionError:
        raise ValueError(f"{where}:{_line(text, _deep(text))}: not JSON of ours (brackets nested too deeply)") from None
    except ValueError as error:
        digits = re.search(r"\d{21}", text)
        raise ValueError(
            f"{where}:{_line(text, digits.start() if digits else 0)}: not JSON of ours ({error})"
        ) from None
    if twice:
        key, place = twice[0]
        raise ValueError(
            f"{where}: the key {key!r:.40} stands twice in one object{place} ({len(twice)} such in all): keep one; where two"
            " files were joined, join their lists"
        )
    return found


def _whole_number(digits: str) -> int:
    if len(digits) > 20 or abs(value := int(digits)) >= 1 << 64:
        raise ValueError(f"a number of {len(digits.lstrip('-'))} digits, {digits[:12]}...; 64 bits hold no such number")
    return value


def _decoded(data: bytes, where: object) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: {not_text(error)}; save it as UTF-8") from None


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _deep(text: str, limit: int = 500) -> int:
    """Return the first position where brackets are `limit` deep."""
    depth = 0
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > limit:
            return found.start()
    return 0


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a file of `write_json`. Raises ValueError with the file's name if it is anything else."""
    data = parse_json(read_bytes(Path(path)), path)
    if not isinstance(data, dict) or data.pop("format_version", None) != FORMAT_VERSION:
        raise ValueError(f"{path}: not a file of format_version {FORMAT_VERSION}")
    return data


def read_text(path: str | Path) -> str:
    """Return a file's text, UTF-8 with or without a byte order mark. Raises ValueError with file and place if it is not
    UTF-8."""
    try:
        return read_bytes(Path(path)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {not_text(error)}; save it as UTF-8") from None


def not_text(error: UnicodeDecodeError) -> str:
    """Describe text that cannot be decoded, with its place."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"line {line}: the byte 0x{error.object[error.start]:02x} is not {error.encoding.upper()}"


def write_sealed(path: str | Path, data: dict[str, Any]) -> None:
    """Write as `write_json`, with a digest of the content."""
    write_json(path, {**data, "digest": _seal(data)})


def read_sealed(path: str | Path) -> dict[str, Any]:
    """Read a file of `write_sealed`. Raises ValueError with the file's name if its form or its digest does not match."""
    data = read_json(path)
    if data.pop("digest", None) != _seal(data):
        raise ValueError(f"{path}: its digest does not match its content; it was changed or damaged")
    return data


def _seal(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
