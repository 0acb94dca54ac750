"""Correctness checks on the device: a named value and its bound each."""

if __name__ == "__main__":
    raise SystemExit("gpu_checks.py is a part of gpu.py, and does nothing by itself")

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmarks import augment, keys, landmarks, models, transform
from jaxmarks.config import Config
from jaxmarks.models import ops
from jaxmarks.training.rendering import augmentation
from jaxmarks.types import Batch
from pipelines import loader, synthetic
from pipelines import open as opening
from pipelines.certificate import cases, pixels, points, table

SCRIPTS = Path(__file__).parents[1]
EDGE = 0.01  # grey levels: as much as rendering may differ from SciPy's


def check(name: str, value: float, bound: float, unit: str) -> dict:
    """A row of the report; NaN keeps no bound."""
    return {"name": name, "value": float(value), "bound": bound, "unit": unit, "ok": bool(value <= bound)}


def groups(toy: bool) -> dict[str, Callable[[], Iterator[dict]]]:
    """All checks but the replay, by what they are about; toy: at sizes that a CPU takes seconds for."""
    size = 64 if toy else 128
    return {
        "products of float32": partial(products, 64 if toy else 512),
        "a whole network": partial(network, 32 if toy else 128),
        "rendering": partial(rendering, "recipe", 8 if toy else 64, size),
        "the audit": partial(audit, size, 8 if toy else 64),
    }


def run(group: Callable[[], Iterator[dict]], name: str) -> Iterator[dict]:
    """The checks of a group; one that raises is one that failed."""
    try:
        yield from group()
    except Exception as error:  # on a machine never seen, the rest is worth as much
        yield check(f"{name}: {str(error).strip().partition(chr(10))[0][:200]}", np.nan, 0, "")


def audit(size: int, count: int) -> Iterator[dict]:
    """The core of scripts/audit.py, its probes of one image, on a chain of augmenters; all of it takes minutes."""
    records = cases.records("chain", size, count)
    few = cases.some(records, 8)
    probes: dict[str, Callable[[], float]] = {
        "points there and back, own order": lambda: points.there_and_back(records, size),
        "points and order against float64": lambda: points.moved(records, size),
        "pixels against SciPy": lambda: pixels.against_scipy(few, size, synthetic.draw(0).image),
        "restored image, within the mask": lambda: pixels.restored(few, size)[0],
        "mirror is image[:, ::-1]": lambda: pixels.mirrored(size),
        "identity is the image": lambda: pixels.unchanged(size),
    }
    for name, value in probes.items():
        yield check(f"audit: {name}", value(), *table.BOUNDS[name])


def rendering(preset: str, count: int, size: int) -> Iterator[dict]:
    """Augmented images and points of a batch under vmap, beside those of a loop over its examples."""
    config = Config(size=size, batch=count, augment=preset)
    root, scheme = keys.root(0), landmarks.scheme(68)
    batch = next(loader.batches(opening.open_source(f"drawn:{count}:68"), config, root))
    settings = augment.configure(preset, True)

    def one(each: Batch):
        t = augmentation(root, settings, size, each.draw)
        whole = transform.compose(transform.from_affine(each.fit), t)
        rendered = transform.apply_image(whole, each.image, size, each.extent)
        return rendered, transform.apply_points(t, each.points, scheme.mirror)

    placed = jax.tree.map(lambda a: jnp.asarray(a, a.dtype if a.dtype != np.float64 else np.float32), batch)
    colours, moved = (
        np.abs(np.asarray(a) - np.asarray(b))
        for a, b in zip(jax.jit(jax.vmap(one))(placed), jax.jit(partial(lax.map, one))(placed), strict=True)
    )
    yield check(f"{preset} vmapped and looped: points", moved.max(), 1e-5 * size, "px")
    # where the edge of what was seen or of a cover passes through a pixel's centre, a rounding decides
    share = float(np.mean(colours > EDGE))
    yield check(f"{preset} vmapped and looped: pixels that differ by over {EDGE} grey levels", share, 1e-4, "of 1")


