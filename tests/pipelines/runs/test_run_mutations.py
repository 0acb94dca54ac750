"""Whatever happens to the files of a run folder: one line says so, or the result is the very one it would have been.

Training goes on, steps are taken again and networks and fits are opened as the commands do it, with a network of one
matrix that is compiled once, so that hundreds of mutations take minutes. The commands themselves are tried on a few.
"""

import logging
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from jaxmarks import experiment
from jaxmarks.evaluation import summary
from jaxmarks.training import checkpoint, log, replay, session, sharding
from pipelines.inference import fitted
from pipelines.inference.fitted import Fitted
from pipelines.runs import run_folder
from pipelines.synthetic.drawn import DrawnSource
from tests.jaxmarks.training.test_session import SETTINGS, _batches, _digest
from tests.tiny import LINEAR

HOSTILE = [b"nan", b"1e999", b"9" * 5000, b"[" * 100_000, b'{"a":' * 9000, b"\0" * 4096, b"\xff\xfe", b"\xed\xa0\x80", b"null",
           b'"', b"-1", b"../", b"{}", b"4294967296", b"1e12", b"true", b",", b"\n"]  # fmt: skip
SECONDS, BYTES = 60, 1_500_000_000  # of a mutation; of all of them together
PURPOSE = {"networks": ["one"], "views": [["none"]]}
FIT = Fitted(np.array([0.25, 0.75]), 12, np.array([1.0, 2, 3]), None, "too few")
WAYS = ("train", "replay", "predict")


def mutated(data: bytes, random: np.random.RandomState) -> bytes:
    """A file's content with one change."""
    at, end = sorted(random.randint(0, len(data) + 1, 2).tolist())
    hostile = HOSTILE[random.randint(len(HOSTILE))]
    numbers = [b"%d" % n for n in random.randint(0, 20, 2)]
    return [
        lambda: data[:at] + bytes([data[at] ^ (1 << random.randint(8))]) + data[at + 1 :] if at < len(data) else b"",
        lambda: data[:at],
        lambda: data[:at] + data[end:],
        lambda: data[:at] + hostile + data[at:],
        lambda: data[:at] + hostile + data[at + len(hostile) :],
        lambda: data + data[at:end],
        lambda: data.replace(*numbers),
        lambda: bytes(len(data)),
    ][random.randint(8)]()


def spoil(root: Path, random: np.random.RandomState) -> str:
    """Mutates a file of a run folder, takes it away, or puts another in its place; its name, empty where it is as before."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.relative_to(root).parts[0] != "log")
    kinds = sorted({p.relative_to(root).parts[0] for p in files})  # each as often, though checkpoints have most files
    kind = kinds[random.randint(len(kinds))]
    of_kind = [p for p in files if p.relative_to(root).parts[0] == kind]
    path, way = of_kind[random.randint(len(of_kind))], random.randint(10)
    before = path.read_bytes()
    if way == 0:
        path.unlink()
        return f"{path.relative_to(root)} is gone"
    after = files[random.randint(len(files))].read_bytes() if way == 1 else mutated(before, random)
    path.write_bytes(after)
    return "" if before == after else f"{path.relative_to(root)}: {before[:2000]!r} -> {after[:2000]!r}"


class Made(NamedTuple):
    """A run of twelve steps, stopped after seven and whole, and what computes it."""

    root: Path
    plan: experiment.Experiment
    take: object
    whole: tuple  # what each way gives of a run that nobody spoiled
    stopped: tuple


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    root = tmp_path_factory.mktemp("runs")
    config = SETTINGS.__class__(**{**SETTINGS.__dict__, "data": "drawn:64:5", "cache": False})
    run_folder.create(root / "stopped", config, DrawnSource(config.data))
    run = run_folder.load(root / "stopped")
    plan = assembled(run)
    take = plan.training_step()
    fitted.write(run.root, PURPOSE, FIT)
    go_on(run.root, take, 7)
    shutil.copytree(run.root, root / "whole")
    go_on(root / "whole", take)
    run_folder.finish(run_folder.load(root / "whole"), 12, "d")
    nothing = Made(root, plan, take, (), ())
    whole, stopped = (tuple(result(way, root / name, nothing) for way in WAYS[1:]) for name in ("whole", "stopped"))
    trained = logs(root / "whole"), _digest(checkpoint.require(root / "whole", plan.template(), "newest")[0])
    return Made(root, plan, take, (trained, *whole), (trained, *stopped))


def assembled(run: run_folder.Run) -> experiment.Experiment:
    mesh = sharding.mesh(jax.devices()[:1])
    return experiment.assemble(run.config, run.key, run.scheme, len(run.parts["train"]), mesh)._replace(model=LINEAR)


def go_on(root: Path, take, until: int = 10**9) -> str:
    """Trains a run on, as scripts/train.py does; the digest of its last state."""
    plan = assembled(run_folder.load(root))
    found = checkpoint.restore(root, plan.template())
    run_folder.other_versions(run_folder.load(root))
    if found and found[1].step >= plan.steps:
        log.restore(root, found[1])
        return _digest(found[0])
    state, commit = (plan.place(found[0]), found[1]) if found else (plan.initial_state(), None)
    taken = int(state.step)

    def batches():
        nonlocal taken
        for batch in _batches(int(state.step)):
            taken += 1
            yield batch

    def judge(s, rows, first):
        return summary.Judged({"nme": 1.0 / (1 + int(s.step) % 7)}, {})

    last = state
    for event in session.train(root, plan, state, commit, take, batches(), judge, lambda: taken >= until):
        last = event.state
    return _digest(last)


def logs(root: Path) -> tuple:
    return tuple((root / name).read_bytes() for name in ("metrics.jsonl", "examples.bin"))


def result(way: str, root: Path, made: Made) -> object:
    """What training on, replaying steps 3 to 6, or opening a run for prediction, evaluation and export comes to."""
    if way == "train":
        digest = go_on(root, made.take)
        return logs(root), digest
    run = run_folder.load(root)
    plan = assembled(run)
    if way == "replay":
        damaged = log.damage(root, checkpoint.commits(root), "examples.bin")
        logged = log.read_examples(root, run.config.batch)
        if len(logged) < 7:
            raise ValueError(f"the log of {root} has {len(logged)} steps")
        state = plan.place(checkpoint.anchor_before(root, plan.template(), 3))
        steps = replay.replayed(made.take, state, _batches(int(state.step)), logged, 3, 6)
        return [replay.describe(r) for r in steps], damaged
    state, commit = checkpoint.require(root, plan.template(), "best")
    fit = fitted.read(root, PURPOSE)
    return run.config, run.parts, commit.step, _digest(state), fit and str(fitted.to_data(fit))


def late(number: int, frame: object) -> None:
    raise AssertionError(f"not done after {SECONDS} s")


@pytest.fixture
def in_time() -> Iterator[None]:
    """A mutation that hangs fails; so does one that takes the machine's memory."""
    before, peak = signal.signal(signal.SIGALRM, late), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024 < BYTES


