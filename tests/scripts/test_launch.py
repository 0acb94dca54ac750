"""Runs in several processes: one digest whatever their number, killed and resumed on another; losses, signals, restarts."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxmarks.training import log
from tests.commands import ROOT, done, end

STEPS = 12
RUN = ("--data", "drawn:64:5", "--model", "resnet18", "--size", "32", "--batch", "16", "--steps", str(STEPS))
RUN = (*RUN, "--log-every", "2", "--val-every", "6", "--workers", "1", "--warmup", "0", "--lr", "1e-4")
SHARDS = ("--shards", "4")

pytestmark = pytest.mark.slow


def environment(devices: int = 1) -> dict[str, str]:
    """One CPU device a process unless asked otherwise."""
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    many = f" --xla_force_host_platform_device_count={devices}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags + many}


def launch(processes: int, *arguments: object, flags: tuple = (), devices: int = 1) -> subprocess.Popen:
    script = [sys.executable, str(ROOT / "scripts/launch.py"), "--processes", str(processes), *flags]
    return subprocess.Popen(
        [*script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(devices),
    )


def trained(runs: Path, name: str, processes: int, devices: int, *more: str) -> dict:
    """final.json of a run in so many processes with so many devices each."""
    code, out, err = end(launch(processes, "train", *RUN, *more, "--runs", runs, "--name", name, devices=devices))
    assert code == 0 and "Traceback" not in err, err
    assert "is finished at step" in out
    return json.loads((runs / name / "final.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def alone(runs) -> dict:
    """final.json of one process with one device and four shards."""
    return trained(runs, "alone", 1, 1, *SHARDS)


def begun(runs: Path, name: str, started: subprocess.Popen) -> bool:
    """Wait for the first steps in the log; whether the run goes on."""
    path, width = runs / name / "examples.bin", log.example_dtype(16).itemsize
    while started.poll() is None and not (path.is_file() and path.stat().st_size >= 2 * width):
        time.sleep(0.01)
    return started.poll() is None


def test_two_processes_of_two_devices_one_of_them_killed_and_all_started_again_end_with_the_same_digest(runs, alone):
    flags, arguments = ("--restarts", "1", "--grace", "5"), ("train", *RUN, *SHARDS, "--runs", runs, "--name", "again")
    started = launch(2, *arguments, flags=flags, devices=2)
    assert begun(runs, "again", started)
    mine = subprocess.run(["pgrep", "-P", str(started.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(mine[1]), signal.SIGKILL)
    code, _, err = end(started)
    assert code == 0 and "process 1 was ended by SIGKILL" in err and "starting all 2 processes again" in err, err
    assert "Traceback" not in err
    assert json.loads((runs / "again/final.json").read_text()) == alone
    assert (runs / "again/examples.bin").read_bytes() == (runs / "alone/examples.bin").read_bytes()


def test_sigterm_saves_at_one_step_and_one_process_resumes_to_the_same_digest(runs, alone):
    arguments = ("train", *RUN, *SHARDS, "--runs", runs, "--name", "stopped")
    started = launch(2, *arguments)
    assert begun(runs, "stopped", started)
    started.send_signal(signal.SIGTERM)
    code, out, err = end(started)
    assert code == 143 and "Traceback" not in err, err
    assert re.search(r"\[0\] saved at step \d+; the same command resumes", out)
    assert trained(runs, "stopped", 1, 1, *SHARDS) == alone


def test_without_shards_two_processes_have_the_losses_of_one_and_say_so_on_return(runs):
    [one, two] = [trained(runs, f"whole{n}", n, 1) and log.read_examples(runs / f"whole{n}", 16) for n in (1, 2)]
    np.testing.assert_allclose(one["loss"][:3], two["loss"][:3], rtol=1e-4)  # then rounding grows, as any does
    code, out, err = end(launch(1, "train", *RUN, "--runs", runs, "--name", "whole2"))
    assert code == 0 and "batches stay the same" in out and "2 x cpu of 2 processes" in out, out


def test_what_is_rejected_is_rejected_once_by_all(runs):
    code, _, err = end(
        launch(2, "train", *RUN, "--shards", "3", "--runs", runs, "--name", "no", flags=("--restarts", "3"))
    )
    assert code == 2 and "starting all" not in err
    assert "--shards must be a power of two" in err


@pytest.fixture(scope="module")
def predicted(runs, alone) -> Path:
    done("predict", *PREDICT(runs), "--out", runs / "one.csv")
    return runs / "one.csv"


def PREDICT(runs: Path) -> tuple:
    return ("--run", runs / "alone", "--data", "drawn:64:5", "--all-points")


def test_prediction_in_parts_and_in_processes_gives_the_same_bytes(runs, predicted, monkeypatch):
    code, _, err = end(launch(2, "predict", *PREDICT(runs), "--out", runs / "two.csv"))
    assert code == 0, err
    assert (runs / "two.csv").read_bytes() == predicted.read_bytes()
    done("predict", *PREDICT(runs), "--out", runs / "parts.csv", "--part", "0/2")
    done("predict", *PREDICT(runs), "--out", runs / "parts.csv", "--part", "1/2")
    done("predict", *PREDICT(runs), "--out", runs / "parts.csv", "--merge-parts")
    assert (runs / "parts.csv").read_bytes() == predicted.read_bytes()


def test_evaluation_in_processes_gives_the_same_numbers(runs, alone):
    done("evaluate", "--run", runs / "alone", "--out", runs / "one.json")
    code, _, err = end(launch(2, "evaluate", "--run", runs / "alone", "--out", runs / "two.json"))
    assert code == 0, err
    one, two = (json.loads((runs / name).read_text()) for name in ("one.json", "two.json"))
    assert one["count"] == two["count"]
    np.testing.assert_allclose(one["nme"], two["nme"], rtol=1e-5)


def test_packing_in_processes_gives_the_same_bytes(runs):
    done("prepare", "--data", "drawn:40:5", "--out", runs / "packed1")
    code, _, err = end(launch(2, "prepare", "--data", "drawn:40:5", "--out", runs / "packed2"))
    assert code == 0, err
    names = [sorted(p.name for p in (runs / f"packed{n}").iterdir()) for n in (1, 2)]
    assert names[0] == names[1]
    for name in names[0]:
        one, two = ((runs / f"packed{n}" / name).read_bytes() for n in (1, 2))
        assert one == two or name in ("card.json", "report.json"), name


def test_the_rows_of_processes_make_up_the_batch():
    from jaxmarks import processes

    for length, count in itertools.product((0, 1, 7, 64), (1, 2, 3, 5)):
        stretches = [range(length * n // count, length * (n + 1) // count) for n in range(count)]
        assert list(itertools.chain(*stretches)) == list(range(length))
    assert processes.share(5) == range(5)