def products(side: int) -> Iterator[dict]:
    """A convolution, its gradient and a matrix product of float32, as the networks ask for them, against float64."""
    random = np.random.RandomState(0)
    x, kernel = random.normal(size=(2, 16, 16, side)), random.normal(size=(3, 3, side, 64))
    matrix = random.normal(size=(side, 64))
    patches = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [patches[:, i : i + 16, j : j + 16] for i in range(3) for j in range(3)]
    exact = sum(tap @ k for tap, k in zip(taps, kernel.reshape(9, side, 64), strict=True))
    slope = np.stack([np.tensordot(tap, exact, ((0, 1, 2), (0, 1, 2))) for tap in taps]).reshape(kernel.shape)
    with ops.full_products():
        conv = lambda x, kernel: ops.chosen().conv(x, kernel, 1)  # noqa: E731
        found, back = jax.vjp(jax.jit(conv), *(jnp.asarray(a, jnp.float32) for a in (x, kernel)))
        _, found_slope = back(jnp.asarray(exact, jnp.float32))
        product = jnp.asarray(x[0, 0], jnp.float32) @ jnp.asarray(matrix, jnp.float32)
    yield check("float32 convolution, not TF32", apart(found, exact), 1e-5, "of 1, RMS")
    yield check("its kernel's gradient, not TF32", apart(found_slope, slope), 1e-5, "of 1, RMS")
    yield check("float32 product, not TF32", apart(product, x[0, 0] @ matrix), 1e-5, "of 1, RMS")


def network(size: int) -> Iterator[dict]:
    """ResNet18's points in float32 on the device, beside the same program's on this machine's CPU."""
    model = models.build("resnet18", 68)
    weights = jax.jit(model.init, static_argnums=1)(keys.root(0), size)
    image = np.random.RandomState(0).uniform(0, 255, (4, size, size, 3)).astype(np.float32)
    run = jax.jit(model.predict)
    placed = (model.fold(*weights), image)
    here, there = (run(*jax.device_put(placed, jax.devices(kind)[0])) for kind in (jax.default_backend(), "cpu"))
    yield check("ResNet18's points on the device and on the CPU", apart(here, there), 1e-4, "of 1, RMS")


def apart(found, exact) -> float:
    """Norm of the difference over the norm. Of TF32's products about 3e-4, of float32's under 1e-6."""
    exact = np.asarray(exact, np.float64)
    return float(np.linalg.norm(np.asarray(found, np.float64) - exact) / np.linalg.norm(exact))


def replayed(folder: Path, toy: bool) -> dict:
    """Training steps under --deterministic, taken again by replay.py --verify in a process of its own: how many differ."""
    steps, size = (3, 32) if toy else (8, 128)
    shape = ["--model", "resnet18", "--size", size, "--batch", 8 if toy else 64, "--steps", steps, "--val-fraction", 0]
    train = [
        "train.py",
        "--deterministic",
        "--data",
        f"drawn:{8 if toy else 128}:5",
        "--runs",
        folder,
        "--name",
        "bits",
    ]
    again = ["replay.py", "--run", folder / "bits", "--step", f"0:{steps - 1}", "--verify"]
    found = None
    for script, *rest in ([*train, *shape, "--augment", "recipe"], again):
        command = [sys.executable, str(SCRIPTS / script), *map(str, rest)]
        ended = subprocess.run(command, capture_output=True, text=True)
        found = re.search(r"(\d+) steps? verified, (\d+) different", ended.stdout)
        if ended.returncode and not found:
            print(f"{script}: {(ended.stderr.strip() or 'no message').splitlines()[-1]}", file=sys.stderr)
            break
    value = int(found[2]) if found else np.nan
    return check(f"--deterministic, {steps} steps taken again: different", value, 0, "steps")
