"""Commands as a person uses them, in a process of their own or here, and a small trained run; its fixtures are conftest's."""

import dataclasses
import os
import runpy
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jaxmarks import experiment
from jaxmarks.training import checkpoint, log
from pipelines import synthetic
from pipelines.images import decode
from pipelines.runs import run_data, run_folder
from tests.pipelines.sources.formats.test_contest import contest_folder
from tests.tiny import CONFIG

ROOT = Path(__file__).parents[1]
SMALL = ("--model", "resnet18", "--size", "32", "--batch", "4", "--log-every", "1", "--workers", "2")


def begin(script: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, arguments)]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known)


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def done(script: str, *arguments: object) -> str:
    """What a command that ends well prints."""
    code, out, err = end(begin(script, *arguments))
    assert code == 0 and "Traceback" not in err, err
    return out


def photographs(part: str, count: int) -> dict:
    """{name: (a file, five points)}: number 3 is cut off, number 5 missing."""
    drawn = [synthetic.draw(i, part=part, num_points=5) for i in range(count)]
    files = [decode.encode_jpeg(face.image) for face in drawn]
    files[3], files[5] = files[3][: len(files[3]) // 2], None
    return {f"{part}{i:02d}.jpg": (data, face.truth) for i, (data, face) in enumerate(zip(files, drawn, strict=True))}


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> tuple[Path, Path, str]:
    """(data, run folder, what training said) of six steps on 24 images."""
    root = tmp_path_factory.mktemp("trained")
    asked = {f"test{i:02d}.jpg": [4, i % 4] for i in reversed(range(8))}
    data = contest_folder(root / "data", photographs("train", 24), photographs("test", 8), asked)
    return data, root / "runs" / "one", done("train", *training(data, root / "runs"))


def training(data: Path, runs: Path) -> tuple:
    return ("--data", data, "--runs", runs, "--name", "one", "--steps", 6, *SMALL)


def begun(root: Path, **settings) -> Path:
    """A run folder at step 0: for what is around a network, its first weights serve as well as trained ones."""
    config = dataclasses.replace(CONFIG, cache=False, **settings)
    made = run_folder.create(root, config, run_data.of_config(config))
    plan = experiment.assemble(config, made.key, made.scheme, len(made.parts["train"]))
    checkpoint.save(root, plan.initial_state(), 0.5, {name: 0 for name in log.FILES}, anchor=True)
    return root


@pytest.fixture
def command(monkeypatch, capsys):
    """A command run here and now, which is quicker than a process of its own: (exit code, what it printed)."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hooks = sys.unraisablehook, threading.excepthook

    def call(script: str, *arguments: object):
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
        return caught.value.code, capsys.readouterr()

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.unraisablehook, threading.excepthook = hooks


@pytest.fixture
def rejected(command):
    """The one line of a command that must be rejected."""

    def call(script: str, *arguments: object) -> str:
        code, said = command(script, *arguments)
        assert code == 2 and said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
        return said.err

    return call
