"""The run folder: written once, obeyed ever after, and rejected where it was changed."""

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jaxmarks import config as configs
from jaxmarks import keys, landmarks
from jaxmarks.config import Config
from jaxmarks.training import log
from pipelines import example
from pipelines import open as opening
from pipelines.io import files
from pipelines.runs import run_data, run_folder
from tests.pipelines.sources.formats.test_contest import small_folder


@pytest.fixture
def source(tmp_path):
    return opening.open_source(str(small_folder(tmp_path / "data")))


@pytest.fixture
def run(tmp_path, source) -> run_folder.Run:
    config = Config(data=str(tmp_path / "data"), model="resnet18", size=32, batch=4, val_fraction=0.3, seed=7)
    return run_folder.create(tmp_path / "run", config, source)


def rejection(function, *arguments) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(path: Path, change: str, old: bytes, new: bytes) -> str:
    """Edit a run's own copy of a file, or delete it; the start of what is said of it."""
    path.write_bytes(path.read_bytes().replace(old, new))
    if change == "gone":
        path.unlink()
    return f"{path}: missing, or not the {path.stem} that the run began with"


def test_a_run_is_loaded_as_it_was_created(run, source):
    again = run_folder.load(run.root)
    assert keys.to_json(again.key) == keys.to_json(run.key) == keys.to_json(keys.root(7))
    assert again._replace(key=None, scheme=None) == run._replace(key=None, scheme=None)
    assert landmarks.to_data(again.scheme) == landmarks.to_data(run.scheme)
    assert run.scheme.num_points == 2 and run.data_identity == example.identity(source)
    assert sorted(run.parts["train"] + run.parts["val"]) == source.names and len(run.parts["val"]) == 1


def test_a_plan_is_the_run_to_be_and_writes_nothing(tmp_path, run, source):
    planned = run_folder.plan(tmp_path / "other", run.config, source)
    assert planned.parts == run.parts and not planned.root.exists()


def test_runs_of_one_split_seed_hold_out_the_same_images(tmp_path):
    source = opening.open_source("drawn:60:5")
    plain = Config(data="drawn:60:5", val_fraction=0.3, seed=7)
    first, other = (run_folder.plan(tmp_path, dataclasses.replace(plain, seed=s), source).parts for s in (7, 8))
    assert first != other
    for seed in (0, 7, 8):
        asked = dataclasses.replace(plain, seed=seed, split_seed=7)
        planned = run_folder.plan(tmp_path, asked, source)
        assert planned.parts == first and keys.to_json(planned.key) == keys.to_json(keys.root(seed))


def test_a_folder_is_a_run_once_its_configuration_is_there(tmp_path, run):
    assert run_folder.exists(run.root) and not run_folder.exists(tmp_path)
    assert "config.json: missing" in rejection(run_folder.load, tmp_path)


def test_where_only_the_configuration_is_gone_no_other_run_begins_from_its_checkpoints(tmp_path, run):
    root = tmp_path / "other"
    (root / "checkpoints/00000004").mkdir(parents=True)
    (root / "checkpoints/00000004/commit.json").write_text("{}")
    message = rejection(run_folder.create, root, run.config, run_data.of_config(run.config))
    assert "config.json is missing" in message and not (root / "key.json").exists()


@pytest.mark.parametrize("given", ["config.json", "key.json", "split.json"])
@pytest.mark.parametrize("taken", ["config.json", "key.json", "split.json"])
def test_a_sealed_file_under_anothers_name_is_reported(run, given, taken):
    (run.root / taken).write_bytes((run.root / given).read_bytes())
    if given != taken:
        assert str(run.root) in rejection(run_folder.load, run.root)


@pytest.mark.parametrize("change", [{"size": "large"}, {"size": 32.5}, {"cache": 1}, {"lr": None}, {"colour": 1}])
def test_settings_of_another_kind_are_reported(run, change):
    stored = files.read_sealed(run.root / "config.json")
    files.write_sealed(run.root / "config.json", {**stored, "config": {**stored["config"], **change}})
    assert next(iter(change)) in rejection(run_folder.load, run.root)


@pytest.mark.parametrize("name", ["config.json", "key.json", "split.json"])
def test_one_changed_character_in_any_value_is_reported(run, name):
    path = run.root / name
    text = path.read_text()
    swaps = {"config.json": ("0.3", "0.4"), "key.json": ('"seed": 7', '"seed": 8'), "split.json": ("a.png", "A.png")}
    path.write_text(text.replace(*swaps[name]))
    assert f"{name}: its digest" in rejection(run_folder.load, run.root)
    for position in range(0, len(text), 7):
        path.write_text(text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :])
        if json_of(path) != json.loads(text):  # a changed blank is no change
            assert name in rejection(run_folder.load, run.root)


def json_of(path):
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


@pytest.mark.parametrize("name", ["config.json", "key.json", "split.json"])
def test_a_file_that_is_gone_or_cut_is_reported(run, name):
    path = run.root / name
    path.write_text(path.read_text()[:-20])
    assert name in rejection(run_folder.load, run.root)
    path.unlink()
    assert f"{name}: missing" in rejection(run_folder.load, run.root)


