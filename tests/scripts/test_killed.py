"""A run that is killed at any instant, stopped, damaged or started twice ends as if nothing had been.

The quick half trains a network of one matrix in this process; the slow half starts scripts/train.py and kills it.
"""

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from jaxmarks.training import checkpoint, log
from tests.jaxmarks.training.test_session import _digest, _files, _sit, machinery, unbroken  # noqa: F401  fixtures

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax, after damage


# What a kill may leave behind


def ends_the_same(root: Path, machinery, unbroken) -> bool:  # noqa: F811
    """Goes on with the run in `root`, and holds what it ends with against the unbroken run."""
    last = _sit(root, machinery)
    template = machinery[0].template()
    (_, best), (_, known) = (checkpoint.require(r, template, "best") for r in (root, unbroken[0]))
    assert (best.step, best.digest, best.nme) == (known.step, known.digest, known.nme)
    return _digest(last) == _digest(unbroken[1]) and _files(root) == _files(unbroken[0])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, machinery) -> Path:  # noqa: F811
    """A run that was stopped after seven steps: its checkpoints are of 0, 3, 6 (the best) and 7."""
    root = tmp_path_factory.mktemp("stopped")
    _sit(root, machinery, stop_after=7)
    assert [c.step for c in checkpoint.commits(root)][-2:] == [6, 7]
    return root


@pytest.fixture
def run(tmp_path, stopped) -> Path:
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def unfinished(root: Path) -> None:
    """Checkpoints of steps to come: one with no more than its folder, one half written, one whole but for its commit."""
    folders = [root / "checkpoints" / f"{step:08d}" for step in (8, 9, 12)]
    folders[0].mkdir()
    for folder in folders[1:]:
        shutil.copytree(root / "checkpoints/00000007", folder)
        (folder / "commit.json").rename(folder / "commit.json.tmp")
    for path in sorted(p for p in folders[1].rglob("*") if p.is_file())[::2]:
        os.truncate(path, path.stat().st_size // 2)


def torn(root: Path) -> None:
    """The last line that was being written."""
    for name in ("metrics.jsonl", "timing.jsonl"):
        with open(root / name, "ab") as file:
            file.write(b'{"step": 8, "split": "train", "lo')


def longer(root: Path) -> None:
    """Lines and rows of steps that no checkpoint counts."""
    with open(root / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 8, "split": "train", "loss": 0.5}\n' * 3)
    with open(root / "examples.bin", "ab") as file:
        file.write(bytes(range(256)) * 2)


def half_pruned(root: Path) -> None:
    """An old checkpoint of which some files are gone, its commit not yet."""
    shutil.copytree(root / "checkpoints/00000006", root / "checkpoints/00000005")
    commit = root / "checkpoints/00000005/commit.json"
    commit.write_text(commit.read_text().replace('"step": 6', '"step": 5').replace("0.14", "0.94"))
    for path in sorted(p for p in (root / "checkpoints/00000005/state").rglob("*") if p.is_file())[::2]:
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    "leavings", [(unfinished,), (torn,), (longer,), (half_pruned,), (unfinished, longer, torn, half_pruned)]
)
def test_what_a_kill_leaves_behind_changes_nothing(run, machinery, unbroken, leavings):  # noqa: F811
    for leave in leavings:
        leave(run)
    assert ends_the_same(run, machinery, unbroken)


class Instants:
    """Copies of a folder before each operation on a file in it, in whatever thread: what a kill there would leave."""

    def __init__(self, root: Path, out: Path):
        self._root, self._out, self._lock = str(root), out, threading.RLock()
        self._copying, self._last, self.found = False, None, []
        self.watching = True
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        watched = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
        if not self.watching or event not in watched or not str(arguments[0]).startswith(self._root):
            return
        with self._lock:
            if self._copying:
                return
            self._copying = True
            try:
                self._copy()
            finally:
                self._copying = False

    def _copy(self) -> None:
        paths = sorted(Path(self._root).rglob("*"))
        seen = [(str(p), p.stat().st_size) for p in paths if p.is_file()] + [str(p) for p in paths if p.is_dir()]
        if seen != self._last:
            self._last = seen
            copy = self._out / f"{len(self.found):04d}"
            with contextlib.suppress(shutil.Error):  # a file that orbax renames meanwhile
                shutil.copytree(self._root, copy)
            self.found.append(copy)


@pytest.mark.slow
def test_killed_between_two_operations_on_files_it_ends_the_same(tmp_path, machinery, unbroken):  # noqa: F811
    (tmp_path / "run").mkdir()
    instants = Instants(tmp_path / "run", tmp_path)
    try:
        _sit(tmp_path / "run", machinery)
    finally:
        instants.watching = False
    assert len(instants.found) > 20
    for copy in np.random.RandomState(0).permutation(instants.found)[:8]:
        assert ends_the_same(Path(copy), machinery, unbroken), copy


