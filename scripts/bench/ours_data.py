"""Our side of the data rows: rendering, loading, labels, the first training step, and the machine's limits."""

if __name__ == "__main__":
    raise SystemExit("ours_data.py is a part of run.py, and does nothing by itself")

import json
import os
import shutil
import subprocess
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from made import image_source, packed, table
from ours_network import batch_of
from worker import Side, save

from jaxmarks import augment, backend, keys, landmarks, transform
from jaxmarks.config import Config
from jaxmarks.training import rendering, sharding
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.example import Example, Source
from pipelines.images import decode
from pipelines.images.canvas_file import CanvasFile
from pipelines.images.store import Host, Nowhere
from pipelines.sources.formats import contest

_ROOT = Path(__file__).resolve().parents[2]


def render(settings: dict, folder: Path) -> Side:
    """The rendering within the training step: parameters drawn, images rendered, points moved, for a batch on the device.

    settings: augment (a preset, or the text of a JSON file), size, batch, points. Leaves canvases, points and the drawn
    records for peers.
    """
    config = Config(augment=settings["augment"], size=settings["size"], batch=settings["batch"])
    scheme, key, mesh = landmarks.scheme(settings["points"]), keys.root(0), sharding.mesh()
    batch = batch_of(config, settings["points"])
    batch = batch._replace(image=np.stack([_smooth(i, batch.image.shape[1]) for i in range(config.batch)]))
    chosen = augment.configure(config.augment, scheme.mirror is not None)

    def drawn(fit, draw):
        t = rendering.augmentation(key, chosen, config.size, draw)
        return transform.compose(transform.from_affine(fit), t)

    records = jax.jit(jax.vmap(drawn))(batch.fit, batch.draw)
    save(folder, "records", {name: np.asarray(leaf) for name, leaf in records._asdict().items()})
    save(folder, "batch", {"images": batch.image, "points": batch.points})
    on_device, run = sharding.split(mesh, batch), jax.jit(rendering.make_render(key, chosen, scheme, config.size, mesh))
    shown = run(on_device)
    inside = np.stack([_inside(np.asarray(m), config.size, batch.image.shape[1]) for m in records.affine])
    output = {"images": np.asarray(shown.images), "points": np.asarray(shown.points), "inside": inside}
    return Side(lambda: jax.block_until_ready(run(on_device)), output)


