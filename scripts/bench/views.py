"""What eight views cost, end to end: predictions of files under one view and under eight, and a PyTorch loop over the same.

    python scripts/bench/views.py --run runs/NAME
    python scripts/bench/views.py --run runs/NAME --data PATH --count 256

From JPEG files to points in pixels of the photographs, by the run's own network (weights of views equal), in turn with
PyTorch: the same canvases, a Python loop over the views with grid_sample and a network of the same shape, batch norm fused,
batches of 32 photographs. Photographs a second, medians of rounds; the cost of eight views in views is the median ratio of
neighbouring turns: 8 would be no more than eight times one. Without PyTorch only ours is measured.
"""

import dataclasses
import statistics
from pathlib import Path

import jax
import numpy as np
from render import clocked

from jaxmarks import affine, tta
from pipelines import console, files, fitting, loader, predictor, runs, sources
from pipelines.predictor import Predictor

ROUNDS = 5
PEER_BATCH = 32  # photographs, as many pictures as a view: where PyTorch is fastest here


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--run", required=True, help="a run folder of a ResNet")
    parser.add_argument("--data", help="data whose test part to predict; default: what the run was trained on")
    parser.add_argument("--count", type=int, default=256, help="photographs of it (default: %(default)s)")
    parser.add_argument("--out", default="out/bench_views.json", help="where the rows go (default: %(default)s)")
    flags = parser.parse_args()
    nets = {
        name: predictor.open_runs([Path(flags.run)], fitting.Settings(tta=name, weights="equal"))
        for name in ("none", "standard")
    }
    source = runs.test_part(nets["none"].run, flags.data)
    part = sources.Subset(source, range(min(flags.count, len(source))))
    sides = {
        f"ours, {name}": lambda net=net: sum(len(f.index) for f in net.predictions(part)) for name, net in nets.items()
    }
    try:
        import torch_resnet
    except ImportError:
        torch_resnet = None
    if torch_resnet is not None:
        sides |= {f"PyTorch, {name}": by_torch(net, part, torch_resnet) for name, net in nets.items()}
    for run in sides.values():
        run()
    rounds = [{side: clocked(run) for side, run in sides.items()} for _ in range(ROUNDS)]
    for side in sides:
        print(f"{side:18s} {len(part) / statistics.median(r[side] for r in rounds):7.1f} photographs/s")
    costs = {"eight views of ours, in views": ("ours, standard", "ours, none")}
    if torch_resnet is not None:
        costs["PyTorch's eight views over ours"] = ("PyTorch, standard", "ours, standard")
    ratios = {told: statistics.median(r[a] / r[b] for r in rounds) for told, (a, b) in costs.items()}
    print("\n".join(f"{told}: {ratio:.2f}" for told, ratio in ratios.items()))
    files.write_json(flags.out, {"device": jax.devices()[0].device_kind, "photographs": len(part), "ratios": ratios})
    print(flags.out)
    return 0


def by_torch(net: Predictor, part: sources.Source, peer):
    """A prediction of all photographs as a careful user of PyTorch writes it."""
    torch, run, size = peer.torch, net.run, net.run.config.size
    views = np.asarray(tta.views(net.settings.tta, run.scheme.mirror is not None, size).affine, np.float64)
    model = peer.network(run.config.model, run.scheme.num_points).eval()
    mean, deviation = (255 * torch.tensor(v).reshape(1, 3, 1, 1) for v in (peer.MEAN, peer.DEVIATION))
    back, mirror = affine.invert(views), run.scheme.mirror

    def grids(fit: np.ndarray, view: np.ndarray, side: int):
        """Where each pixel of the view is sampled in the canvas, in grid_sample's own units."""
        inverse = affine.invert(affine.compose(fit.astype(np.float64), view))
        x, y = np.meshgrid(np.arange(size), np.arange(size))
        places = affine.apply(inverse[:, None], np.stack([x, y], -1).astype(np.float64)[None])
        return torch.from_numpy((2 * (places + 0.5) / side - 1).astype(np.float32))

    @torch.inference_mode()
    def predicted():
        total = 0
        for batch, count in loader.ordered(part, dataclasses.replace(run.config, batch=PEER_BATCH)):
            canvas = torch.from_numpy(batch.image).permute(0, 3, 1, 2).float()
            points = 0
            for view, inverse in zip(views, back, strict=True):
                seen = torch.nn.functional.grid_sample(
                    canvas, grids(batch.fit, view, canvas.shape[-1]), align_corners=False
                )
                found = (
                    model((seen - mean) / deviation).reshape(len(canvas), -1, 2).numpy() * (size / 2) + (size - 1) / 2
                )
                home = affine.apply(inverse, found.astype(np.float64))
                points = points + (home[:, mirror] if affine.determinant(view) < 0 and mirror is not None else home)
            affine.apply(affine.invert(batch.frame), points / len(views))
            total += count
        return total

    return predicted


if __name__ == "__main__":
    console.run(main)
