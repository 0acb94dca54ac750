"""Convert a data set to another format.

    python scripts/convert.py --data /data/contest --format coco --out out/faces.json
    python scripts/convert.py --data annotations.json --format plain --out out/faces.csv --copy-pictures
    python scripts/convert.py --data drawn:20000:68 --format contest --out out/drawn

Labels go to the file --out (contest, pts, labelme, yolo: into the folder --out), with --copy-pictures the images too, to
the place where that format expects them; synthetic images are always written. Of existing files only --out itself is overwritten,
never one in a folder --out. If interrupted, the same command resumes. docs/formats.md describes what each format can hold.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import choices, words
from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_data("data of any format, a packed folder, or drawn:COUNT[:POINTS]", required=True)
    parser.add_argument("--part", default="train", choices=("train", "test"), help="of the data (default: %(default)s)")
    parser.add_argument("--format", required=True, choices=choices.WRITTEN, help="the format to write")
    parser.add_argument("--out", required=True, type=Path, help="the file or folder to write")
    parser.add_places()
    parser.add_argument("--copy-pictures", action="store_true", help="write the images too")
    return parser


console.begin(__name__, arguments)

from pipelines import open as opening
from pipelines.io.flags import places
from pipelines.packing import convert, overwrites, round_trip
from pipelines.sources import formats


def main() -> None:
    flags = arguments().parse_args()
    kind, drawn = flags.format, flags.data.startswith("drawn:")
    source = opening.open_any(flags.data, flags.part, once=True, **places(flags))
    out = flags.out / (flags.part if kind == "contest" else "")
    folder = convert.image_folder_of(kind, out) if drawn or flags.copy_pictures else None
    faults = convert.check(kind, out, folder, source)
    labels, images = convert.written(kind, out, folder, source)
    overwrites.check({"--out": labels, "--copy-pictures": images}, source, [flags.data, flags.boxes])
    kept: list[int] = []
    sent: list[round_trip.Sent] = []
    beside = round_trip.boxes_beside(kind, out, source)
    new = [path for path in labels if path != flags.out]
    with overwrites.resumable("--out", convert.mark_of(kind, out), new, repr(sorted(vars(flags).items()))):
        if folder:
            convert.check_images(folder, source)
        rows = round_trip.noted(convert.converted(source, folder, kind, kept, faults), sent)
        if beside:
            rows = round_trip.with_boxes_beside(rows, beside)
        if kind != "contest":
            formats.write(kind, out, rows, source, copied=folder is not None)
        else:
            convert.write_contest(out, rows, source, kept, decimals=0 if drawn else None)
    console.faults(faults)
    print(f"{len(kept)} of {words.counted(len(source), 'record')} as {kind}: {flags.out}")
    if beside:
        print(f"{kind} has no bounding boxes: they are in {beside}; give it as --boxes with this set")
    console.say(convert.describe(kind, flags.out, flags.part, folder, source, sent, kept, beside))


if __name__ == "__main__":
    console.run(main)
