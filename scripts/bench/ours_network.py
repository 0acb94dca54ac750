"""Our side of the network rows: training step, inference, and views."""

if __name__ == "__main__":
    raise SystemExit("ours_network.py is a part of run.py, and does nothing by itself")

import re
from pathlib import Path

import jax
import numpy as np
from made import image_source
from worker import Side, save

from jaxmarks import backend, experiment, keys, landmarks, models, tta
from jaxmarks import config as configs
from jaxmarks.config import Config
from jaxmarks.models import units
from jaxmarks.training import checkpoint, log
from jaxmarks.types import Batch
from pipelines import example, predictor
from pipelines.inference.settings import Settings
from pipelines.runs import run_data, run_folder

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def exported(params: dict, stats: dict) -> dict[str, np.ndarray]:
    """The weights of a ResNet as torchvision's state dict; the head is `fc`."""
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path({"params": params, "stats": stats}):
        parts, value = [part.key for part in path[1:]], np.asarray(leaf, np.float32)
        modules = ["fc"] if parts[0] == "head" else [re.sub(r"^(layer\d|downsample)_", r"\1.", p) for p in parts[1:-1]]
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim]
        named[".".join([*modules, _LEAVES[parts[-1]]])] = np.ascontiguousarray(value.transpose(axes))
    return named


def lively(params: dict, stats: dict, seed: int = 0) -> tuple[dict, dict]:
    """Weights of these shapes as training might leave them: running statistics and scales that differ from channel to channel,
    and a head whose points differ from image to image. Initial ones would hide that two were exchanged."""
    random = np.random.RandomState(seed)
    uniform = {"scale": (0.9, 1.1), "var": (0.8, 1.2)}

    def drawn(path, leaf):
        kind, shape = path[-1].key, leaf.shape
        if kind in uniform:
            return random.uniform(*uniform[kind], shape).astype(np.float32)
        fan_in = np.prod(shape[:-1])
        gain = 1.0 if path[0].key == "head" else 2.0
        deviation = np.sqrt(gain / fan_in) if kind == "kernel" else 0.05
        return random.normal(0, deviation, shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(drawn, params), jax.tree_util.tree_map_with_path(drawn, stats)


def batch_of(config: Config, points: int) -> Batch:
    """Canvases of noise with points anywhere: what is in them does not change what a step takes."""
    random, side, count = np.random.RandomState(0), int(np.ceil(config.canvas * config.size)), config.batch
    off = (side - config.size) / 2
    fit = np.tile(np.array([[1, 0, -off], [0, 1, -off]], np.float32), (count, 1, 1))
    return Batch(
        image=random.randint(0, 256, (count, side, side, 3)).astype(np.uint8),
        points=random.uniform(0, config.size, (count, points, 2)).astype(np.float32),
        mask=np.ones((count, points), bool),
        frame=fit.astype(np.float64),
        index=np.arange(count, dtype=np.int32),
        draw=keys.draws(0, count, 4000).astype(np.int32),
        fit=fit,
        extent=np.tile(np.array([0, 0, side - 1, side - 1], np.float32), (count, 1)),
        diagonal=np.full(count, side * np.sqrt(2), np.float32),
    )


def train(settings: dict, folder: Path) -> Side:
    """The training step as train.py takes it, rendering and record included, on one batch again and again.

    settings: fields of Config, and points. Leaves the images as rendered, the target and the weights for peers.
    """
    config = configs.from_dict({"steps": 1000} | {k: v for k, v in settings.items() if k != "points"})
    plan = experiment.assemble(config, keys.root(0), landmarks.scheme(settings["points"]), 4000)
    step, state = plan.training_step(), plan.initial_state()
    batch = plan.split(batch_of(config, settings["points"]))
    shown = plan.render()(batch)
    save(folder, "weights", exported(state.params, state.stats))
    target = units.from_pixels(np.asarray(shown.points), config.size)
    save(folder, "batch", {"images": np.asarray(shown.images), "target": target})
    state, record = step(state, batch)
    output = {"loss": np.asarray(record.loss), "grad_norm": np.asarray(record.grad_norm)}

    def turn():
        nonlocal state
        state, record = step(state, batch)
        jax.block_until_ready((state, record))

    return Side(turn, output)


def infer(settings: dict, folder: Path) -> Side:
    """Prediction of images in memory, batch norm folded, the weights on the device. settings: model, size, batch, points."""
    model = models.build(settings["model"], settings["points"])
    weights = lively(*jax.eval_shape(lambda key: model.init(key, settings["size"]), jax.random.key(0)))
    shape = (settings["batch"], settings["size"], settings["size"], 3)
    image = np.random.RandomState(0).uniform(0, 255, shape).astype(np.float32)
    save(folder, "weights", exported(*weights))
    save(folder, "batch", {"images": image})
    folded, run = (
        jax.device_put(model.fold(*weights)),
        jax.jit(model.predict, compiler_options=backend.compiler_options()),
    )
    return Side(lambda: jax.block_until_ready(run(folded, image)), {"points": np.asarray(run(folded, image))})


def views(settings: dict, folder: Path) -> Side:
    """Points of images from their files, under a set of views. settings: model, size, count, data, tta."""
    source = example.Subset(image_source(Path(settings["data"]), settings["count"]), range(settings["count"]))
    config = Config(data=settings["data"], cache=False, model=settings["model"], size=settings["size"], steps=4)
    run = run_folder.create(folder / "run", config, run_data.of_config(config))
    plan = experiment.assemble(config, run.key, run.scheme, len(run.parts["train"]))
    state = plan.initial_state()
    state = state._replace(**dict(zip(("params", "stats"), lively(state.params, state.stats), strict=True)))
    checkpoint.save(run.root, state, 0.5, {name: 0 for name in log.FILES}, anchor=True)
    asked = Settings(tta=settings["tta"], view_weights="equal")
    net = predictor.open_runs([run.root], asked, dry=True)
    matrices = np.asarray(tta.views(settings["tta"], True, config.size).affine, np.float64)
    save(folder, "weights", exported(state.params, state.stats))
    save(folder, "views", {"matrices": matrices, "mirror": np.asarray(run.scheme.mirror)})

    def predicted() -> np.ndarray:
        return np.concatenate([found.points for found in net.predictions(source)])

    return Side(predicted, {"points": predicted()})
