"""Curves as PNG files: the one place that imports matplotlib. No global state, so that a file depends on its numbers
alone."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from jaxmarks import sweep
from pipelines import files

_RAW, _SMOOTH, _RANGE = "#9db7d5", "#12467f", "#2e9e5b"


def _figure(path: str | Path, title: str, draw: Callable[[Axes], None]) -> None:
    """One pair of axes, 1350 x 810 pixels, drawn under matplotlib's own defaults whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(9, 5.4), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, fontsize=11, parse_math=False)
        axes.grid(which="major", alpha=0.25)
        draw(axes)
        axes.legend(fontsize=10, framealpha=0.9)
        with files.whole(path) as file:
            figure.savefig(file, format="png", metadata={"Software": None})


def learning_rate(
    path: str | Path,
    title: str,
    rates: np.ndarray,
    losses: np.ndarray,
    smoothed: np.ndarray,
    suggestion: sweep.Suggestion | None,
) -> None:
    """A sweep as a PNG: losses and smoothed f64[steps] over rates, both by logarithm, the first step on the left."""

    def draw(axes: Axes) -> None:
        axes.plot(rates, losses, color=_RAW, linewidth=1, label="loss of each batch")
        axes.plot(rates, smoothed, color=_SMOOTH, linewidth=2.4, label="smoothed")
        if suggestion is not None:
            low, high, best = suggestion
            told = f"range {sweep.short(low)} .. {sweep.short(high)}"
            axes.axvspan(low, high, color=_RANGE, alpha=0.16, linewidth=0, label=told)
            axes.axvline(best, color=_RANGE, linewidth=2, linestyle="--", label=f"suggested {sweep.short(best)}")
        axes.set_xscale("log")
        axes.set_yscale("log", nonpositive="mask")
        edge = (rates[-1] / rates[0]) ** 0.01
        axes.set_xlim(rates[0] / edge, rates[-1] * edge)
        axes.xaxis.set_major_formatter(lambda rate, _: sweep.short(rate))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 1)))
        axes.tick_params(which="both", labelsize=10)
        axes.set_xlabel("learning rate, in the order of the steps", fontsize=11)
        axes.set_ylabel("training loss", fontsize=11)

    _figure(path, title, draw)
