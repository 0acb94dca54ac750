"""Train the organisers' baseline in plain PyTorch: ResNet18, MSE, Adam 1e-3, no augmentation; evaluated as ours.

    python scripts/bench/baseline.py --data PATH --steps 600 --batch 32 --size 64 --out out/baseline.json

Images by OpenCV, resized to the short side and cut in the middle, ImageNet's mean and deviation, shuffled epochs by two
worker processes, no schedule. Trained on the whole training split, where ours holds out 5 % to choose a checkpoint by; the
newest weights are evaluated. The loss is of coordinates over half the crop, from its middle. NME is that of evaluate.py, on
the test split, in pixels of the images; seconds are of training, with reading and the workers' start.
"""

import math

import numpy as np

from jaxmarks import landmarks
from jaxmarks.evaluation import summary
from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import console, files
from pipelines.packing import overwrites
from pipelines.sources.tables import Images


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--data", required=True, help="a data set's folder or file, its test split with truth")
    parser.add_argument("--steps", type=int, default=600, help="training steps (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="images a step (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="side of the crop in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    parser.add_argument("--out", required=True, help="JSON file to write")
    flags = parser.parse_args()
    files.check_out("--out", flags.out)
    overwrites.check({"--out": [flags.out]}, inputs=[flags.data])
    try:
        import peers
    except ImportError:
        raise ValueError("no PyTorch here: pip install torch") from None
    train, test = images_of(flags.data, "train"), images_of(flags.data, "test")
    if not (flags.steps >= 1 and 2 <= flags.batch <= len(train) and flags.size >= 32):
        raise ValueError(f"expected --steps of 1 or more, --batch of 2 to {len(train)}, --size of 32 or more")
    model, seconds = peers.train(train, flags.batch, flags.size, flags.steps, flags.seed)
    assert test.table.label is not None
    labels = [test.table.label(i) for i in range(len(test))]
    truth, mask = np.stack([points for points, _ in labels]).astype(np.float64), np.stack([mask for _, mask in labels])
    points = peers.predict(model, test, flags.size)
    diagonal = np.array([math.hypot(*decode.image_size(test[i])) for i in range(len(test))])
    errors = summary.per_image(points, truth, mask, landmarks.scheme(test.num_points), diagonal)
    found = {name: float(np.nanmean(values)) for name, values in errors.items()}
    rate = flags.steps * flags.batch / seconds
    print(f"NME {found['nme']:.4f} (box {found['nme_box']:.4f}), {seconds:.0f} s, {rate:.1f} images/s")
    about = {"data": flags.data, "steps": flags.steps, "batch": flags.batch, "size": flags.size, "seed": flags.seed}
    speed = {"seconds": seconds, "images_per_s": rate, "torch": peers.torch.__version__}
    files.write_json(flags.out, {**about, **found, **speed, "photographs": len(train)})
    print(flags.out)
    return 0


def images_of(path: str, part: str) -> Images:
    """A part of the data as files with labels. Raises ValueError where it is packed, drawn or unlabelled."""
    source = opening.open_source(path, part)
    if not isinstance(source, Images) or not source.labelled:
        raise ValueError(f"{path}: the {part} part is not files with labels, which is what this script reads")
    return source


if __name__ == "__main__":
    console.run(main)
