"""Rank labels by how likely they are wrong, and write a page to review the first.

    python scripts/train.py --data PATH --name one --fold 1/3        and 2/3 as two, 3/3 as three
    python scripts/rank.py --run runs/one --run runs/two --run runs/three --out review
    python scripts/train.py --data PATH --name cleaned --review decisions.csv

Each image is predicted by the runs that were not trained on it, if there are any. Writes to --out: review.csv
(file_name, score, reason; the likeliest label errors first, every labelled image) and review.html, which needs no other
file and no network: image, label and prediction; keep, exclude or take the prediction, by mouse or keys; it gives
decisions.csv. docs/review.md explains the score.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import words
from pipelines.io import console, csv_text, distributed


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument("--run", action="append", required=True, help="a run folder; several of one data set")
    parser.add_data("path of the runs' data, if it was moved")
    parser.add_argument("--out", required=True, help="the folder to write to")
    parser.add_argument("--show", type=int, default=200, help="number of images on the page (default: %(default)s)")
    parser.add_argument("--checkpoint", default="best", help="best, newest or a step (default: best)")
    parser.add_argument(
        "--near-duplicates",
        action=argparse.BooleanOptionalAction,
        help="compare near-duplicates (default: unless the first run was trained with --no-near-duplicates)",
    )
    distributed.add_arguments(parser)
    return parser


console.begin(__name__, arguments)

import numpy as np

from jaxmarks import processes
from pipelines import example, loader
from pipelines.io import files
from pipelines.label_review import predictions, scores
from pipelines.packing import overwrites
from pipelines.reports import review
from pipelines.runs import restore, run_folder
from pipelines.sources import boxes

_MOST = 2000  # images on a page


def main() -> int:
    flags = arguments().parse_args()
    console.join(vars(flags))
    if not 1 <= flags.show <= _MOST:
        raise ValueError(f"--show must lie in 1..{_MOST}, got {flags.show}: more would be too much for one page")
    out, faults = Path(flags.out), loader.Faults()
    files.check_out("--out", out, folder=True)
    configs = [run_folder.load(Path(run)).config for run in flags.run]
    read = [path for config in configs for path in (config.data, config.review)]
    overwrites.check({"--out": [out / "review.csv", out / "review.html"]}, inputs=[flags.data, *read])
    found, source = predictions.open_runs(flags.run, flags.checkpoint, flags.data)
    out.mkdir(parents=True, exist_ok=True)  # what cannot be written to is found before an hour's work
    known = predictions.gather(found, source, faults)
    undecodable = processes.gather_lines(faults.report())
    processes.in_first(lambda: write(flags, found, source, known, undecodable))
    return 0


def write(
    flags: argparse.Namespace,
    found: Sequence[restore.Trained],
    source: example.Source,
    known: predictions.Known,
    undecodable: list[str],
) -> None:
    """Rank the labels, write the table and the page, and say what stands out."""
    out, configs = Path(flags.out), [t.run.config for t in found]
    names = example.names_at(source, known.index)
    compared = found[0].run.config.near_duplicates if flags.near_duplicates is None else flags.near_duplicates
    groups = source.groups if compared else None
    twins = groups and [groups[int(i)] for i in known.index]
    parts = scores.parts(known, found[0].plan.scheme.mirror, twins)
    score, reasons = scores.score(parts), scores.reasons(known, parts, names)
    order = np.argsort(-score, kind="stable")
    with files.whole(out / "review.csv") as file:
        file.write(csv_text.row(["file_name", "score", "reason"]))
        for i in order:
            file.write(csv_text.row([names[i], f"{score[i]:.3f}", reasons[i]]))

    def item(i: int) -> review.Item:
        other = scores.similar(parts, i)
        beside = None if other < 0 else (names[other], source[int(known.index[other])])
        return review.Item(names[i], source[int(known.index[i])], known.points[i], float(score[i]), reasons[i], beside)

    items = [item(i) for i in order[: flags.show]]
    lead = f"The {len(items)} likeliest label errors of {len(names)} labels, by {', '.join(flags.run)}."
    with files.whole(out / "review.html") as file:
        file.write(review.page("Labels to review", items, lead).encode())
    console.faults(undecodable)
    by_labels = boxes.of_labels(source, known.index)
    console.say(
        *predictions.remarks(known, found[0].run, by_labels),
        f"{words.counted(len(names), 'label')} ranked: {out / 'review.csv'};"
        f" the first {len(items)} to decide about: {out / 'review.html'}, which gives decisions.csv; then"
        f" python scripts/train.py --data {shlex.quote(flags.data or configs[0].data)} --model {configs[0].model} --size"
        f" {configs[0].size} --name cleaned --review decisions.csv",
    )


if __name__ == "__main__":
    console.run(main)
