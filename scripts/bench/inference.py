"""Prediction with batch norm folded into the convolutions, beside it unfolded and PyTorch's same network, in turn.

    python scripts/bench/inference.py

ResNet18 at 96 px and ResNet50 at 128 px, batches of 32 and of 1, random pictures from memory: pictures a second, medians of
rounds in which all take their turn, and how many times as fast as the others the folded one is, medians of each round's
ratio. PyTorch runs in eval mode under inference_mode, channels last, batch norm fused into its convolutions as a careful
user has it. Writes out/inference.json.
"""

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from render import clocked

from jaxmarks import backend, models
from pipelines import console, files

NETWORKS = (("resnet18", 96), ("resnet50", 128))
POINTS, ROUNDS = 68, 10


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--out", default="out/inference.json", help="where the rows go (default: %(default)s)")
    flags = parser.parse_args()
    try:
        import torch_resnet
    except ImportError:
        torch_resnet = None
    rows = []
    for name, size, batch in ((name, size, batch) for name, size in NETWORKS for batch in (32, 1)):
        row = compare(name, size, batch, torch_resnet)
        rows.append(row)
        print(f"{row['name']} at {row['size']} px, batch {row['batch']}, pictures/s: ", end="")
        print(", ".join(f"{side} {speed:.1f}" for side, speed in row["speed"].items()), end="; ")
        print(
            "folded is ",
            ", ".join(f"{ratio:.2f} times {side}" for side, ratio in row["ratio"].items()),
            sep="",
            flush=True,
        )
    files.write_json(flags.out, {"device": jax.devices()[0].device_kind, "rows": rows})
    print(flags.out)
    return 0


def compare(name: str, size: int, batch: int, peer) -> dict:
    """One row; peer: the module `torch_resnet`, None without PyTorch."""
    image = np.random.RandomState(0).uniform(0, 255, (batch, size, size, 3)).astype(np.float32)
    model = models.build(name, POINTS)
    weights = jax.jit(model.init, static_argnums=1)(jax.random.key(0), size)
    options = backend.compiler_options()
    folded, fast = model.fold(*weights), jax.jit(model.predict, compiler_options=options)
    plain = jax.jit(model.apply, static_argnums=3, compiler_options=options)
    sides: dict[str, Callable[[], object]] = {
        "folded": lambda: jax.block_until_ready(fast(folded, image)),
        "unfolded": lambda: jax.block_until_ready(plain(*weights, image, False)[0]),
    }
    if peer is not None:
        sides["PyTorch"] = peer.ready(name, POINTS, image)
    for run in sides.values():
        run()
        run()
    rounds = [{side: rested(run) for side, run in sides.items()} for _ in range(ROUNDS)]
    speed = {side: batch / statistics.median(r[side] for r in rounds) for side in sides}
    ratio = {side: statistics.median(r[side] / r["folded"] for r in rounds) for side in sides if side != "folded"}
    return {"name": name, "size": size, "batch": batch, "speed": speed, "ratio": ratio}


def rested(run: Callable[[], object]) -> float:
    """Its seconds, after a pause: threads of the side before may still spin, waiting for more."""
    time.sleep(0.1)
    return clocked(run)


if __name__ == "__main__":
    console.run(main)
