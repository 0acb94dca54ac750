"""The cache: raw, packed and cached data are one set; what changed is packed anew; what is half done is never used."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from jaxmarks import keys
from jaxmarks.config import Config
from jaxmarks.types import Batch
from pipelines import example, loader, synthetic
from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import cache, dataset, pack, seal
from pipelines.runs import run_data, run_folder, split
from tests.pipelines.packing.test_pack import POINTS, photograph, some
from tests.pipelines.runs.test_run_folder import rejection
from tests.pipelines.sources.formats.test_contest import contest_folder
from tests.pipelines.test_loader import same

ROOT = Path(__file__).parents[3]
BROKEN = (2, 5)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pack, "ROWS", 3)
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path) -> Path:
    """Ten images: two are none, one row has no number, two are near-duplicates."""
    train = some("train", 10, BROKEN)
    train["train08.jpg"] = decode.encode_jpeg(decode.decode(train["train01.jpg"][0]), 60), POINTS
    root = contest_folder(tmp_path / "data", train)
    table = root / "train/landmarks.csv"
    table.write_text(table.read_text() + "bad.jpg\t1\tx\t3\t4\t5\t6\n")
    return root


GOOD = [f"train{i:02d}.jpg" for i in range(10) if i not in BROKEN]


def three_ways(data: Path, out: Path) -> dict[str, example.Source]:
    raw = opening.open_any(str(data))
    job = pack.plan(out, {"train": raw})
    pack.check_space(job)
    pack.write(job, 2, lambda done, detail: None)
    pack.merge(job)
    return {
        "cached": cache.training_set(str(data)),
        "looked through": cache.training_set(str(data), packed=False),
        "packed": cache.training_set(str(out)),
    }


def drawn(source: example.Source, count: int = 24, **options) -> list[Batch]:
    steps = loader.batches(source, Config(size=32, batch=4, workers=2), keys.root(0), **options)
    return [Batch(*(field[i] for field in b)) for b in islice(steps, count // 4) for i in range(4)]


def test_one_set_whichever_way_it_comes(tmp_path, data, capsys):
    ways = three_ways(data, tmp_path / "packed")
    cached = ways["cached"]
    assert isinstance(cached, dataset.Packed) and not isinstance(ways["looked through"], dataset.Packed)
    for source in ways.values():
        assert list(source.names) == GOOD and source.num_points == 3 and source.labelled
        assert example.identity(source) == example.identity(cached)
        assert list(source.groups) == ["", "train01.jpg", "", "", "", "", "train01.jpg", ""]
        assert same(drawn(source), drawn(cached))
    assert np.array_equal(cached[1].points, POINTS + 1) and cached[1].image == photograph(1, 61)
    told = capsys.readouterr().out
    assert f"10 records into {tmp_path / 'cache'}/data-" in told and "--no-cache" in told
    assert told.count("3 records cannot be used") == 2


def test_the_split_keeps_near_duplicates_together_in_every_way(tmp_path, data):
    found = []
    for source in three_ways(data, tmp_path / "packed").values():
        for seed in range(8):
            parts = run_folder.plan(tmp_path / "run", Config(seed=seed, val_fraction=0.4), source).parts
            assert ("train01.jpg" in parts["val"]) == ("train08.jpg" in parts["val"])
            found.append(split.digest(parts))
    assert found[:8] == found[8:16] == found[16:] and len(set(found)) > 4


def test_the_second_time_nothing_is_packed(data, own_cache, capsys, monkeypatch):
    cache.training_set(str(data))
    before = {p: p.stat().st_mtime_ns for p in own_cache.rglob("*") if p.is_file() and p.name != "cached.json"}
    capsys.readouterr()
    monkeypatch.setattr(pack, "write", lambda *_: pytest.fail("packed again"))
    assert list(cache.training_set(str(data)).names) == GOOD
    assert {p: p.stat().st_mtime_ns for p in own_cache.rglob("*") if p.is_file() and p.name != "cached.json"} == before
    said = capsys.readouterr().out  # what is left out is told each time, by kind
    assert "packing" not in said and "3 records cannot be used" in said and "2 not an image that can be decoded" in said


def key(data: Path) -> str:
    return cache.key(str(data), opening.open_any(str(data)).table)


def content_of_the_same_size(data: Path) -> None:
    path = data / "train/images/train03.jpg"
    path.write_bytes(path.read_bytes()[:-3] + b"\0\xff\xd9")  # its time is now


def longer(data: Path) -> None:
    path, before = data / "train/images/train03.jpg", (data / "train/images/train03.jpg").stat()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def table(data: Path) -> None:
    path = data / "train/landmarks.csv"
    path.write_text(path.read_text().replace("\t4.00", "\t5.00", 1))
    os.utime(path, (2e9, 2e9))


def gone(data: Path) -> None:
    (data / "train/images/train03.jpg").unlink()


def exchanged(data: Path) -> None:
    a, b, c = (data / "train/images" / f"train{n}.jpg" for n in ("03", "04", "xx"))
    a.rename(c), b.rename(a), c.rename(b)


@pytest.mark.parametrize("packed", [True, False])
def test_after_training_what_is_left_out_is_one_line_that_says_where_to_read_of_it(data, own_cache, capsys, packed):
    full = cache.training_set(str(data), packed=packed) and capsys.readouterr().out
    cache.training_set(str(data), packed=packed, brief=True)
    said = [line for line in capsys.readouterr().out.splitlines() if line in full]
    assert len(said) == 1 and "3 records" in said[0] and ("report.txt" if packed else "prepare.py") in said[0]
    assert full.count("the first") >= 2


@pytest.mark.parametrize("change", [content_of_the_same_size, longer, table, gone, exchanged])
def test_what_was_changed_has_another_key(data, change):
    known = key(data)
    assert key(data) == known and known.startswith("data-")
    change(data)
    assert key(data) != known


def test_changed_data_is_packed_anew_and_the_old_is_not_touched(data, own_cache):
    old = cache.training_set(str(data))
    gone(data)
    new = cache.training_set(str(data))
    assert list(new.names) == [n for n in GOOD if n != "train03.jpg"] and len(list(own_cache.iterdir())) == 2
    assert [old[i].image for i in range(len(old))] and example.identity(old) != example.identity(new)


@pytest.mark.parametrize("after", [1, 4, 8, 10])
def test_an_interrupted_packing_resumes_and_half_a_set_is_never_used(data, own_cache, monkeypatch, after):
    known = example.identity(cache.training_set(str(data), packed=False))

    class Stopped(cache.console.Progress):
        def show(self, done: int, detail: str = "") -> None:
            if done == after:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache.console, "Progress", Stopped)
        with pytest.raises(KeyboardInterrupt):
            cache.training_set(str(data))
    (folder,) = own_cache.iterdir()
    assert not seal.is_whole(folder)
    done = {p: p.stat().st_ino for p in folder.glob("jaxmarks-*")}
    source = cache.training_set(str(data))
    assert example.identity(source) == known and {p: p.stat().st_ino for p in done} == done
    assert len(done) == (after - 1) // 3 and list(own_cache.iterdir()) == [folder]


def test_killed_before_the_last_word_it_resumes(data, own_cache):
    known = example.identity(cache.training_set(str(data)))
    (folder,) = own_cache.iterdir()
    (folder / "cached.json").unlink()
    assert example.identity(cache.training_set(str(data))) == known and (folder / "cached.json").is_file()


def test_a_damaged_cache_is_reported_and_not_trained_on(data, own_cache):
    cache.training_set(str(data))
    shard = next(own_cache.rglob("jaxmarks-train*00001-of*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert "was written with" in rejection(cache.training_set, str(data))


def command(script: str, *arguments: object, **environment: str) -> subprocess.Popen:
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    line = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, arguments)]
    return subprocess.Popen(line, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_listing_shows_what_there_is_and_pruning_takes_what_is_old(tmp_path, data, own_cache):
    assert cache.listing() == [] and cache.prune(0) == []
    cache.training_set(str(data))
    gone(data)
    cache.training_set(str(data))
    (own_cache / "not ours").mkdir()
    (own_cache / "not ours" / "letter.txt").write_text("dear")
    half = pack.plan(own_cache / "half", {"train": opening.open_any(str(data))})
    with pytest.raises(KeyboardInterrupt):
        pack.write(half, 1, lambda done, detail: (_ for _ in ()).throw(KeyboardInterrupt()) if done == 5 else None)
    first, second, unfinished = (next(c for c in cache.listing() if wanted(c)) for wanted in (
        lambda c: c.images == 10 and "train03.jpg" in (c.folder / "train.csv").read_text(),
        lambda c: c.images == 10 and "train03.jpg" not in (c.folder / "train.csv").read_text(),
        lambda c: not c.data,
    ))  # fmt: skip
    assert len(cache.listing()) == 3 and unfinished.folder == own_cache / "half"
    assert first.data == second.data == str(data)
    assert first.bytes == sum(p.stat().st_size for p in first.folder.rglob("*") if p.is_file())
    old = time.time() - 40 * 86400
    os.utime(first.folder / "cached.json", (old, old))
    assert cache.listing()[0].folder == first.folder and cache.listing()[0].used == pytest.approx(old, abs=1)
    out, err = command("cache").communicate(timeout=60)
    assert "3 sets, " in out and f"in {own_cache}" in out and "used  40.0 days ago" in out and "not whole" in out, err
    assert [c.folder for c in cache.prune(30)] == [first.folder] and not first.folder.exists()
    assert second.folder.exists() and cache.prune(30) == []
    assert len(cache.prune(0)) == 2 and [p.name for p in own_cache.iterdir()] == ["not ours"]


def test_what_was_used_lately_is_not_pruned(data, own_cache):
    cache.training_set(str(data))
    about = next(own_cache.rglob("cached.json"))
    os.utime(about, (1e9, 1e9))
    cache.training_set(str(data))
    assert cache.prune(1) == [] and time.time() - cache.listing()[0].used < 60


def test_pruning_that_was_stopped_halfway_is_completed(data, own_cache, monkeypatch):
    cache.training_set(str(data))

    def stopped(folder):
        next(folder.glob("*.array_record-*")).unlink()
        (folder / "jaxmarks.json").unlink()
        raise PermissionError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, "rmtree", stopped)
        with pytest.raises(PermissionError):
            cache.prune(0)
    cache.prune(0)
    assert not list(own_cache.iterdir())


def test_a_folder_whose_shards_were_discarded_is_still_ours_but_not_one_with_notes_of_others(tmp_path):
    (tmp_path / "notes").mkdir()
    assert dataset.is_packed(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    assert not dataset.is_packed(tmp_path)
    (tmp_path / "features.json").write_text("{}")
    assert dataset.is_packed(tmp_path)
    (tmp_path / "notes/mine.txt").write_text("mine")
    assert not dataset.is_packed(tmp_path)


def test_two_at_once_do_not_pack_the_same_set(data, own_cache):
    folder = own_cache / key(data)
    with files.locked(folder / dataset.LOCK, "mine"):
        assert f"{folder} is being packed by another process; wait for it" in rejection(cache.training_set, str(data))
    assert list(cache.training_set(str(data)).names) == GOOD


ONE = """
import sys, time
from pipelines.packing import cache, inspection
from pipelines.io import console
from pipelines import example, open as opening
look = inspection.look
def slow(*arguments):
    time.sleep(0.1)
    return look(*arguments)
