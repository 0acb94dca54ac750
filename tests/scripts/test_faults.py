"""Damage of every kind: in a data set as it is prepared, under a run that goes on, and in the reading of a file."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import jax
import pytest

from jaxmarks import experiment, keys, landmarks
from jaxmarks.config import Config
from jaxmarks.evaluation import summary
from jaxmarks.training import checkpoint, session, sharding
from pipelines import loader, synthetic
from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import seal
from pipelines.runs import run_folder
from pipelines.sources.tables import Images
from tests.jaxmarks.training.test_session import SETTINGS, STEPS, _batches, _digest
from tests.pipelines.packing.test_pack import some
from tests.pipelines.runs.test_run_folder import rejection
from tests.pipelines.sources.formats.test_contest import contest_folder
from tests.pipelines.test_loader import Shades, config
from tests.tiny import LINEAR

ROOT = Path(__file__).parents[2]


def begin(script: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known)


# A damaged set, prepared


@pytest.fixture(scope="session")
def damaged(tmp_path_factory) -> tuple[Path, int, str]:
    """(folder, exit code, what was said) of the bench on a small set."""
    out = tmp_path_factory.mktemp("damaged")
    process = begin("bench/damaged.py", "--data", "drawn:200:5", "--out", out, "--share", 0.3)
    said, err = process.communicate(timeout=120)
    return out, process.returncode, said + err


@pytest.fixture(scope="session")
def bench() -> ModuleType:
    """The bench as a module."""
    path = ROOT / "scripts/bench/damaged.py"
    spec = importlib.util.spec_from_file_location("damaged", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


@pytest.mark.slow
def test_every_damage_has_the_outcome_that_it_should_have(damaged, bench):
    out, code, said = damaged
    assert code == 0 and "every record had the outcome it should have" in said and "Traceback" not in said, said
    told = json.loads((out / "bench.json").read_text())
    assert not told["wrong"] and told["records"] >= 200 and told["ways"].pop("") > 100
    assert set(told["ways"]) == {*bench.IMAGES, *bench.ROWS} and min(told["ways"].values()) >= 1
    kinds = {r["reason"].split(":")[0] for r in json.loads((out / "packed/report.json").read_text())["refused"]}
    assert len(kinds) == 9


@pytest.fixture
def outcomes(damaged, bench, tmp_path, monkeypatch) -> tuple[Path, list]:
    """A copy of the folder, to be spoiled, and the outcomes that its rows should have."""
    out = tmp_path / "out"
    for name in ("drawn", "drawn.csv", "packed", "set"):
        if name != "packed":
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).symlink_to(damaged[0] / name)
    (out / "packed").mkdir()
    for path in (damaged[0] / "packed").iterdir():
        (out / "packed" / path.name).write_bytes(path.read_bytes())
    again = tmp_path / "again"
    again.mkdir()
    for name in ("drawn", "drawn.csv"):
        (again / name).symlink_to(damaged[0] / name)
    found = bench.damage(again, 200, 0.3)
    assert (again / "set/train/landmarks.csv").read_bytes() == (damaged[0] / "set/train/landmarks.csv").read_bytes()
    return out, found


def rewritten(out: Path, report: dict) -> None:
    """Another report.json, under a seal of its own."""
    about = files.read_sealed(out / "packed" / seal.INFO)
    (out / "packed/report.json").write_text(json.dumps(report))
    seal.write(out / "packed", {name: about[name] for name in seal.Sealed._fields if name != "files"}, {})


def test_the_bench_sees_what_is_wrong(outcomes, bench):
    out, known = outcomes
    assert not bench.differences(out, known)
    report = json.loads((out / "packed/report.json").read_text())
    gone, *kept = report["refused"]
    for changed, told in (
        (kept, f"{gone['file']} (line {gone['line']}) should be rejected"),
        ([{**gone, "line": gone["line"] + 1}, *kept], f"(line {gone['line'] + 1}) was rejected"),
        ([{**gone, "reason": "bad luck: as ever"}, *kept], "was rejected: bad luck"),
        ([*report["refused"], {**gone, "file": "good.jpg"}], "good.jpg (line"),
    ):
        rewritten(out, {**report, "refused": changed})
        assert any(told in line for line in bench.differences(out, known))
    rewritten(out, report)
    good = next(i for i, f in enumerate(known) if not f.kind)
    lost = [*known[:good], known[good]._replace(file="other.jpg"), *known[good + 1 :]]
    assert {"other.jpg is lost", f"{known[good].file} should not be there"} <= set(bench.differences(out, lost))


def test_an_image_outside_of_the_folder_is_never_opened(tmp_path, monkeypatch):
    data, opened = contest_folder(tmp_path / "data", some("train", 3)), []
    (data / "train/outside.jpg").write_bytes(b"secret")
    (tmp_path / "absolute.jpg").write_bytes(b"secret")
    rows = ["../outside.jpg", str(tmp_path / "absolute.jpg"), "sub/inner.jpg", "sub/../../outside.jpg", "..", "."]
    with open(data / "train/landmarks.csv", "a") as file:
        file.writelines(f"{name}\t1\t2\t3\t4\t5\t6\n" for name in rows)
    watching = [True]
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if watching[0] and event == "open" else None)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["prepare.py", "--data", str(data), "--out", str(tmp_path / "out"), "--look"])
        spec = importlib.util.spec_from_file_location("prepare", ROOT / "scripts/prepare.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.main() == 0
    watching[0] = False
    assert any(path.endswith("train00.jpg") for path in opened)
    assert not [path for path in opened if path.endswith(("outside.jpg", "absolute.jpg"))]
    rejected = json.loads((tmp_path / "out/report.json").read_text())["refused"]
    assert [r["file"] for r in rejected] == rows and {r["line"] for r in rejected} == set(range(5, 11))


# Images that turn out to be damaged under a run


def test_past_the_limit_the_batches_end_with_an_error_of_one_line():
    for options in ({}, {"ready": lambda batch: batch}):
        faults = loader.Faults(2)
        steps = loader.batches(Shades(40, broken=(3, 9, 21, 30)), config(4), keys.root(0), faults=faults, **options)
        message = rejection(lambda steps=steps: list(islice(steps, 40)))
        assert "`max_faults` is 2; last: 0" in message
        assert 3 <= len(faults) <= 4


def test_up_to_the_limit_they_are_replaced_and_each_counts_once():
    faults = loader.Faults(4)
    steps = loader.batches(Shades(40, broken=(3, 9, 21, 30)), config(4), keys.root(0), faults=faults)
    assert len(list(islice(steps, 50))) == 50 and len(faults) == 4
    for _ in range(3):
        faults.add("003.png", "again")
    message = rejection(faults.add, "005.png", "new")
    assert message.startswith("5 ") and "`max_faults` is 4; last: 005" in message


def test_in_order_the_limit_holds_as_well():
    with pytest.raises(ValueError, match="`max_faults` is 1"):
        list(loader.ordered(Shades(9, broken=(1, 2, 3)), config(4), faults=loader.Faults(1)))


@pytest.fixture(scope="module")
def machinery():
    """(plan, compiled step): compiled once for all tests."""
    mesh = sharding.mesh(jax.devices()[:1])
    plan = experiment.assemble(SETTINGS, keys.root(0), landmarks.scheme(5), 100, mesh)._replace(model=LINEAR)
    return plan, plan.training_step()


def sit(root: Path, machinery, fail_at: int = 10**9, error: Exception | None = None, spoil: str = "batch") -> None:
    """One sitting; the batch of step `fail_at` cannot be had, or the validation after it."""
    plan, take = machinery
    found = checkpoint.restore(root, template := plan.initial_state())
    now, commit = found or (template, None)

    def feed():
        for step, batch in enumerate(_batches(int(now.step)), int(now.step)):
            if step == fail_at and spoil == "batch":
                raise error
            yield batch

    def judge(state, rows, first) -> summary.Judged:
        if int(state.step) == fail_at and spoil == "validation":
            raise error
        return summary.Judged({"nme": 1.0}, {})

    for _ in session.train(root, plan, now, commit, take, feed(), judge, lambda: False):
        pass


def result(root: Path, machinery) -> tuple:
    state, commit = checkpoint.restore(root, machinery[0].initial_state())
    return commit.step, _digest(state), *((root / name).read_bytes() for name in ("metrics.jsonl", "examples.bin"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, machinery) -> tuple:
    root = tmp_path_factory.mktemp("unbroken")
    sit(root, machinery)
    return result(root, machinery)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fail_at", "error"), [(4, OSError(5, "Input/output error")), (5, ValueError("3 too many"))], ids=["io", "value"]
)
def test_where_no_batch_can_be_had_the_steps_before_are_saved_and_it_resumes_from_there(
    tmp_path, machinery, unbroken, fail_at, error
):
    with pytest.raises(type(error)) as caught:
        sit(tmp_path, machinery, fail_at, error)
    assert caught.value is error and max(c.step for c in checkpoint.commits(tmp_path)) == fail_at
    sit(tmp_path, machinery)
    assert unbroken[0] == STEPS and result(tmp_path, machinery) == unbroken


@pytest.mark.slow
def test_where_the_validation_cannot_be_had_no_step_is_lost_either(tmp_path, machinery, unbroken):
    with pytest.raises(ValueError, match="3 too many"):
        sit(tmp_path, machinery, 6, ValueError("3 too many"), "validation")
    assert max(c.step for c in checkpoint.commits(tmp_path)) == 6


def test_what_could_not_be_decoded_is_written_down_by_name_once(tmp_path):
    data = contest_folder(tmp_path / "data", some("train", 6))
    made = Config(data=str(data), size=32, batch=2)
    run = run_folder.create(tmp_path / "run", made, opening.open_source(str(data)))
    run_folder.write_faults(run, [])
    assert not (run.root / "faults.txt").exists()
    run_folder.write_faults(run, ["b.jpg: cut off", "a.jpg: empty file"])
    assert (run.root / "faults.txt").read_text() == "a.jpg: empty file\nb.jpg: cut off\n"
    before = (run.root / "faults.txt").stat().st_ino
    run_folder.write_faults(run, ["b.jpg: cut off"])
    assert (run.root / "faults.txt").stat().st_ino == before
    run_folder.write_faults(run, ["aa.jpg: empty file"])
    assert (run.root / "faults.txt").read_text() == "a.jpg: empty file\naa.jpg: empty file\nb.jpg: cut off\n"


@pytest.mark.slow
def test_a_run_whose_images_go_bad_stops_saved_and_resumes_only_when_they_are_back(tmp_path):
    drawn = [synthetic.draw(i, num_points=5) for i in range(24)]
    train = {f"{i:02d}.jpg": (decode.encode_jpeg(face.image), face.truth) for i, face in enumerate(drawn)}
    data = contest_folder(tmp_path / "data", train)
    images = {p: p.read_bytes() for p in (data / "train/images").iterdir()}
    flags = ("--data", data, "--runs", tmp_path, "--no-cache", "--max-faults", 3, "--steps", 5000, "--model", "resnet18",
             "--size", 32, "--batch", 4, "--log-every", 1, "--workers", 2)  # fmt: skip
    with finishing(begin("train.py", *flags)) as process:
        assert next(line for line in process.stderr if line.startswith("step "))
        for path, data_ in images.items():
            (tmp_path / "half").write_bytes(data_[:500])
            (tmp_path / "half").replace(path)
        out, err = process.communicate(timeout=200)
    *_, last = err.splitlines()
    assert process.returncode == 2 and "Traceback" not in err
    assert re.match(r"error: \d+ images could not be decoded, --max-faults is 3; last: \d\d.jpg: truncated", last)
    faults = (tmp_path / "run/faults.txt").read_text().splitlines()
    assert len(faults) >= 4 and faults == sorted(faults) and all(": truncated JPEG" in line for line in faults)
    saved = max(c.step for c in checkpoint.commits(tmp_path / "run"))
    logged = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert saved == max(logged) >= 1
    with finishing(begin("train.py", *flags)) as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 2 and err.splitlines()[-1].startswith("error: none of the 24 records")
    list(images)[0].write_bytes(images[list(images)[0]])
    with finishing(begin("train.py", *flags)) as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 2 and "not the data that" in err.splitlines()[-1] and "Traceback" not in err
    for path, data_ in images.items():
        path.write_bytes(data_)
    with finishing(begin("train.py", *flags)) as process:
        assert next(line for line in process.stderr if line.startswith("step "))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 130 and f"going on from step {saved} of 5000" in out


@contextlib.contextmanager
def finishing(process: subprocess.Popen):
    """Leaves no process behind where a test fails."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


