"""What a run's length and its validation share are by the number of images, and what is kept of a run that is there."""

import math

import pytest

from jaxmarks import config as configs
from jaxmarks import experiment, keys, landmarks
from jaxmarks.config import Config
from jaxmarks.training import defaults, recipes
from pipelines import open as opening
from pipelines.runs import run_folder
from pipelines.shapes import schemes


@pytest.mark.parametrize(
    ("images", "held"), [(1, 0.2), (5, 0.2), (137, 0.2), (200, 0.2), (400, 0.1), (800, 0.05), (4000, 0.05)]
)
def test_a_share_by_number_holds_out_forty_a_twentieth_or_a_fifth(images, held):
    assert defaults.val_fraction(Config(), images) == pytest.approx(held)
    assert math.ceil(defaults.val_fraction(Config(), 333) * 333) == 40
    assert defaults.val_fraction(Config(val_fraction=0.3), images) == 0.3
    assert defaults.val_fraction(Config(val_fraction=0.0), images) == 0.0


@pytest.mark.parametrize(
    ("flags", "training", "steps"),
    [
        ({}, 110, 600),
        ({}, 3800, 1188),
        ({"epochs": 10.0}, 110, 35),
        ({"epochs": 0.1}, 110, 1),
        ({"steps": 7}, 110, 7),
        ({"steps": 7, "epochs": 3.0}, 110, 7),
    ],
)
def test_steps_have_a_floor_where_nothing_says_how_long(flags, training, steps):
    config = Config(**flags)
    assert defaults.steps(config, training) == steps
    settled = defaults.settled(config, 2 * training, training)
    assert defaults.steps(settled, training) == steps and settled.val_fraction >= 0
    assert defaults.settled(settled, 2 * training, training) == settled  # numbers stay


def test_the_same_command_resumes_with_runs_of_this_and_of_earlier_versions():
    for known in (defaults.settled(Config(), 137, 110), Config(epochs=10.0, val_fraction=0.05)):
        assert not configs.differences(known, defaults.adopted(Config(), known, 137, 110))
    known = Config(steps=600, epochs=10.0, val_fraction=0.05)  # as earlier versions stored --steps 600
    assert not configs.differences(known, defaults.adopted(Config(steps=600), known, 137, 110))
    told = configs.differences(known, defaults.adopted(Config(steps=700), known, 137, 110))
    assert len(told) == 1 and told[0].startswith("`steps`")


@pytest.mark.parametrize("given", [{}, {"steps": 700}, {"val_fraction": 0.1}, {"epochs": 2.0, "val_fraction": 0.0}])
def test_what_follows_by_itself_is_not_among_the_flags_that_a_run_was_started_with(given):
    config = defaults.settled(Config(**given), 600, 560)
    assert defaults.unsettled(config, 600, 560) == Config(**given)


def test_a_run_keeps_the_numbers_that_were_settled(tmp_path):
    source = opening.open_source("drawn:30:5")
    asked = Config(data="drawn:30:5", model="resnet18", size=32, batch=4)
    run = run_folder.create(tmp_path / "run", asked, source)
    assert (run.config.steps, run.config.val_fraction) == (600, 0.2) and len(run.parts["val"]) == 6
    assert run_folder.resume(run, asked, source)[0].config == run.config
    assert run_folder.plan(tmp_path / "run", asked, source).config == run.config


def test_values_between_a_share_and_none_are_rejected():
    with pytest.raises(ValueError, match=r"`val_fraction` must lie in 0..0.9, or be -1 .*-0.5"):
        Config(val_fraction=-0.5).check()
    Config(val_fraction=-1.0, epochs=0.0).check()


def test_of_a_recipes_length_what_a_flag_says_otherwise_no_longer_counts():
    assert recipes.settings("small", {"epochs": 2.0}).get("steps") is None
    assert recipes.settings("large", {"steps": 9}).get("epochs") is None
    assert recipes.settings("small", {"lr": 0.1})["steps"] == 600
    assert recipes.over({"steps": 6, "epochs": 0.0, "lr": 1}, {"epochs": 3.0}) == {"epochs": 3.0, "lr": 1}


def _remarks(points: int, **settings) -> str:
    config = Config(model="resnet18", size=32, batch=8, **settings)
    scheme = run_folder.scheme_of(config, points)
    return "\n".join(experiment.remarks(experiment.assemble(config, keys.root(0), scheme, 100)))


def test_what_does_nothing_and_where_mirroring_comes_from_are_said(tmp_path):
    assert "`epochs` 3 does nothing beside `steps` 40" in _remarks(5, steps=40, epochs=3.0)
    assert "`epochs`" not in _remarks(5, steps=40) + _remarks(5, epochs=3.0) + _remarks(5)
    path = tmp_path / "pairs.json"
    schemes.write_scheme(path, schemes.named_scheme(landmarks.scheme(5).mirror))
    assert "--check known" in _remarks(5) and "not known" in _remarks(7)
    assert f"mirrored as {path} says" in _remarks(5, scheme=str(path))
    assert "--check known" not in _remarks(5, scheme=str(path))
