"""Export a run's network as a file for other programs: StableHLO, for JAX, or ONNX.

    python scripts/export.py --run runs/NAME --out network.stablehlo
    python scripts/export.py --run runs/NAME --out network.onnx --format onnx

The input is RGB [batch, size, size, 3] in 0..255, cropped as in the run; the output is points in pixels of that square.
FILE.json beside the file describes both, with the formulas. The file is read back and run on images of the run's
validation split; if a point differs by more than 0.05 px, nothing is written and the exit code is 1. docs/export.md shows
how to load each.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import choices, words
from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument("--run", required=True, help="a run folder")
    parser.add_argument("--out", required=True, help="file to write; FILE.json is written beside it")
    parser.add_argument("--format", default="stablehlo", choices=choices.EXPORTS, help="default: stablehlo")
    parser.add_argument("--batch", type=int, help="images a call; default: any number")
    parser.add_argument(
        "--input", default="float32", choices=choices.PIXELS, help="type of the input (default: float32)"
    )
    parser.add_argument("--checkpoint", default="best", help="best, newest or a step (default: best)")
    parser.add_data("path of the run's data, if it was moved")
    parser.add_argument("--faces", type=int, default=64, help="number of images to check (default: %(default)s)")
    return parser


console.begin(__name__, arguments)

from pipelines import example
from pipelines.export import model_file, preprocessing
from pipelines.io import files
from pipelines.packing import overwrites
from pipelines.runs import restore, run_data, run_folder


def main() -> int:
    flags = arguments().parse_args()
    out, beside = Path(flags.out), Path(f"{flags.out}.json")
    for path in (out, beside):
        files.check_out("--out", path)
    for name in ("batch", "faces"):
        if (given := getattr(flags, name)) is not None and given < 1:
            raise ValueError(f"--{name} must be 1 or more, got {given}")
    model_file.check(flags.format)
    if out.suffix == ".onnx" and flags.format != "onnx":
        raise ValueError(f"--out {out}: for that give --format onnx")
    overwrites.check({"--out": [out, beside]}, inputs=[flags.data, run_folder.load(Path(flags.run)).config.data])
    found = restore.load(Path(flags.run), flags.checkpoint)
    data = run_data.of_run(found.run, flags.data)
    part = run_data.split_of(found.run, data, "val" if found.run.parts["val"] else "train")
    part = example.Subset(part, list(range(min(flags.faces, len(part)))))
    away, name = preprocessing.misplaced(found.run, part)
    if not away <= preprocessing.BOUND:
        print(
            f"error: {name}: the formulas of the preprocessing are off by {away:.2g} px, at most {preprocessing.BOUND:g} is"
            f" accepted: {out} was not written; check on other images (--data, --faces), or write this one as an upright PNG",
            file=sys.stderr,
        )
        return 1
    console.say(
        "tracing the network, then compiling it to check what was written (that folding constants is slow, as XLA may"
        " print, is no error)"
    )
    with files.whole(out) as file:
        file.write(model_file.make(flags.format, found, flags.input, flags.batch))
        file.flush()
        network = model_file.read(Path(file.name), flags.format)
        worst, count = model_file.difference(network, found, part, flags.input, flags.batch)
        cropped = " in their bounding boxes" if found.run.boxed else ""
        print(
            f"read again, run on {words.counted(count, 'image')}{cropped}: {worst:.2g} px from the run at most,"
            f" {model_file.TOLERANCE} asked"
        )
        if not worst <= model_file.TOLERANCE:
            print(f"error: that is not what the run predicts: {out} was not written", file=sys.stderr)
            sys.exit(1)
        beside.unlink(missing_ok=True)  # of an older file
    about = model_file.describe(found, flags.format, flags.input, flags.batch)
    files.write_json(beside, {**about, "parity": {"largest_px": worst, "photographs": count}})
    print(f"{found.run.config.model}, step {found.commit.step}, {words.size(out.stat().st_size)}: {out}, {beside}")
    return 0


if __name__ == "__main__":
    console.run(main)
