"""What is said of flags and paths that were mistyped, and that formats are named as their files."""

from pathlib import Path

import pytest

from pipelines import open as opening
from pipelines.io import guesses
from pipelines.runs import run_folder
from pipelines.sources import formats


@pytest.mark.parametrize(
    ("script", "flags", "meant"),
    [
        ("train", ["--modle", "resnet18"], "--model"),
        ("train", ["--learning-rate=0.1"], "--lr"),
        ("train", ["--batch-size", "8"], "--batch"),
        ("train", ["--wrmup", "8", "--learning-rate", "1"], "--warmup"),
        ("predict", ["--rnu", "runs/x", "--out", "x.csv"], "--run"),
        ("evaluate", ["--runs", "runs/x", "--out", "x.json"], "--run"),
        ("compare", ["--dta", "x", "--", "--model", "x"], "--data"),
    ],
)
def test_a_flag_that_does_not_exist_is_named_with_the_one_that_was_meant(rejected, script, flags, meant):
    told = rejected(script, *flags)
    assert flags[0].partition("=")[0] + " " in told and f"did you mean {meant}?" in told


def test_a_flag_like_no_other_is_named_alone(rejected):
    told = rejected("train", "--xyzzy")
    assert "--xyzzy" in told and "did you mean" not in told


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with the run folder runs/mine and one that is none, runs/mime."""
    for name, file in (("mine", "config.json"), ("mime", "notes.txt")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / file).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("typed", ["runs/mien", "mine", "mien", "runs/mime", "run/mine"])
def test_a_run_that_does_not_exist_is_named_with_the_one_that_was_meant(here, typed):
    with pytest.raises(ValueError) as caught:
        run_folder.load(Path(typed))
    assert str(caught.value).startswith(f"{typed} ")
    assert ("did you mean runs/mine?" in str(caught.value)) == (typed != "run/mine")


def test_nothing_near_is_nothing_said(here):
    assert guesses.path(Path("quite/another"), Path.exists, "runs") == guesses.path(Path("elephant"), Path.exists) == ""


def test_data_that_does_not_exist_is_named_with_what_lies_beside(here):
    (here / "faces68").mkdir()
    for opened in (opening.open_source, lambda path: opening.open_images(path, 5)):
        with pytest.raises(ValueError, match="faces86: .*did you mean faces68?"):
            opened("faces86")


def test_a_format_is_named_as_its_file():
    assert all(name == module.NAME for name, module in formats.FORMATS.items())