@pytest.mark.parametrize(
    "field",
    [
        {"lr": 0.5},
        {"model": "resnet50"},
        {"batch": 8},
        {"seed": 8},
        {"steps": 9},
        {"split_by": "."},
        {"val_fraction": 0.1},
        {"split_seed": 7},
    ],
    ids=lambda field: next(iter(field)),
)
def test_another_defining_setting_is_rejected_by_its_flag(run, source, field):
    ((name, value),) = field.items()
    message = rejection(run_folder.resume, run, dataclasses.replace(run.config, **field), source)
    assert f"`{name}`: the run has {getattr(run.config, name)!r}, got {value!r}" in message


def test_every_setting_that_differs_is_listed(run, source):
    message = rejection(run_folder.resume, run, dataclasses.replace(run.config, lr=0.5, clip=0.0, workers=1), source)
    assert "`lr`: " in message and "`clip`: " in message and "workers" not in message


def test_the_flags_that_a_run_was_started_with_are_told_and_start_it(run, source):
    config = dataclasses.replace(run.config, data="a b", cache=False)
    parser = argparse.ArgumentParser()
    configs.add_arguments(parser)
    assert dataclasses.replace(Config(), **vars(parser.parse_args(shlex.split(configs.as_flags(config))))) == config
    assert configs.as_flags(Config()) == ""
    message = rejection(run_folder.resume, run, dataclasses.replace(run.config, lr=0.5), source)
    given = parser.parse_args(shlex.split(message.split("started with:")[1]))
    started = run_folder.resume(run, dataclasses.replace(Config(), **vars(given)), source)[0]
    assert started.config == run.config and "`fork`" in message


def test_operational_settings_are_free_and_taken_as_asked(run, source):
    asked = dataclasses.replace(run.config, workers=1, log_every=3, save_minutes=1.0, val_every=2)
    resumed, notes = run_folder.resume(run, asked, source)
    assert resumed.config == asked and resumed.parts == run.parts and not notes


def test_more_steps_are_free_where_the_schedule_does_not_count_them(tmp_path, source):
    config = Config(data=str(tmp_path / "data"), schedule="constant", steps=5)
    run = run_folder.create(tmp_path / "run", config, source)
    assert run_folder.resume(run, dataclasses.replace(config, steps=9), source)[0].config.steps == 9


def test_other_versions_are_noted(run, source):
    path = run.root / "versions.json"
    stored = files.read_sealed(path)
    files.write_sealed(path, {**stored, "python": "2.7"})
    _, notes = run_folder.resume(run, run.config, source)
    assert len(notes) == 1 and notes[0].startswith("python: was 2.7, is 3")


def test_the_same_data_elsewhere_resumes_and_changed_data_is_rejected(tmp_path, run, source):
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    asked = dataclasses.replace(run.config, data=str(moved))
    assert run_folder.resume(run, asked, opening.open_source(str(moved)))[0].config.data == str(moved)
    table = moved / "train/landmarks.csv"
    table.write_text(table.read_text().replace("1.50", "1.51"))
    message = rejection(run_folder.resume, run, asked, opening.open_source(str(moved)))
    assert f"`data` {moved}: not the data that {run.root} was trained on" in message


def test_split_json_decides_whatever_the_split_would_be_today(run, source, monkeypatch):
    monkeypatch.setattr(run_folder.split, "split", lambda *_: pytest.fail("a split was drawn again"))
    again = run_folder.load(run.root)
    assert [run_data.split_of(again, source, p).names for p in ("train", "val")] == [
        run.parts["train"],
        run.parts["val"],
    ]


def test_an_image_that_is_gone_is_named(run, source):
    without = example.Subset(source, [i for i, n in enumerate(source.names) if n != run.parts["train"][0]])
    message = rejection(run_data.split_of, run, without, "train")
    assert f"split.json names {run.parts['train'][0]}" in message and "(1 in all)" in message


def test_another_number_of_points_is_rejected(run):
    assert "5 points" in rejection(run_folder.check_points, run, opening.open_source("drawn:4:5"))


def taken(root) -> None:
    """Takes the lock, and lets it go."""
    with run_folder.lock(root):
        pass


def test_one_run_has_one_writer(tmp_path):
    with run_folder.lock(tmp_path / "run"):
        assert "is being trained by another process" in rejection(taken, tmp_path / "run")
    taken(tmp_path / "run")


def test_the_lock_of_a_process_ends_with_it(tmp_path):
    path = str(tmp_path / ".lock")
    take = f"import fcntl; f = open({path!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", take], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == b"held\n"
        assert "another process" in rejection(taken, tmp_path)
        other.kill()
    taken(tmp_path)


@pytest.mark.parametrize("name", [".lock", *log.FILES])
def test_a_link_in_a_run_folder_is_never_followed_to_what_it_leads_to(tmp_path, name):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match=f"{name}: a symbolic link"):
        taken(tmp_path / "run") if name == ".lock" else log.RunLog(tmp_path / "run", 8)
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b"])
def test_a_run_has_a_plain_name(name):
    with pytest.raises(ValueError, match="is not a plain name"):
        run_folder.folder("runs", name)
