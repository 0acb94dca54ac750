"""Plots as PNG files: the only module that imports matplotlib. No global state, so a file depends only on its numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxmarks.evaluation import metrics, reliability
from jaxmarks.training import sweep
from pipelines.io import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RAW, _SMOOTH, _RANGE = "#9db7d5", "#12467f", "#2e9e5b"
_OURS, _THEIRS, _GREY, _INK = "#12467f", "#d9772b", "#8a949e", "#1d2329"


def _figure(path: str | Path, title: str, draw: "Callable[[Axes], None]", below: bool = False) -> None:
    """One pair of axes, 1350 x 810 pixels, drawn under matplotlib's own defaults whatever the user's matplotlibrc says.

    below: the legend goes under the axes, where it can hide nothing.
    """
    import matplotlib  # a second: for the commands that draw
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(9, 5.4), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, fontsize=11, parse_math=False)
        axes.grid(which="major", alpha=0.25)
        draw(axes)
        style = {"fontsize": 10, "framealpha": 0.9}
        legend = figure.legend(loc="outside lower center", **style) if below else axes.legend(**style)
        for text in legend.get_texts():
            text.set_parse_math(False)
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
    from matplotlib.ticker import LogFormatter

    def draw(axes: "Axes") -> None:
        axes.plot(rates, losses, color=_RAW, linewidth=1, label="loss of each batch")
        axes.plot(rates, smoothed, color=_SMOOTH, linewidth=2.4, label="smoothed")
        if suggestion is not None:
            low, high, best = suggestion
            label = f"range {sweep.short(low)} .. {sweep.short(high)}"
            axes.axvspan(low, high, color=_RANGE, alpha=0.16, linewidth=0, label=label)
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


def cumulative(path: str | Path, title: str, curves: dict[str, np.ndarray], limit: float) -> None:
    """The share of images whose NME f64[n] is at most x, of one or two sets under their names. x goes to `limit`, or as
    far as 95 % of the images, but not beyond three times the limit."""
    known = {name: np.sort(values[np.isfinite(values)]) for name, values in curves.items()}
    end = max(limit, min(3 * limit, 1.02 * max(float(np.quantile(values, 0.95)) for values in known.values())))

    def draw(axes: "Axes") -> None:
        for (name, errors), colour in zip(known.items(), (_OURS, _THEIRS), strict=False):
            auc, failed = (np.mean(column) for column in metrics.by_limit(errors, limit))
            shown = errors[errors <= end]
            x = np.concatenate([[0], shown, [end]])
            y = 100 * np.concatenate([np.arange(len(shown) + 1), [len(shown)]]) / len(errors)
            label = f"AUC {auc:.3f}, failures {100 * failed:.1f} %: {name}"
            axes.step(x, y, where="post", color=colour, linewidth=2.2, label=label)
        axes.axvline(limit, color=_GREY, linewidth=1.4, linestyle="--", label=f"limit {limit:g}")
        axes.set_xlim(0, end)
        axes.set_ylim(0, 100)
        axes.set_xlabel("NME, by the scheme's norm", fontsize=11)
        axes.set_ylabel("images with at most this NME, %", fontsize=11)

    _figure(path, title, draw, below=True)


def bars(path: str | Path, title: str, series: dict[str, dict[str, dict[str, Any]]]) -> None:
    """NME of one or two sets of the same things, a bar each from the top down; of a thing "mean" and "interval" are drawn."""

    def draw(axes: "Axes") -> None:
        things, height = list(next(iter(series.values()))), 0.8 / len(series)
        for place, ((name, lines), colour) in enumerate(zip(series.items(), (_OURS, _THEIRS), strict=False)):
            known = [(at, lines[thing]) for at, thing in enumerate(things) if thing in lines]
            where = [at + height * (place + 0.5) - 0.4 for at, _ in known]
            means = [line["mean"] for _, line in known]
            axes.barh(where, means, height, color=colour, alpha=0.85, label=name)
            for y, (_, line) in zip(where, known, strict=True):
                if line["interval"] is not None:
                    axes.plot(line["interval"], [y, y], color=_INK, linewidth=1.4)
        axes.set_yticks(range(len(things)), things, fontsize=10, parse_math=False)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("NME, and its 95 % interval", fontsize=11)

    _figure(path, title, draw, below=True)


def expected(path: str | Path, title: str, curve: reliability.Curve) -> None:
    """A reliability curve: mean true error against mean expected error, in pixels of the image, and where they agree."""

    def draw(axes: "Axes") -> None:
        end = 1.05 * max(curve.expected.max(), curve.error.max())
        axes.plot([0, end], [0, end], color=_GREY, linewidth=1.4, linestyle="--", label="expected = true")
        label = f"points in {len(curve.count)} bins of equal number"
        axes.plot(curve.expected, curve.error, color=_OURS, linewidth=2.2, marker="o", label=label)
        axes.set_xlim(0, end)
        axes.set_ylim(0, end)
        axes.set_xlabel("expected error, pixels of the image", fontsize=11)
        axes.set_ylabel("true error, pixels of the image", fontsize=11)

    _figure(path, title, draw, below=True)