# Damage


def flip(path: Path, random: np.random.RandomState) -> None:
    """One bit of a file."""
    data = bytearray(path.read_bytes())
    data[random.randint(len(data))] ^= 1 << random.randint(8)
    path.write_bytes(data)


def damaged(root: Path, template, caplog) -> bool:
    """Whether the newest checkpoint of a run is noticed as damaged; if not, it is what was saved."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        state, commit = checkpoint.require(root, template, "newest")
    told = [r.message for r in caplog.records if "cannot be used" in r.message]
    assert commit.step == (6 if told else 7) and _digest(state) == commit.digest
    assert all("\n" not in line for line in told)
    return bool(told)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_in_any_file_of_a_checkpoint_is_noticed_or_was_never_read(run, machinery, caplog, seed):  # noqa: F811
    random, noticed = np.random.RandomState(seed), {}
    template = machinery[0].template()
    for path in sorted(p for p in (run / "checkpoints/00000007").rglob("*") if p.is_file() and p.stat().st_size):
        whole = path.read_bytes()
        flip(path, random)
        noticed[path.name] = damaged(run, template, caplog)
        path.write_bytes(whole)
    assert noticed.pop("commit.json") and sum(noticed.values()) >= 3


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_the_commit_is_noticed(run, machinery, caplog):  # noqa: F811
    path, template, random = (
        run / "checkpoints/00000007/commit.json",
        machinery[0].template(),
        np.random.RandomState(0),
    )
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << random.randint(8)
        path.write_bytes(changed)
        assert damaged(run, template, caplog), bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("files", ["state/**/*", "commit.json"])
@pytest.mark.parametrize("stop_after", [6, 7])
def test_damage_is_passed_over_and_the_run_ends_the_same(tmp_path, machinery, unbroken, files, stop_after):  # noqa: F811
    """Step 6 is the best so far: it must be saved anew."""
    _sit(tmp_path, machinery, stop_after=stop_after)
    found = [p for p in (tmp_path / f"checkpoints/{stop_after:08d}").glob(files) if p.is_file()]
    largest = max(found, key=lambda p: p.stat().st_size)
    flip(largest, np.random.RandomState(0))
    assert ends_the_same(tmp_path, machinery, unbroken)


# The command, killed


STEPS = 300
FLAGS = ("--data", "drawn:40:5", "--model", "resnet18", "--size", 32, "--batch", 4, "--steps", STEPS, "--log-every", 5,
         "--val-every", 50, "--val-fraction", 0.1, "--save-minutes", 0.01, "--workers", 2)  # fmt: skip


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """A folder in which JAX keeps what it compiled: a start is then of seconds."""
    return tmp_path_factory.mktemp("compiled")


@contextlib.contextmanager
def begun(script: str, *flags: object, cache: Path | None = None) -> Iterator[subprocess.Popen]:
    """A command on one device; it does not outlive the context."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    known.pop("JAX_COMPILATION_CACHE_DIR", None)
    if cache is not None:
        known |= {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-u", str(ROOT / "scripts" / script), *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(script: str, *flags: object, cache: Path | None = None) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command."""
    with begun(script, *flags, cache=cache) as process:
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err


def training(root: Path) -> tuple:
    return ("train.py", *FLAGS, "--runs", root.parent, "--name", root.name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, compiled) -> Path:
    """A run of the command that nobody disturbed."""
    root = tmp_path_factory.mktemp("runs") / "whole"
    code, _, err = ended(*training(root), cache=compiled)
    assert code == 0, err
    return root


def left_by(root: Path) -> list[bytes]:
    return [(root / name).read_bytes() for name in ("final.json", "metrics.jsonl", "examples.bin")]


def starting(process: subprocess.Popen, root: Path, random: np.random.RandomState) -> None:
    time.sleep(random.uniform(0, 2))


def building(process: subprocess.Popen, root: Path, random: np.random.RandomState) -> None:
    """The step is being compiled, or read."""
    assert next(line for line in process.stdout if f" of {STEPS} steps" in line)
    time.sleep(random.uniform(0, 3))


def stepping(process: subprocess.Popen, root: Path, random: np.random.RandomState) -> None:
    """Up to five lines of the log after the first of this session, which may hold a validation or a checkpoint."""
    assert next(line for line in process.stderr if line.startswith("step "))
    timing = root / "timing.jsonl"
    wanted = timing.read_bytes().count(b"\n") + random.randint(5)
    until(process, lambda: timing.read_bytes().count(b"\n") >= wanted)
    time.sleep(random.uniform(0, 0.1))


def saving(process: subprocess.Popen, root: Path, random: np.random.RandomState) -> None:
    """A checkpoint is there without its commit."""
    assert next(line for line in process.stderr if line.startswith("step "))
    until(process, lambda: bool(unfinished_of(root)))
    time.sleep(random.choice([0, 0, 0.1]))


def until(process: subprocess.Popen, true: Callable[[], bool]) -> None:
    while not true():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def unfinished_of(root: Path) -> list[Path]:
    return [p for p in root.glob("checkpoints/*") if not (p / "commit.json").exists()]


@pytest.mark.slow
def test_killed_five_times_at_random_instants_the_command_ends_the_same(whole, compiled):
    random, root, torn_saves = np.random.RandomState(0), whole.parent / "killed", 0
    instants = [starting, building, stepping, saving, saving]
    for number in random.permutation(len(instants)):
        with begun(*training(root), cache=compiled) as process:
            instants[number](process, root, random)
            assert process.poll() is None, process.communicate()
            process.kill()
            assert process.wait() == -signal.SIGKILL
        torn_saves += bool(unfinished_of(root))
    assert torn_saves >= 1 and not (root / "final.json").exists()
    code, out, err = ended(*training(root))
    assert code == 0 and re.search(rf"going on from step [1-9]\d* of {STEPS} steps", out), err
    assert left_by(root) == left_by(whole)


@pytest.fixture(scope="module")
def terminated(whole, compiled) -> tuple[Path, int]:
    """(run folder, step) of a run that was asked to end by SIGTERM, and had rejected a second writer before."""
    root = whole.parent / "terminated"
    with begun(*training(root), cache=compiled) as process:
        assert next(line for line in process.stderr if line.startswith("step "))
        code, out, err = ended(*training(root), cache=compiled)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=120)
    told = f"error: {root} is being trained by another process; wait for it, or take another --name\n"
    assert (code, err) == (2, told) and "steps" not in out
    assert process.returncode == 143 and "Traceback" not in errors
    return root, int(re.search(r"saved at step (\d+); the same command resumes", said)[1])