# Reading


@pytest.fixture
def flaky(monkeypatch):
    """Makes the next readings fail with these errors; gives the pauses made, and how often a file was read."""
    pauses, left, opened, content = [], [], [0], files._content

    def failing(*arguments, **options):
        opened[0] += 1
        if left:
            raise left.pop(0)
        return content(*arguments, **options)

    monkeypatch.setattr(files, "_content", failing)
    monkeypatch.setattr(files.time, "sleep", pauses.append)
    return left, pauses, opened


def io_error() -> OSError:
    return OSError(5, "Input/output error")


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_an_input_error_that_passes_is_waited_for(tmp_path, flaky, times):
    left, pauses, opened = flaky
    (tmp_path / "a").write_bytes(b"content")
    left += [io_error() for _ in range(times)]
    assert files.read_bytes(tmp_path / "a") == b"content"
    assert pauses == [0.1, 0.5, 2.0][:times] and opened[0] == times + 1


def test_an_input_error_that_stays_is_raised_after_the_last_pause(tmp_path, flaky):
    left, pauses, opened = flaky
    (tmp_path / "a").write_bytes(b"content")
    left += [io_error() for _ in range(9)]
    with pytest.raises(OSError, match="Input/output error"):
        files.read_bytes(tmp_path / "a")
    assert pauses == [0.1, 0.5, 2.0] and opened[0] == 4


