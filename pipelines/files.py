"""Files written whole or not at all."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

FORMAT_VERSION = 1


@contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """A file open for writing bytes under a temporary name, renamed to `path` when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    try:
        data = json.loads(Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(data, dict) or data.pop("format_version", None) != FORMAT_VERSION:
        raise ValueError(f"{path}: not a file of format_version {FORMAT_VERSION}")
    return data
