"""Draw images and points under an augmentation, as the network would see them in training.

    python scripts/augment.py --data PATH --augment contest --out sheet.png
    python scripts/augment.py --data drawn:200:68 --augment mine.json --size 96 --count 40 --out sheet.png

Each image is augmented as in training with the same --seed.
"""

import math
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument("--data", default="drawn:200", help="as for train.py (default: %(default)s)")
    parser.add_places(["category"])
    parser.add_argument("--augment", default="auto", help="a preset or a JSON file (default: %(default)s)")
    parser.add_argument("--scheme", default="", help="scheme file with the mirror permutation")
    parser.add_argument(
        "--size", type=int, default=128, help="side of the network's input in pixels (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=100, help="number of images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="root key (default: %(default)s)")
    parser.add_argument("--out", required=True, help="PNG to write")
    return parser


console.begin(__name__, arguments)

import numpy as np

from jaxmarks import experiment, words
from jaxmarks.training import sharding
from pipelines import example, loader
from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import overwrites
from pipelines.reports import sheets
from pipelines.runs import run_folder


def main() -> int:
    flags = vars(arguments().parse_args())
    out, count = flags.pop("out"), flags.pop("count")
    files.check_out("--out", out)
    config = run_folder.settings({**flags, "batch": max(count, 1), "model": "resnet18"})
    source, faults = opening.open_source(config.data, category=config.category), loader.Faults()
    overwrites.check({"--out": [out]}, source, [config.data, flags["augment"], config.scheme])
    scheme = run_folder.scheme_of(config, source.num_points, source.point_names, source.mirror)
    plan = experiment.assemble(
        config, run_folder.key_of(config), scheme, len(source), sharding.mesh_dividing(config.divisible)
    )
    console.say(f"drawing {words.counted(count, 'image')}; the augmentation is compiled first")
    batch = next(loader.batches(source, config, plan.key, faults=faults))
    shown = plan.render()(plan.split(batch))
    captions = [sheets.shortened(name) for name in example.names_at(source, batch.index)]
    with files.whole(out) as file:
        sheet = sheets.batch_sheet(
            np.asarray(shown.images), np.asarray(shown.points), captions, math.ceil(math.sqrt(count))
        )
        file.write(decode.encode_png(sheet))
    console.faults(faults.report())
    print(f"{words.counted(count, 'image')} under {config.augment[:60]}: {out}")
    return 0


if __name__ == "__main__":
    console.run(main)