@pytest.mark.parametrize("error", [FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError])
def test_what_waiting_does_not_mend_is_reported_at_once(tmp_path, flaky, error):
    left, pauses, opened = flaky
    left += [error("x")]
    with pytest.raises(error):
        files.read_bytes(tmp_path / "a")
    assert not pauses and opened[0] == 1


def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(IsADirectoryError):
        files.read_bytes(tmp_path / "a")


def pictures(tmp_path: Path) -> Images:
    return opening.open_any(str(contest_folder(tmp_path / "data", some("train", 8))))


def test_an_input_error_stops_the_batches_and_replaces_nothing(tmp_path, flaky):
    left, faults = flaky[0], loader.Faults()
    source = pictures(tmp_path)
    steps = loader.batches(source, Config(size=32, batch=2, workers=1), keys.root(0), faults=faults)
    left += [io_error() for _ in range(99)]
    with pytest.raises(OSError, match="Input/output error"):
        list(islice(steps, 8))
    assert not faults.report()


def test_an_image_that_goes_missing_under_a_run_is_replaced_and_told(tmp_path):
    source, faults = pictures(tmp_path), loader.Faults(1)
    (source.table.root / "train02.jpg").unlink()
    steps = loader.batches(source, Config(size=32, batch=4, workers=2), keys.root(0), faults=faults)
    found = [int(i) for batch in islice(steps, 2) for i in batch.index]
    assert sorted(found) == [0, 1, 3, 3, 4, 5, 6, 7] and faults.report() == ["train02.jpg: the image is missing"]
