"""Evaluate a run: NME, AUC, failure rate and, where points are requested, the contest score, each with its interval.

    python scripts/evaluate.py --run runs/NAME --data PATH --out out.json --plots out/plots --sheet out/worst.png
    python scripts/evaluate.py --run runs/NAME --data PATH --out out.json --against runs/OTHER
    python scripts/evaluate.py --run runs/NAME --data PATH --out out.json --tta standard --against-tta none

Reads the test split of the data (its ground truth: test/landmarks_true.csv), or with --part val the run's validation
split. Writes out.json, and beside it out.csv with one row an image. NME is divided by the scheme's norm (68 points: the
outer eye corners; 971: the pupils; others: the box); the box norm is always reported too. docs/evaluation.md defines each
number.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from pipelines.inference import prediction_flags
from pipelines.io import console, csv_text, distributed


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    prediction_flags.add(parser, "none")
    parser.add_data("default: what the run was trained on")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_places()
    parser.add_argument("--part", default="test", choices=("test", "val"), help="split to evaluate (default: test)")
    parser.add_argument(
        "--limit",
        type=float,
        default=0.10,
        help="NME where AUC ends and above which an image is a failure (default: 0.10)",
    )
    parser.add_argument(
        "--groups",
        help="regular expression whose match in a file name is the group (default: --split-by of the run that fits)",
    )
    parser.add_argument("--against", help="another run folder to compare with on the same images")
    parser.add_argument("--against-tta", help="views of the run compared with (default: as --tta)")
    parser.add_argument("--plots", help="folder for PNG files: cumulative curve, error by region and by slice")
    parser.add_argument("--sheet", help="PNG of the worst images, prediction (green) and ground truth (red)")
    distributed.add_arguments(parser)
    return parser


console.begin(__name__, arguments)

import numpy as np

from jaxmarks import processes, words
from jaxmarks.evaluation import summary
from jaxmarks.inference import Predicted
from jaxmarks.types import Batch
from pipelines import example, loader, predictor
from pipelines.evaluation import mean_face, scoring
from pipelines.example import Source
from pipelines.images import decode
from pipelines.inference import settings
from pipelines.io import files
from pipelines.io.flags import places
from pipelines.packing import overwrites
from pipelines.predictor import Predictor
from pipelines.reports import evaluation
from pipelines.reports.worst import Worst
from pipelines.runs import run_folder

_WORST = 24  # images on a sheet


def parsed() -> argparse.Namespace:
    """The command line, checked."""
    flags = arguments().parse_args()
    if not 0 < flags.limit < float("inf"):
        raise ValueError(f"--limit must be above 0, got {flags.limit}")
    if Path(flags.out).suffix == ".csv":
        raise ValueError(f"--out {flags.out}: name a .json file; the table goes beside it as .csv")
    files.check_outs(outs(flags), {"--plots"})
    against = [flags.against] if flags.against else flags.run
    if flags.against or flags.against_tta:
        same = [Path(r).resolve() for r in against] == [Path(r).resolve() for r in flags.run]
        if same and (flags.against_tta or flags.tta) == flags.tta:
            raise ValueError(f"--against: {against[0]} with views {flags.tta} would be compared with itself")
    return flags


def outs(flags: argparse.Namespace) -> dict[str, str | None]:
    """What to write, by flag."""
    table = str(Path(flags.out).with_suffix(".csv"))
    return {"--out": flags.out, "the table of --out": table, "--plots": flags.plots, "--sheet": flags.sheet}


def written(flags: argparse.Namespace) -> dict[str, list[Path]]:
    """The files that each flag stands for."""
    plots = [Path(flags.plots) / name for name in evaluation.PLOTS] if flags.plots else []
    return {**{flag: [Path(path)] for flag, path in outs(flags).items() if path}, "--plots": plots}


def predicted(
    over: list[Predictor], source: Source, faults: loader.Faults, sheet: Worst
) -> tuple[list[Predicted], np.ndarray]:
    """As `scoring.predicted`, with progress; the worst of the first predictor go to the sheet."""
    progress = console.Progress(len(source), "image")

    def watch(batch: Batch, some: Predicted) -> None:
        sheet.add(batch, some)
        progress.show(int(some.index[-1]) + 1)

    progress.start()
    found = scoring.predicted(over, source, faults, watch)
    progress.close()
    return found


def rival(flags: argparse.Namespace, net: Predictor) -> Predictor | None:
    """What to compare with: another run, other views, or both; asked otherwise as ours is."""
    if not flags.against and not flags.against_tta:
        return None
    other = argparse.Namespace(**vars(flags))
    other.run, other.tta = [flags.against] if flags.against else flags.run, flags.against_tta or flags.tta
    if flags.weights not in ("auto", "equal"):
        other.weights = "auto"  # what was given is for our views
    return predictor.from_flags(other, flags.data, watch=console.Passes())


def about(net: Predictor) -> dict:
    """Which runs, at what step, under which views."""
    asked = net.settings
    how = {"tta": asked.tta, "merge": asked.merge, "weights": asked.view_weights, "refine": asked.refine}
    return {
        "run": ", ".join(str(t.run.root) for t in net.ensemble.runs),
        "step": net.steps if len(net.steps) > 1 else net.steps[0],
        **how,
    }


def replaced(out: Path, part: str) -> str:
    """Of scores that are written over, that they were of another split; else nothing."""
    try:
        known = files.read_json(out) if out.is_file() else None
    except ValueError:
        known = None
    other = known.get("part", part) if isinstance(known, dict) else part
    return "" if other == part else f" (replaced: it held the scores of the {other} split)"


class Evaluated(NamedTuple):
    """What the files of an evaluation are written from."""

    names: list[str]  # of the images, in the order of the columns
    report: dict
    columns: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]  # NME of each image, by what is evaluated
    others: dict | None  # the report of what is compared with


def evaluated(
    flags: argparse.Namespace,
    over: list[Predictor],
    source: Source,
    train: Source | None,
    faults: loader.Faults,
    sheet: Worst,
) -> Evaluated:
    """The scores of the first predictor, and its comparison with the second, if there is one."""
    ours, scheme = over[0], over[0].scheme
    every, by = scoring.groups(
        source.names, flags.groups, [t.run.config.split_by for p in over for t in p.ensemble.runs]
    )
    (found, *other), bright = predicted(over, source, faults, sheet)
    console.say("mean training label and intervals")
    groups = every[found.index]
    scores, properties = scoring.scores(source, found, scheme), scoring.properties(found, scheme, bright)
    if train is not None:
        mean = found._replace(points=mean_face.mean_face(train, found, ours.run.config, faults))
        scores.rows["mean_face_nme"] = scoring.scores(source, mean, scheme).rows["nme"]
    report = {**scoring.report(scores, properties, flags.limit, groups, by), **about(ours)}
    report |= {"part": flags.part, "norm_fallbacks": summary.fallbacks(found, scheme)}
    report |= scoring.crops(source, found)
    names, data = example.names_at(source, found.index), flags.data or ours.run.config.data
    report |= scoring.by_set(scores, names, data, flags.limit, groups) if source.sets else {}
    report |= scoring.expected(found, scheme, groups, ours.radii(found))
    columns = {**scores.rows, **{f"region_{name}": v for name, v in scores.regions.items()}, **properties}
    curves, others = {evaluation.named(report): scores.rows["nme"]}, None
    if other:
        rival_is = about(over[1])
        judged = scoring.scores(source, other[0], scheme, found.index)
        report["comparison"] = scoring.comparison(scores, judged, groups, rival_is)
        others = scoring.report(judged, properties, flags.limit, groups, by)
        curves[evaluation.named(rival_is)] = columns["nme_against"] = judged.rows["nme"]
    return Evaluated(names, report, columns, curves, others)


def write(flags: argparse.Namespace, made: Evaluated, worst: np.ndarray | None) -> list[str]:
    """Write the files of an evaluation; what each holds, in words."""
    out, table = Path(flags.out), Path(flags.out).with_suffix(".csv")
    lines = [f"{out}{replaced(out, flags.part)}", f"each image in {table}"]
    files.write_json(out, made.report)
    with files.whole(table) as file:
        csv_text.write_table(file, made.names, made.columns)
    if flags.plots:
        plots = evaluation.draw(Path(flags.plots), made.report, made.curves, made.others)
        lines.append(f"plots in {Path(flags.plots)}: {', '.join(plots)}")
    if worst is not None:
        with files.whole(flags.sheet) as file:
            file.write(decode.encode_png(worst))
        lines.append(f"the worst in {flags.sheet} (predicted green, true red)")
    return lines


def main() -> int:
    flags, faults = parsed(), loader.Faults()
    console.join(vars(flags))
    settings.from_flags(flags)  # invalid settings are an error before anything is opened
    run = run_folder.load(Path(flags.run[0]))
    overwrites.check(written(flags), inputs=[flags.data, run.config.data, flags.boxes, flags.weights])
    source, train = scoring.images(run, flags.part, flags.data, **places(flags))
    overwrites.check(written(flags), source)
    console.say(f"{words.counted(len(source), 'image')}; restoring {', '.join(flags.run)}")
    ours = processes.first_then(lambda: predictor.from_flags(flags, flags.data, watch=console.Passes()))
    theirs = processes.first_then(lambda: rival(flags, ours))
    console.say(*ours.remarks, *(f"against: {line}" for line in (theirs.remarks if theirs else ())))
    for other in [*ours.ensemble.runs[1:], *(theirs.ensemble.runs if theirs else ())]:
        scoring.check_other(ours.run, other.run, source, flags.part)
    if flags.part == "val" and (ours.fit.images or ours.fit.calibration):
        print(
            "the validation split chose the checkpoint and what was fitted: its numbers flatter; the test split's do not"
        )
    sheet = Worst(ours.scheme, _WORST if flags.sheet else 0)
    made = evaluated(flags, [ours, theirs] if theirs else [ours], source, train, faults, sheet)
    sheet.share()
    lines = processes.in_first(lambda: write(flags, made, sheet.sheet(source.names))) or []
    console.say(*evaluation.lines(made.report))
    console.faults(processes.gather_lines(faults.report()))
    print(f"\n{evaluation.named(made.report)}: {'; '.join(lines)}")
    return 0


if __name__ == "__main__":
    console.run(main)
