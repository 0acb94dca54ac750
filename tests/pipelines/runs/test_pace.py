"""What is said before the first step, at it, and how long the rest is expected to take."""

import time
from typing import NamedTuple

import pytest

from jaxmarks.config import Config
from jaxmarks.training import recipes
from pipelines.io import compilation, console
from pipelines.io.costs import Costs
from pipelines.runs import pace

LARGE, SMALL = Config(), Config(**recipes.NAMES["small"].settings)


class Record(NamedTuple):
    loss: float


def taken(steps: int, capsys, monkeypatch, seconds: float = 2.0, config: Config = LARGE) -> list[str]:
    """What is said of a run of 600 steps, of which so many are taken."""
    now = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])

    def take(state, batch):
        now[0] += seconds
        return state + batch, Record(0.5 + state)

    costs = Costs()
    with costs.of("decode"):
        pass
    costs.add_images(8)
    step, state = pace.paced(take, console.Progress(600, "step"), 0, 600, config, costs), 0
    for _ in range(steps):
        state, _ = step(state, 1)
    assert state == steps
    said = capsys.readouterr()
    return [*said.out.splitlines(), *said.err.splitlines()]


def test_compiling_is_said_first_then_step_one_then_the_time_of_all_once(capsys, monkeypatch):
    lines = taken(20, capsys, monkeypatch)
    assert lines[0].startswith("compiling the training step") and lines[1].startswith("first step after ")
    assert f"step alone {LARGE.batch / 2:g}, together {LARGE.batch / 2:g}" in lines[2] and "loader alone" in lines[2]
    assert lines[3].startswith("2 s a step: about 19:48 for the 594 steps left") and len(lines) == 5
    assert lines[4].startswith("step 1/600  loss 0.500")


def test_a_run_of_few_steps_has_no_estimate(capsys, monkeypatch):
    assert not any("a step: about" in line for line in taken(4, capsys, monkeypatch))


@pytest.mark.parametrize(
    ("seconds", "config", "named"), [(20.0, LARGE, True), (20.0, SMALL, False), (2.0, LARGE, False)]
)
def test_the_recipe_for_this_machine_is_named_where_a_run_is_long(capsys, monkeypatch, seconds, config, named):
    monkeypatch.setattr(pace.backend, "is_cpu", lambda: True)
    assert any("--recipe small" in line for line in taken(8, capsys, monkeypatch, seconds, config)) == named


def test_no_recipe_is_named_where_there_is_an_accelerator(monkeypatch):
    monkeypatch.setattr(pace.backend, "is_cpu", lambda: False)
    assert pace.advice(1e5, LARGE) == ""


def test_a_text_is_said_before_the_first_call_only_which_says_nothing_about_the_rest(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    progress = console.Progress(5, "step")

    def slowly(a):
        now[0] += 300
        return 2 * a

    progress.show(1)
    call = pace.announced(slowly, progress, "compiling")
    assert call(1) == 2
    now[0] += 10
    progress.show(2)
    assert call(2) == 4
    said = capsys.readouterr()
    assert said.out == "compiling\n" and said.err.splitlines()[-1].endswith("left 0:30")


def test_a_long_compilation_says_that_what_xla_prints_is_no_error_and_a_short_one_nothing(monkeypatch):
    said: list[str] = []
    with compilation.patience(said.append):
        pass
    monkeypatch.setattr(compilation, "_LONG", 0.01)
    with compilation.patience(said.append):
        time.sleep(0.3)
    assert len(said) == 1 and "XLA" in said[0]


def test_passes_are_shown_each_from_its_begin(capsys):
    show = console.Passes()
    for what, total in (("weights", 3), ("errors", 4)):
        for done in (0, 2, total):
            show(done, total, what)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "weights 0/3", "weights 2/3", "weights 3/3", "errors 0/4", "errors 2/4", "errors 4/4",
    ]  # fmt: skip
    assert "compiling" in lines[0]
