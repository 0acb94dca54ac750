"""The logs of a run are what its checkpoints counted, or that is said and nothing goes on."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxmarks.training import checkpoint, log
from tests.jaxmarks.training.test_session import _digest, _files, _sit, machinery, unbroken  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, machinery) -> Path:  # noqa: F811
    """A run stopped after seven of twelve steps."""
    root = tmp_path_factory.mktemp("stopped")
    _sit(root, machinery, stop_after=7)
    return root


@pytest.fixture
def run(tmp_path, stopped) -> Path:
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def content(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in log.FILES if (root / name).exists()}


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 3)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["metrics.jsonl", "examples.bin"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_log_stops_the_run_before_anything_is_written(run, machinery, name, damage):  # noqa: F811
    damage(run / name)
    before = content(run)
    with pytest.raises(ValueError, match=rf"{name} .*checkpoint of step [67].*delete the checkpoints after") as caught:
        _sit(run, machinery)
    assert "\n" not in str(caught.value) and ("it is whole." in str(caught.value)) == (damage != Path.unlink)
    assert content(run) == before


def test_as_the_message_says_the_run_resumes_from_where_its_log_is_whole(run, machinery, unbroken):  # noqa: F811
    cut(run / "examples.bin")
    shutil.rmtree(run / "checkpoints/00000007")
    assert _digest(_sit(run, machinery)) == _digest(unbroken[1]) and _files(run) == _files(unbroken[0])


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_damaged_rates_are_reported_and_stop_nothing(run, machinery, unbroken, caplog, damage):  # noqa: F811
    damage(run / "timing.jsonl")
    with caplog.at_level(logging.WARNING):
        assert _digest(_sit(run, machinery)) == _digest(unbroken[1])
    assert _files(run) == _files(unbroken[0]) and "timing.jsonl" in caplog.text
    caplog.clear()
    _sit(run, machinery)  # its next checkpoints count what is there
    assert not caplog.text and b"\0" not in (run / "timing.jsonl").read_bytes()


def as_of_version(root: Path, version: int) -> None:
    """The run's checkpoints as an older version wrote them."""
    for path in root.glob("checkpoints/*/commit.json"):
        fields = json.loads(path.read_text())
        for name in ("seal", "digests", "files"):
            del fields[name]
        fields["format_version"] = version
        path.write_text(json.dumps({**fields, "seal": checkpoint._seal(fields)} if version > 1 else fields))


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_of_an_older_version_resumes_with_one_line(run, machinery, unbroken, caplog, version):  # noqa: F811
    as_of_version(run, version)
    with caplog.at_level(logging.WARNING):
        assert _digest(_sit(run, machinery)) == _digest(unbroken[1])
    (line,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "no digests" in line and "step 7" in line and _files(run) == _files(unbroken[0])
    assert all(c.digests for c in checkpoint.commits(run) if c.step > 7)


def test_a_log_shorter_than_an_older_version_counted_is_rejected_too(run, machinery):  # noqa: F811
    as_of_version(run, 2)
    cut(run / "examples.bin")
    with pytest.raises(ValueError, match=r"examples.bin .*expected \d+ bytes, got \d+"):
        _sit(run, machinery)


@pytest.mark.parametrize(
    "change", [{"format_version": 1}, {"format_version": 0}, {"seal": ""}, {"nme": 0.001}, {"seal": None}]
)
def test_a_commit_of_any_version_is_sealed(run, change):
    path = run / "checkpoints/00000007/commit.json"
    fields = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not None}))
    assert 7 not in [c.step for c in checkpoint.commits(run)]


@pytest.mark.parametrize("offset", [-1, "7", 2.5, None])
def test_what_an_unsealed_commit_counts_must_be_lengths(run, offset):
    as_of_version(run, 1)
    path = run / "checkpoints/00000007/commit.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "offsets": {**fields["offsets"], "examples.bin": offset}}))
    assert 7 not in [c.step for c in checkpoint.commits(run)]


def test_where_a_log_is_damaged_is_reported_by_the_checkpoints_around(run):
    path, counted = run / "examples.bin", checkpoint.commits(run)
    assert log.damage(run, counted, "examples.bin") == ""
    data = bytearray(path.read_bytes())
    data[len(data) // 7 * 4 + 1] ^= 1  # step 4: between the checkpoints of 0 and 6
    path.write_bytes(data)
    told = log.damage(run, counted, "examples.bin")
    assert "checkpoint of step 6" in told and "up to step 0" in told


def test_orbax_is_given_no_file_that_was_changed(run, machinery, monkeypatch):  # noqa: F811
    from orbax.checkpoint import v1 as ocp

    opened, load = [], ocp.load_pytree
    monkeypatch.setattr(ocp, "load_pytree", lambda path: opened.append(path.parent.name) or load(path))
    (run / "checkpoints/00000007/state/more").write_bytes(b"")  # one file more is a change as well
    assert checkpoint.require(run, machinery[0].template(), "newest")[1].step == 6
    assert opened == ["00000006"]


FULL = """
import errno, resource, signal, sys
from pathlib import Path
import numpy as np
from jaxmarks.training import checkpoint
from tests.jaxmarks.training.test_checkpoint import OFFSETS, _state
sys.unraisablehook = lambda _: None  # orbax closes the event loop under the writes that have not failed yet
root = Path(sys.argv[1])
checkpoint.save(root, _state(10), None, OFFSETS)
large = _state(20)._replace(params={"x": np.random.RandomState(0).rand(1 << 20)})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, most))
try:
    checkpoint.save(root, large, None, OFFSETS)
except OSError as error:
    assert error.errno == errno.EFBIG and error.filename == str(root / "checkpoints/00000020"), error
else:
    raise AssertionError("saved")
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert [c.step for c in checkpoint.commits(root)] == [10]
assert checkpoint.save(root, large, None, OFFSETS).step == 20
"""


def test_a_disk_that_takes_no_more_is_reported_with_the_folder_and_leaves_no_half_checkpoint(tmp_path):
    known = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], env=known, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
