"""A disk that takes no more of a shard: one line that names it, and nothing left behind."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.packing import shards

ROOT = Path(__file__).parents[3]
PROGRAM = """
import resource
from pathlib import Path
from pipelines.packing import shards
resource.setrlimit(resource.RLIMIT_FSIZE, (7, resource.RLIM_INFINITY))
try:
    with shards.writing(Path("a.array_record")) as writer:
        for _ in range({count}):
            writer.write(bytes(100_000))
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.parametrize("count", [1, 100])
def test_it_is_told_with_the_name_of_the_shard(tmp_path, count):
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM.format(count=count)]
    said = subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True, timeout=60)
    assert said.stdout == f"{errno.EFBIG} a.array_record\n", said.stderr
    assert not list(tmp_path.iterdir())


def test_where_it_fails_at_the_end_it_is_named_as_well(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught, shards.writing(tmp_path / "a"):
        pass
    assert caught.value.filename == str(tmp_path / "a") and not list(tmp_path.iterdir())


def test_what_the_block_raises_is_raised(tmp_path):
    with pytest.raises(RuntimeError, match="its own"), shards.writing(tmp_path / "a"):
        raise RuntimeError("its own")
    assert not list(tmp_path.iterdir())