def _smooth(seed: int, side: int) -> np.ndarray:
    """u8[side, side, 3]: soft blots, as an image has them; of noise, two interpolations show different images."""
    blots = np.random.RandomState(seed).uniform(0, 255, (12, 12, 3)).astype(np.float32)
    return np.clip(cv2.resize(blots, (side, side), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def _inside(matrix: np.ndarray, size: int, side: int) -> np.ndarray:
    """bool[size, size]: pixels that show the canvas, 8 px from its edge or more: borders are blurred and coloured in another
    order by hand."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) @ inverse[:, :2].T + inverse[:, 2]
    return np.all((places >= 8) & (places <= side - 9), -1)


def load(settings: dict, folder: Path) -> Side:
    """Training batches from files or from a packed set. settings: data, count, size, batch, packed (0: files; else the
    working size, -1: whole), store (where canvases are kept: then the second epoch is measured; `new host`: the first)."""
    root = Path(settings["data"])
    source = image_source(root, settings["count"])
    if settings["packed"]:
        source = packed(root, max(settings["packed"], 0))
    config = Config(size=settings["size"], batch=settings["batch"])
    steps = settings["count"] // config.batch
    first, _ = next(loader.ordered(source, config))
    edge = (first.image.shape[1] - config.size) // 2
    crops = first.image[:, edge : edge + config.size, edge : edge + config.size]

    side, kind = first.image.shape[1], settings.get("store", "none")
    stores = {"host": lambda: Host(len(source), side, source.num_points), "none": Nowhere}
    stores["disk"] = lambda: CanvasFile(
        folder / "x.canvases", {}, range(len(source)), len(source), side, source.num_points
    )
    kept = None if kind == "new host" else stores[kind]()
    if kind in ("host", "disk"):
        for batch, _ in zip(loader.batches(source, config, keys.root(0), store=kept), range(steps + 1), strict=False):
            assert len(batch.image) == config.batch

    def turn():
        store = stores["host"]() if kept is None else kept
        begin = steps if kind in ("host", "disk") else 0
        feed = loader.batches(
            source, config, keys.root(0), begin, store=store
        )  # anew: nothing is ready before its turn
        for _ in range(steps):
            next(feed)

    return Side(turn, {"images": crops, "count": np.array(steps * config.batch)})


def labels(settings: dict, folder: Path) -> Side:
    """A table of the contest's width: every field checked, then a twentieth of the rows, anywhere. settings: folder, rows."""
    path = table(Path(settings["folder"]), settings["rows"])
    chosen = np.random.RandomState(0).randint(0, settings["rows"], settings["rows"] // 20)
    np.save(folder / "chosen.npy", chosen)
    (folder / "labels.csv").symlink_to(path.resolve())

    def turn() -> np.ndarray:
        scan = contest.read_landmarks(path)
        return np.stack([scan.row(int(i)) for i in chosen])

    return Side(turn, {"labels": turn()})


def first_step(settings: dict, folder: Path) -> Side:
    """train.py from its start to its first step, as it says itself. settings: cold (an empty cache each time), flags."""
    cache, count = folder / f"cache {settings['cold']}", iter(range(10**6))

    def turn():
        if settings["cold"]:
            shutil.rmtree(cache, ignore_errors=True)
        name = f"{'cold' if settings['cold'] else 'warm'}{next(count)}"
        flags = [*settings["flags"], "--runs", str(folder / "runs"), "--name", name]
        # what the benchmark itself compiles is kept elsewhere, and that folder is inherited
        known = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"} | {
            "JAXMARKS_CACHE": str(cache)
        }
        command = [sys.executable, str(_ROOT / "scripts/train.py"), *flags]
        printed = subprocess.run(command, env=known, check=True, capture_output=True, text=True).stdout
        return float(printed.split("first step after ")[1].split(" s")[0])

    turn()
    made = json.loads(next((folder / "runs").glob(f"{'cold' if settings['cold'] else 'warm'}0/final.json")).read_text())
    return Side(turn, {"digest": np.array(made["digest"])})


class Repeated(Source):
    """One JPEG as a data set of any length: what the number of its images costs, nothing else."""

    labelled, boxed, num_points = True, False, 68

    def __init__(self, count: int):
        image = np.random.RandomState(0).randint(0, 256, (160, 160, 3)).astype(np.uint8)
        self.names = [f"{n:06d}.jpg" for n in range(count)]
        self._example = Example(decode.encode_jpeg(image), np.zeros((68, 2)), np.ones(68, bool))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        return self._example


def feed(settings: dict, folder: Path) -> Side:
    """A training batch of 32 at 128 px from a set of so many images, 30 batches a turn. settings: images."""
    batches = loader.batches(Repeated(settings["images"]), Config(), keys.root(0))

    def turn() -> Batch:
        return [next(batches) for _ in range(30)][-1]

    return Side(turn, {"shape": np.array(turn().image.shape)})


def limits(settings: dict, folder: Path) -> Side:
    """Measure the limits of this machine by short loops; its output is the figures."""
    square, options = np.ones((2048, 2048), np.float32), backend.compiler_options()
    found = {}
    for name, kind in (("float32", jnp.float32), ("bfloat16", jnp.bfloat16)):
        a = jnp.asarray(square, kind)
        product = jax.jit(lambda a: jnp.dot(a, a, preferred_element_type=jnp.float32), compiler_options=options)
        found[f"{name} product, GFLOP/s"] = (
            2 * 2048**3 / 1e9 / _quickest(lambda p=product, a=a: p(a).block_until_ready())
        )
    source, target = np.ones(1 << 26, np.float32), np.zeros(1 << 26, np.float32)
    found["copy, GB/s read and written"] = 2 * source.nbytes / 1e9 / _quickest(lambda: np.copyto(target, source))
    cv2.setNumThreads(1)
    random = np.random.RandomState(0).normal(0, 5, (500, 500, 3))
    jpeg = np.frombuffer(decode.encode_jpeg(np.clip(_smooth(0, 500) + random, 0, 255).astype(np.uint8), 90), np.uint8)
    found["JPEG of 500 px decoded by one core, images/s"] = 1 / _quickest(lambda: cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    return Side(lambda: None, {name: np.array(value) for name, value in found.items()})


def _quickest(action: Callable[[], object]) -> float:
    """Seconds of the quickest of ten tries."""
    return min(timeit.repeat(action, number=1, repeat=10))