@pytest.mark.slow
def test_a_second_writer_is_rejected_sigterm_saves_and_the_same_command_resumes_past_damage(
    terminated, whole, compiled
):
    root, step = terminated
    found = checkpoint.commits(root)
    assert 0 < step == found[-1].step < STEPS
    files = (root / f"checkpoints/{step:08d}").rglob("*")
    flip(max(files, key=lambda p: p.stat().st_size), np.random.RandomState(0))
    code, out, err = ended(*training(root), cache=compiled)
    (told,) = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert code == 0 and f"checkpoint of step {step} cannot be used: " in told
    assert f"going on from step {found[-2].step} of {STEPS} steps" in out
    assert left_by(root) == left_by(whole)


@pytest.mark.slow
def test_twenty_random_steps_of_the_run_are_taken_again_bit_for_bit(whole, compiled):
    random = np.random.RandomState(0)
    asked = np.sort(random.choice(STEPS, 20, replace=False))
    anchors = [c.step for c in checkpoint.commits(whole)]
    begins = {int(step): max(a for a in anchors if a <= step) for step in asked}
    assert len(set(begins.values())) >= 3
    for begin in set(begins.values()):
        steps = [s for s, b in begins.items() if b == begin]
        flags = ("--run", whole, "--step", f"{steps[0]}:{steps[-1]}", "--verify")
        code, out, err = ended("replay.py", *flags, cache=compiled)
        assert code == 0 and f"from the checkpoint of step {begin}: " in out, err
        for step in steps:
            assert re.search(rf"^step {step}: .*: equal, bit for bit$", out, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("field", ["grad_norm", "each"])
def test_a_flipped_bit_in_the_log_of_a_step_is_reported_by_its_step_and_field(whole, compiled, tmp_path, field):
    root = Path(shutil.copytree(whole, tmp_path / "run"))
    dtype = log.example_dtype(4)
    place = 103 * dtype.itemsize + dtype.fields[field][1]
    data = bytearray((root / "examples.bin").read_bytes())
    data[place] ^= 1
    (root / "examples.bin").write_bytes(data)
    code, out, err = ended("replay.py", "--run", root, "--step", "102:104", "--verify", cache=compiled)
    lines = [line for line in out.splitlines() if line.startswith("step 10")]
    assert code == 1 and not err.strip() and "3 steps verified, 1 different" in out
    assert [("equal, bit for bit" in line) for line in lines] == [True, False, True]
    assert lines[1].startswith("step 103: ") and f": DIFFERENT in {field} (logged: " in lines[1]
