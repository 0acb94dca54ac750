"""Landmarks of photographs, under as many views at once as you like.

    python scripts/predict.py --run runs/NAME --data PATH --out submission.csv
    python scripts/predict.py --run runs/NAME --images FOLDER --out points.csv --overlays FOLDER

The first writes the contest's submission for the test part (the points asked of each photograph, rounded); with
--all-points, or for plain pictures, every point in the layout of landmarks.csv. The views are rendered and run in one
vmapped call, un-warped exactly and averaged.
"""

from pathlib import Path

from jaxmarks import assemble, predict, tta
from pipelines import answers, console, files, formats, loader, runs, sources, trained
from pipelines.formats import contest


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--run", required=True, help="a run folder")
    parser.add_argument("--data", help="data whose test part to predict; default: what the run was trained on")
    parser.add_argument("--pictures", default="", help="the folder of the photographs, where the data does not say")
    parser.add_argument("--boxes", default="", help="CSV of file_name,x,y,width,height: what to look at in each")
    parser.add_argument("--images", help="a folder of plain pictures, in place of --data")
    parser.add_argument("--out", required=True, help="the file to write")
    parser.add_argument(
        "--tta", default="standard", choices=tta.NAMES, help="views of each photograph (default: standard)"
    )
    parser.add_argument("--all-points", action="store_true", help="every point in place of the submission")
    parser.add_argument("--format", choices=formats.FORMATS, help="every point, in the files of a format")
    parser.add_argument("--overlays", help="a folder for the photographs with their points drawn")
    parser.add_argument("--checkpoint", default="best", help="best, newest or a step (default: best)")
    flags = parser.parse_args()
    if flags.images and flags.data:
        raise ValueError("give --data or --images, not both")
    if flags.images and flags.overlays and Path(flags.overlays).resolve() == Path(flags.images).resolve():
        raise ValueError(f"--overlays {flags.overlays}: that is the folder of the photographs; take another")
    run, plan, state, commit = trained.load(Path(flags.run), flags.checkpoint)
    faults = loader.Faults()
    if flags.images:
        source = sources.open_pictures(flags.images, run.scheme.num_points)
    else:
        source = runs.test_part(run, flags.data, pictures=flags.pictures, boxes=flags.boxes)
    runs.check_points(run, source)
    progress = console.Progress(len(source), "photograph")
    batches = progress.over(loader.ordered(source, run.config, faults=faults))
    found = predict.gather(predict.predictions(assemble.forward(plan, flags.tta), state, batches, plan.mesh))
    progress.close()
    names, asked = sources.names_at(source, found.index), sources.asked_points(source)
    if asked is None or flags.all_points or flags.format:
        answers.write_points(
            Path(flags.out),
            flags.format or "contest",
            source,
            found,
            None if flags.images else flags.data or run.config.data,
        )
    else:
        with files.whole(flags.out) as file:
            contest.write_submission(file, names, found.points, [asked[i] for i in found.index])
    if flags.overlays:
        answers.write_overlays(Path(flags.overlays), source, found)
        known = ", red: true" if found.mask.any() else ""
        print(f"overlays: {flags.overlays} (green: predicted{known})")
    console.faults(faults.report())
    short = f" of {len(source)}, the others could not be used" if len(names) < len(source) else ""
    print(f"{len(names)} photographs{short}, step {commit.step}, views {flags.tta}: {flags.out}")
    return 0


if __name__ == "__main__":
    console.run(main)