inspection.look = slow
def main():
    print(example.identity(cache.training_set(sys.argv[1], workers=1)))
console.run(main)
"""


def test_two_processes_at_once_end_with_one_set_or_a_line(data, own_cache):
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen([sys.executable, "-c", ONE, str(data)], env=known, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True) for _ in range(2)]  # fmt: skip
    ended = [(p, *p.communicate(timeout=60)) for p in both]
    due = example.identity(cache.training_set(str(data), packed=False))
    for process, out, err in ended:
        if process.returncode:
            errors = [line for line in err.splitlines() if not line.startswith("record ")]
            assert process.returncode == 2 and len(errors) == 1 and "is being packed by another" in errors[0], err
        else:
            assert out.splitlines()[-1] == due
    assert any(process.returncode == 0 for process in both)
    assert example.identity(cache.training_set(str(data))) == due


def test_a_set_of_which_nothing_can_be_used_is_rejected_in_both_ways(tmp_path):
    data = contest_folder(tmp_path / "data", some("train", 3, (0, 1, 2)))
    assert "3 not an image that can be decoded; the first: train00.jpg (line 2)" in rejection(
        cache.training_set, str(data)
    )
    assert "none of the 3 records" in rejection(lambda: cache.training_set(str(data), packed=False))


def test_a_disk_that_is_too_small_is_reported_before_anything_is_packed(data, monkeypatch, own_cache):
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, 1000))
    assert "choose another disk" in rejection(cache.training_set, str(data))
    assert not list(own_cache.rglob("jaxmarks-*"))


@pytest.mark.parametrize("packed", [True, False])
def test_a_run_does_not_go_on_with_data_that_was_changed(tmp_path, data, packed):
    config = Config(data=str(data), cache=packed, size=32, batch=4, val_fraction=0.2)
    run = run_folder.create(tmp_path / "run", config, run_data.of_config(config))
    run_folder.resume(run, config, run_data.of_config(config))
    run_folder.resume(
        run,
        dataclasses.replace(config, cache=not packed),
        run_data.of_config(dataclasses.replace(config, cache=not packed)),
    )
    content_before = (data / "train/images/train03.jpg").read_bytes()
    (data / "train/images/train03.jpg").write_bytes(photograph(33))
    os.utime(data / "train/images/train03.jpg", (2e9, 2e9))
    message = rejection(run_folder.resume, run, config, run_data.of_config(config))
    assert f"{data}: not the data that {run.root} was trained on" in message
    (data / "train/images/train03.jpg").write_bytes(content_before)
    run_folder.resume(run, config, run_data.of_config(config))


SMALL = ("--model", "resnet18", "--size", "32", "--batch", "4", "--log-every", "1", "--workers", "2", "--steps", "3")


@pytest.mark.slow
def test_training_ends_with_the_same_digest_whichever_way_the_data_comes(tmp_path, own_cache):
    drawn_faces = [synthetic.draw(i, num_points=5) for i in range(16)]
    encoded = [decode.encode_jpeg(face.image) for face in drawn_faces]
    encoded[3] = encoded[3][:2000]
    train = {
        f"{i:02d}.jpg": (file, face.truth) for i, (file, face) in enumerate(zip(encoded, drawn_faces, strict=True))
    }
    data = contest_folder(tmp_path / "data", train)
    preparing = command("prepare", "--data", data, "--out", tmp_path / "packed")
    out, err = preparing.communicate(timeout=120)
    assert preparing.returncode == 0 and "15 accepted, 1 rejected" in out, err
    ways = {"cached": (data,), "raw": (data, "--no-cache"), "packed": (tmp_path / "packed",)}
    ended = {}
    for name, (path, *flags) in ways.items():
        process = command("train", "--data", path, *flags, "--runs", tmp_path / "runs", "--name", name, *SMALL)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        final = json.loads((tmp_path / "runs" / name / "final.json").read_text())
        ended[name] = final["digest"], (tmp_path / "runs" / name / "metrics.jsonl").read_bytes()
    assert ended["cached"] == ended["raw"] == ended["packed"]


@pytest.mark.parametrize("about", [True, False])
def test_a_cache_that_can_only_be_read_serves_the_sets_in_it(data, own_cache, monkeypatch, about):
    due = cache.training_set(str(data)).identity
    if not about:
        next(own_cache.rglob("cached.json")).unlink()

    def read_only(*arguments, **options):
        raise OSError(30, "Read-only file system", str(own_cache))

    for name in ("utime", "unlink", "rename", "mkdir"):
        monkeypatch.setattr(os, name, read_only)
    monkeypatch.setattr(files, "whole", read_only)
    monkeypatch.setattr(files, "_own", read_only)
    found = cache.training_set(str(data))
    assert found.identity == due and found[0].points.shape == (3, 2)


def test_a_cache_in_which_nothing_can_be_written_names_the_ways_out(data, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    message = rejection(cache.training_set, str(data))
    assert "JAXMARKS_CACHE" in message and "`no_cache`" in message
    assert cache.training_set(str(data), packed=False).names == GOOD


def test_what_a_packer_killed_at_its_very_end_left_is_cleaned_by_the_next(data, own_cache):
    folder = cache.training_set(str(data))._folder
    (folder / "notes").mkdir()
    (folder / "notes/x.json").write_text("{}")
    (folder / dataset.LOCK).write_text("")
    (folder / ".metadata7").mkdir()
    cache.training_set(str(data))
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".") or p.is_dir()]
