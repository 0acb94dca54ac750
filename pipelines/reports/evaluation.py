"""Evaluation reports as lines for a terminal and as plots. `report` is the content of evaluate.py's out.json."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxmarks import words
from jaxmarks.evaluation import reliability
from pipelines.reports import plots
from pipelines.sources.boxes import of_labels_lines

_EXPECTED = {
    "spearman_points": "Spearman, all points",
    "spearman_within": "Spearman, in an image",
    "spearman_photographs": "Spearman, images",
    "nme_without": "NME without the worst 10 %",
    "fall": "NME falls by, %",
    "fall_at_most": "... if errors were known",
}
_SLICES = "NME by slice; by the box; images, and from where to where"
_UNITS = {"size": " px", "pose": "", "brightness": ""}


def _interval(found: list[float] | None) -> str:
    return "" if found is None else f"[{found[0]:.4f}, {found[1]:.4f}]"


def _line(name: str, value: float | None, interval: list[float] | None, rest: str = "") -> str:
    shown = f"{'':9s}" if value is None else f"{value:9.4f}"
    return f"{name:28s} {shown}   {_interval(interval):20s} {rest}".rstrip()


def lines(report: dict[str, Any]) -> list[str]:
    """The whole report, a line a number."""
    by = (
        f"{words.counted(report['groups']['count'], 'group')} by {report['groups']['by']}"
        if report["groups"]["by"]
        else "one by one"
    )
    found = [f"{words.counted(report['count'], 'image')}, {by}; in brackets 95 % intervals"]
    if cropped := report.get("boxes"):
        found.append("images are cropped to their bounding boxes")
        found += of_labels_lines(cropped["of_labels"], cropped["count"], "images")
    found += [_line(name, report[name], interval) for name, interval in report["intervals"].items()]
    if None not in (mean := report.get("mean_face_nme"), report["nme"]) and report["nme"] >= mean:
        found.append("NME is no better than that of the mean training label, which looks at no image")
    if report["groups"]["count"] < 2:
        found.append("there is one group only, and so no interval: see `groups`")
    found += _fallbacks(report.get("norm_fallbacks", {}), report["count"])
    for title, part in (
        ("NME by data set", _sets(report)),
        ("NME by region", _regions(report)),
        (_SLICES, _slices(report)),
    ):
        found += ["", title, *part] if part else []
    if "expected" in report:
        e = report["expected"]
        names = [name for name in e["intervals"] if e[name] is not None]
        found += ["", "expected error against true error"]
        found += [_line(f"  {_EXPECTED.get(n, n.replace('_', ' '))}", e[n], e["intervals"][n]) for n in names]
    if "comparison" in report:
        found += ["", *_comparison(report["comparison"])]
    return found


def _fallbacks(counts: dict[str, int], images: int) -> list[str]:
    names = {"box": "the box of their labelled points", "diagonal": "the diagonal of the image"}
    return [
        f"NME of {count} of {images} divided by {names[name]}: the norm before it is zero or not labelled"
        for name, count in counts.items()
        if count
    ]


def _sets(report: dict[str, Any]) -> list[str]:
    found = report.get("sets", {}).items()
    return [_line(f"  {name}", s["nme"], s["intervals"]["nme"], f"{s['count']:6d}, {s['data']}") for name, s in found]


def _regions(report: dict[str, Any]) -> list[str]:
    return [_line(f"  {name}", r["mean"], r["interval"]) for name, r in report["regions"].items()]


def _slices(report: dict[str, Any]) -> list[str]:
    found = []
    for kind, thirds in report["slices"].items():
        for third in thirds:
            edges = f"{words.number(third['low'])} to {words.number(third['high'])}{_UNITS[kind]}"
            detail = f"{third['mean_box']:.4f}  {third['count']:6d}, {edges}"
            found.append(_line(f"  {kind}: {third['name']}", third["mean"], third["interval"], detail))
    return found


def named(about: dict[str, Any]) -> str:
    """A run under its views, in a few words."""
    steps = about["step"] if isinstance(about["step"], list) else [about["step"]]
    return f"{about['run']}, step {', '.join(map(str, steps))}, views {about['tta']}"


def _comparison(c: dict[str, Any]) -> list[str]:
    found = [f"against {named(c['against'])}: NME {c['said']}"]
    for name, n in {**c["numbers"], **{f"  {region}": r for region, r in c["regions"].items()}}.items():
        pair = f"{n['ours']:9.4f}   against {n['theirs']:.4f}"
        percent = "" if n["percent"] is None else f"{n['percent']:+.1f} %"
        edges = "" if n["percent_interval"] is None else "[{:+.1f}, {:+.1f}]".format(*n["percent_interval"])
        found.append(f"{name:28s} {pair:28s} {percent:>9s} {edges}".rstrip())
    return found


PLOTS = ("cumulative.png", "regions.png", "slices.png", "expected.png")


def draw(folder: Path, report: dict[str, Any], nme: dict[str, np.ndarray], others: dict[str, Any] | None) -> list[str]:
    """Write those of cumulative.png, regions.png, slices.png and expected.png that there are numbers for; return their
    names.

    nme: name -> f64[images] of the evaluated predictions and, second, of those they are compared with, whose "regions"
    and "slices" are in `others`.
    """
    many = words.counted(report["count"], "image")
    both = [report] if others is None else [report, others]
    series = {"regions": [r["regions"] for r in both], "slices": [_flat(r["slices"]) for r in both]}
    plots.cumulative(folder / "cumulative.png", f"Cumulative error, {many}", nme, report["limit"])
    written = ["cumulative.png"]
    for kind, parts in series.items():
        if parts[0]:
            name = f"{kind}.png"
            plots.bars(folder / name, f"Error by {kind[:-1]}, {many}", dict(zip(nme, parts, strict=True)))
            written.append(name)
    if "expected" in report:
        curve = reliability.Curve(**{k: np.array(v) for k, v in report["expected"]["curve"].items()})
        plots.expected(
            folder / "expected.png", f"Expected and true error, {report['expected']['points']} points", curve
        )
        written.append("expected.png")
    return written


def _flat(slices: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return {f"{kind}: {third['name']}": third for kind, thirds in slices.items() for third in thirds}
