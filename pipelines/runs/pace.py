"""Messages about the start of a run and its estimated duration."""

import time
from collections.abc import Callable

import numpy as np

from jaxmarks import backend, words
from jaxmarks.config import Config
from jaxmarks.training import recipes
from pipelines.io import compilation, console
from pipelines.io.costs import Costs

_STEPS = 5  # after the first, that the estimate is of
_LONG = 1800.0  # seconds, from which a shorter recipe is named


def paced(
    take_step: Callable, progress: console.Progress, begin: int, until: int, config: Config, costs: Costs
) -> Callable:
    """take_step(state, batch), which says that it compiles, shows its first step and, after a few, the rates of loader and
    step and the time of all. costs: of the loader."""
    inner, taken, spent = compilation.report_first_call(take_step, progress.say), 0, 0.0
    ends: list[float] = []  # when each step was done

    def step(state, batch):
        nonlocal taken, spent
        if taken > _STEPS:
            return take_step(state, batch)
        if not taken:
            progress.say(
                "compiling the training step, or reading it from the cache: about a minute at first use on a CPU"
            )
        began = time.monotonic()
        after, record = inner(state, batch)
        loss = float(record.loss)  # waits for it
        ends.append(time.monotonic())
        taken, spent = taken + 1, spent + ends[-1] - began
        if taken == 1:
            progress.show(begin + 1, f"loss {loss:.3f}")
            spent = 0.0  # compiling says nothing about the rest
        elif taken == _STEPS + 1:
            each, left = spent / _STEPS, until - begin - taken
            together = float(np.median(np.diff(ends)))  # which leaves out a validation between
            progress.say(rates(config, costs.rate(config.threads), each, together))
            progress.say(f"{estimate(each, left)}{advice(each * left, config)}")
        return after, record

    return step


def rates(config: Config, loader: float | None, step: float, together: float) -> str:
    """Return a line of the images a second of the loader's threads alone, of the step alone, and of both. loader: images a
    second, None: not known; step, together: seconds a step."""
    alone = f"loader alone {words.number(loader)} ({words.counted(config.threads, 'thread')}), " if loader else ""
    both = f"step alone {words.number(config.batch / step)}, together {words.number(config.batch / together)}"
    return f"images/s: {alone}{both}"


def estimate(each: float, left: int) -> str:
    """Return a line on how long the remaining steps will take, at so many seconds each."""
    return f"{each:.2g} s a step: about {console.clock(each * left)} for the {left} steps left, validation not counted"


def advice(seconds: float, config: Config) -> str:
    """Return a shorter alternative for a long run; empty for a short one, or without an alternative."""
    small = recipes.NAMES["small"]
    mine = all(getattr(config, name) == small.settings[name] for name in ("model", "size"))
    if seconds < _LONG or mine or not backend.is_cpu():
        return ""
    return f"; `recipe` small is made for a CPU and takes minutes ({small.about})"


def announced(function: Callable, progress: console.Progress, text: str) -> Callable:
    """The function, whose first call, which compiles, says a text before and is left out of the time that is left."""
    called = False

    def call(*arguments):
        nonlocal called
        if called:
            return function(*arguments)
        called, began = True, time.monotonic()
        progress.say(text)
        with compilation.patience(progress.say):
            result = function(*arguments)
        progress.leave_out(time.monotonic() - began)
        return result

    return call