def sound(made: Made, tmp_path: Path, caplog, random: np.random.RandomState) -> bool:
    """Spoils a copy of a run and opens it in one of the ways; whether it was noticed."""
    name, way = ("whole", "stopped")[random.randint(2)], random.randint(len(WAYS))
    root = tmp_path / "run"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(made.root / name, root)
    what = spoil(root, random)
    caplog.clear()
    signal.alarm(SECONDS)
    try:
        found = result(WAYS[way], root, made)
    except (ValueError, OSError) as error:
        assert str(error).count("\n") == 0 and len(str(error)) < 1000, (what, error)
        assert what, error
        return True
    finally:
        signal.alarm(0)
    told = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert all(line.count("\n") == 0 for line in told), (what, told)
    expected = (made.whole if name == "whole" else made.stopped)[way]
    if WAYS[way] == "train":  # whatever was said, a run ends as it would have
        assert found == expected, (what, told)
    elif WAYS[way] == "replay":
        assert found == expected or told or found[1] or any("DIFFERENT" in line for line in found[0]), (what, found)
    else:
        assert found == expected or told or what.startswith("fitted"), (what, told, found)
    return bool(told) or found != expected


def tried(made: Made, tmp_path: Path, caplog, seed: int, count: int) -> None:
    random = np.random.RandomState(seed)
    with caplog.at_level(logging.WARNING):
        noticed = sum(sound(made, tmp_path, caplog, random) for _ in range(count))
    assert noticed >= count // 5


@pytest.mark.slow
def test_a_run_folder_with_a_spoiled_file(made, tmp_path, caplog, in_time):
    tried(made, tmp_path, caplog, 0, 25)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax, after damage
@pytest.mark.parametrize("seed", range(1, 7))
def test_a_run_folder_with_a_spoiled_file_six_hundred_times(made, tmp_path, caplog, in_time, seed):
    tried(made, tmp_path, caplog, seed, 100)


COMMANDS = {
    "train": (),
    "replay": ("--step", "4", "--verify"),
    "predict": ("--out", "out/p.csv"),
    "evaluate": ("--out", "out/e.json", "--part", "val"),
    "export": ("--out", "out/n.stablehlo"),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", COMMANDS)
def test_each_command_rejects_a_spoiled_run_in_one_line(made, tmp_path, monkeypatch, command, script):
    monkeypatch.chdir(tmp_path)
    random, began = np.random.RandomState(0), time.monotonic()
    for name in ("config.json", "key.json", "split.json") * 4:
        root = tmp_path / "runs/run"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(made.root / "stopped", root)
        data = (root / name).read_bytes()
        if (changed := mutated(data, random)) == data:
            continue
        (root / name).write_bytes(changed)
        where = ("--data", "drawn:64:5") if script == "train" else ("--run", root)
        code, said = command(script, *where, *COMMANDS[script])
        assert code == 2 and said.err.startswith("error: ") and said.err.count("\n") == 1, (name, changed, said)
    assert time.monotonic() - began < SECONDS and not (tmp_path / "out").exists()
