"""Runs in several processes: one digest whatever their number, killed and resumed on another; losses, signals, restarts."""

import csv
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

pytestmark = [pytest.mark.slow, pytest.mark.bits]


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


@pytest.mark.parametrize(("processes", "devices"), [(1, 4), (2, 1), (2, 2), (4, 1)])
def test_with_shards_every_shape_ends_with_one_digest_and_one_log(runs, alone, processes, devices):
    name = f"on_{processes}_{devices}"
    assert trained(runs, name, processes, devices, *SHARDS) == alone
    for file in ("examples.bin", "metrics.jsonl"):
        ours, theirs = ((runs / which / file).read_bytes() for which in (name, "alone"))
        if file == "examples.bin":
            assert ours == theirs
    nme = [
        [json.loads(line)["nme"] for line in (runs / n / "metrics.jsonl").read_text().splitlines()]
        for n in (name, "alone")
    ]
    np.testing.assert_allclose(*nme, rtol=1e-5)


def killed_at(runs: Path, name: str, processes: int, devices: int, step: int, whom: int) -> None:
    """Start a run, and kill one of its processes once the log has so many steps; all must end."""
    flags = ("--grace", "5")
    more = ("--save-minutes", "0.01", *SHARDS)
    started = launch(processes, "train", *RUN, *more, "--runs", runs, "--name", name, devices=devices, flags=flags)
    path, width = runs / name / "examples.bin", log.example_dtype(16).itemsize
    until = time.monotonic() + 240
    while started.poll() is None and time.monotonic() < until:
        if path.is_file() and path.stat().st_size >= step * width:
            mine = subprocess.run(["pgrep", "-P", str(started.pid)], capture_output=True, text=True).stdout.split()
            if len(mine) == processes:
                os.kill(int(mine[whom]), signal.SIGKILL)
                break
        time.sleep(0.01)
    code, _, err = end(started)
    assert code in (0, 137), err
    assert "Traceback" not in err
    if code:
        assert f"process {whom} was ended by SIGKILL" in err


def test_killed_and_resumed_on_other_shapes_it_ends_with_the_same_digest(runs, alone):
    random, shapes = np.random.RandomState(0), [(1, 1), (2, 1), (1, 4), (4, 1), (2, 2), (1, 2)]
    for plan in range(2):
        name = f"plan{plan}"
        for step in (2, 7):
            processes, devices = shapes[random.randint(len(shapes))]
            killed_at(runs, name, processes, devices, step, random.randint(processes))
        processes, devices = shapes[random.randint(len(shapes))]
        assert trained(runs, name, processes, devices, *SHARDS) == alone


def test_without_shards_batches_are_the_same_bits_and_losses_agree(runs):
    final = [trained(runs, f"whole{n}", n, 1) for n in (1, 2)]
    assert [f["step"] for f in final] == [STEPS, STEPS]
    one, two = (log.read_examples(runs / f"whole{n}", 16) for n in (1, 2))
    np.testing.assert_array_equal(one["checksum"], two["checksum"])
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-5)


def test_sigterm_saves_at_one_step_and_the_same_command_resumes_with_a_note(runs):
    arguments = ("train", *RUN, "--runs", runs, "--name", "stopped")
    started = launch(2, *arguments)
    path = runs / "stopped/examples.bin"
    while started.poll() is None and not (path.is_file() and path.stat().st_size):
        time.sleep(0.01)
    started.send_signal(signal.SIGTERM)
    code, out, err = end(started)
    if code == 0:
        pytest.skip("it ended before the signal came")
    assert code == 143 and "Traceback" not in err, err
    assert re.search(r"\[0\] saved at step \d+; the same command resumes", out)
    code, out, err = end(launch(1, *arguments))
    assert code == 0 and "batches stay the same" in out and "2 x cpu of 2 processes" in out, out


def test_a_process_that_is_lost_at_the_start_is_started_again(runs):
    flags, arguments = ("--restarts", "1", "--grace", "5"), ("train", *RUN, *SHARDS, "--runs", runs, "--name", "again")
    started = launch(2, *arguments, flags=flags)
    path = runs / "again/examples.bin"
    while started.poll() is None and not (path.is_file() and path.stat().st_size):
        time.sleep(0.01)
    mine = subprocess.run(["pgrep", "-P", str(started.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(mine[1]), signal.SIGKILL)
    code, out, err = end(started)
    assert code == 0 and "starting all 2 processes again" in err, err


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


def test_evaluation_and_ranking_in_processes_give_the_same_numbers(runs, alone):
    done("evaluate", "--run", runs / "alone", "--out", runs / "one.json")
    done("rank", "--run", runs / "alone", "--out", runs / "rank1")
    for command, out in (("evaluate", "two.json"), ("rank", "rank2")):
        code, _, err = end(launch(2, command, "--run", runs / "alone", "--out", runs / out))
        assert code == 0, err
    one, two = (json.loads((runs / name).read_text()) for name in ("one.json", "two.json"))
    assert one["count"] == two["count"]
    np.testing.assert_allclose(one["nme"], two["nme"], rtol=1e-5)
    first, second = (list(csv.reader((runs / n / "review.csv").read_text().splitlines())) for n in ("rank1", "rank2"))
    assert sorted(row[0] for row in first) == sorted(row[0] for row in second)
    scores = [{row[0]: float(row[1]) for row in rows[1:]} for rows in (first, second)]
    np.testing.assert_allclose([scores[0][n] for n in scores[0]], [scores[1][n] for n in scores[0]], atol=0.02)


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
