"""Predict landmarks of images with test-time augmentation, and the expected error of each point.

    python scripts/predict.py --run runs/NAME --data PATH --out submission.csv
    python scripts/predict.py --run runs/NAME --images FOLDER --out points.csv --spread errors.csv --overlays FOLDER
    python scripts/predict.py --run runs/A --run runs/B --data PATH --out blend.csv

The first writes the contest's submission for the test split (the requested points of each image, rounded), with
--all-points every point in the layout of its landmarks.csv. For plain images, and for data in another format, every point
is written as comma-separated file_name,x_0,y_0,x_1,...; --format selects another layout. Several machines with one file
system: --part 0/4 ... --part 3/4, then the same command with --merge-parts. All views of a batch run in one
call, are mapped back exactly and merged. Weights of the views and expected errors are fitted at first use, on the run's
validation split, and stored in the run folder. If interrupted, the same command resumes. See docs/prediction.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import choices, words
from pipelines.inference import prediction_flags
from pipelines.io import console, distributed


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    prediction_flags.add(parser, "standard")
    parser.add_data(
        "data whose test split to predict, or all of it where it has none; default: what the run was trained on."
        " With --images: where that lies now, for what has to be fitted",
    )
    parser.add_places()
    parser.add_argument("--images", help="images to predict: a folder with its subfolders, or one file")
    parser.add_argument("--out", required=True, help="file to write (with --format pts, labelme, yolo: folder)")
    parser.add_argument("--all-points", action="store_true", help="every point instead of the submission")
    parser.add_argument("--format", choices=choices.WRITTEN, help="every point, in the files of this format")
    parser.add_argument(
        "--spread",
        help="CSV to write: the expected error of every point, requested or not, in pixels of its image",
    )
    parser.add_argument("--photographs", help="CSV to write: expected error and confidence of each image")
    parser.add_argument("--limit", type=float, default=0.1, help="NME limit of the confidence (default: 0.1)")
    parser.add_argument("--overlays", help="folder for JPEG files: each image with its points, crop and confidence")
    parser.add_argument("--part", default="", metavar="I/N", help="predict the I-th of N parts of the images, and stop")
    parser.add_argument("--merge-parts", action="store_true", help="write --out from the parts that were predicted")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and stop")
    distributed.add_arguments(parser)
    return parser


console.begin(__name__, arguments)

import numpy as np

from jaxmarks import processes
from pipelines import example, predictor
from pipelines import open as opening
from pipelines.inference import fitting, overlays, results, resume, settings
from pipelines.io import files
from pipelines.io.flags import places
from pipelines.packing import overwrites
from pipelines.runs import boxed, run_data, run_folder
from pipelines.sources import formats
from pipelines.sources.formats import contest


def main() -> int:
    flags = parsed()
    console.join(vars(flags))
    if flags.part and processes.count() > 1:
        raise ValueError(
            "--part is for commands that run apart: several processes of one command share the images themselves"
        )
    run, out = run_folder.load(Path(flags.run[0])), Path(flags.out)
    source, data = opened(run, flags), None if flags.images else flags.data or run.config.data
    files_of = written(flags, source)
    overwrites.check(files_of, source, [data, run.config.data, flags.images, flags.boxes, flags.weights])
    overwrites.check_overlays("--overlays", files_of.get("--overlays", []))
    if in_folder(flags) and not resume.folder(out).is_dir():  # else this command wrote them and goes on
        overwrites.check_new("--out", files_of["--out"])
    console.say(f"{words.counted(len(source), 'image')}; restoring {', '.join(flags.run)}")
    needed = bool(flags.spread or flags.photographs)
    if needed and (short := fitting.shortage(run)):
        reject(short)
    net = processes.first_then(  # which fits what is not fitted yet
        lambda: predictor.from_flags(flags, flags.data, flags.dry_run, watch=console.Passes())
    )
    asked = None if flags.all_points or flags.format else source.asked
    if asked is not None:
        contest.check_asked(asked)
    if needed and net.fit.calibration is None and not flags.dry_run:
        reject(net.fit.remark)
    console.say(*net.remarks)
    if flags.dry_run:
        taken, views = (
            words.size(resume.size(len(source), net.scheme.num_points)),
            words.counted(net.ensemble.views, "view"),
        )
        known = resume.known(out, about(flags, net, source), source)
        print(
            f"{words.counted(len(source), 'image')} under {views}{f', {known} of them done' if known else ''};"
            f" {taken} beside {out} until it is written"
        )
        return 0
    if not made(flags, net, source, out):
        return 0
    with processes.held(lambda: resume.locked(out)):
        processes.in_first(lambda: write(flags, net, source, asked, data))
    return 0


def made(flags: argparse.Namespace, net: predictor.Predictor, source: example.Source, out: Path) -> bool:
    """Predict what is not there yet; return whether the file is to be written now."""
    part = distributed.part_of(flags.part) if flags.part else (processes.index(), processes.count())
    if flags.merge_parts:
        return True
    progress = console.Progress(resume.count(len(source), part), "image")
    progress.start()
    with resume.locked(out, part):
        begin = resume.join if flags.part else resume.begin
        processes.first_then(lambda: begin(out, about(flags, net, source)))
        processes.together(lambda: resume.make(out, source, net.predictions, progress.show, part))
    progress.close()
    processes.agree(0)  # all have let go of their lock before one takes it for the whole
    if flags.part:
        print(f"part {flags.part} is predicted; when all are: the same command with --merge-parts in place of --part")
    return not flags.part


def write(
    flags: argparse.Namespace,
    net: predictor.Predictor,
    source: example.Source,
    asked: Sequence[np.ndarray] | None,
    data: str | None,
) -> None:
    """Write the files of a prediction from its blocks."""
    out = Path(flags.out)
    found = resume.whole(out, source)
    if asked is None:
        results.write_points(out, flags.format or results.layout(source, data), source, found, data)
    else:
        results.write_submission(out, source, asked, found)
    finish(flags, net, source, found)
    resume.done_with(out)


def reject(why: str) -> NoReturn:
    """Raise ValueError: errors were asked for, and cannot be expected."""
    raise ValueError(
        f"--spread and --photographs need expected errors, which are missing: {why}. Leave them out for the points alone"
    )


def about(flags: argparse.Namespace, net: predictor.Predictor, source: example.Source) -> dict:
    """All that the predictions depend on, as plain data."""
    given = files.digest(Path(flags.boxes)).hex() if flags.boxes else ""
    looked_at = {"data": flags.images or flags.data, "pictures": flags.pictures, "boxes": given}
    looked_at |= {"category": flags.category} if flags.category else {}
    return {"predictor": net.about, **looked_at, "photographs": example.names_digest(source)}


def parsed() -> argparse.Namespace:
    flags = arguments().parse_args()
    distributed.part_of(flags.part)
    if flags.part and (flags.merge_parts or flags.dry_run):
        raise ValueError(
            "--part stands alone: --merge-parts comes when all parts are predicted, --dry-run is of all images"
        )
    if flags.images and flags.pictures:
        raise ValueError("--pictures goes with --data; --images is a folder of images already")
    files.check_outs(outs(flags), {"--overlays", *(["--out"] if in_folder(flags) else [])})
    if not 0 < flags.limit < float("inf"):
        raise ValueError(f"--limit must be above 0, got {flags.limit}")
    settings.from_flags(flags)
    return flags


def outs(flags: argparse.Namespace) -> dict[str, str | None]:
    """What to write, by flag."""
    return {f"--{name}": getattr(flags, name) for name in ("out", "spread", "photographs", "overlays")}


def written(flags: argparse.Namespace, source: example.Source) -> dict[str, list[Path]]:
    """The files that each flag stands for."""
    found = {flag: [Path(path)] for flag, path in outs(flags).items() if path}
    if in_folder(flags):
        names = formats.FORMATS[flags.format].files_of(source.names)
        found["--out"] = [overwrites.below(Path(flags.out), name) for name in names]
    if flags.overlays:
        found["--overlays"] = overlays.paths(Path(flags.overlays), source.names)
    return found


def in_folder(flags: argparse.Namespace) -> bool:
    """Whether the predictions are the files of a folder."""
    return hasattr(formats.FORMATS.get(flags.format), "files_of")


def opened(run: run_folder.Run, flags: argparse.Namespace) -> example.Source:
    """What to predict."""
    if flags.images:
        return boxed.cropped(
            run, opening.open_images(flags.images, run.scheme.num_points, flags.boxes, [flags.overlays])
        )
    source = run_data.test_split(run, flags.data, **places(flags))
    run_folder.check_points(run, source)
    return source


def finish(flags: argparse.Namespace, net: predictor.Predictor, source: example.Source, found: resume.Kept) -> None:
    """Write what stands beside the points, and print the summary."""
    if flags.spread:
        results.write_spread(Path(flags.spread), source, found)
        print(f"expected errors: {flags.spread}")
    if flags.photographs:
        least = results.write_image_table(Path(flags.photographs), source, net, found, flags.limit)
        print(f"expected errors of images: {flags.photographs}; the least certain: {', '.join(least)}")
    if flags.overlays:
        places = overlays.paths(Path(flags.overlays), source.names)
        for some in found:
            overlays.write(places, source, some, net, flags.limit)
        red = ", red: true" if source.labelled else ""
        print(f"overlays: {flags.overlays} (green: predicted{red}; blue frame: what the network saw)")
    console.faults(found.faults)
    count = len(found.index())
    short = f" of {len(source)} (the others could not be used)" if count < len(source) else ""
    steps = ", ".join(map(str, net.steps))
    print(f"{words.counted(count, 'image')}{short}, step {steps}, views {flags.tta}: {flags.out}")


if __name__ == "__main__":
    console.run(main)
