"""Rendering of augmented pictures, ours beside OpenCV's functions called one by one, in turn on the same records.

    python scripts/bench/render.py

64 pictures of 160 px onto 128 px: pictures a second, medians of rounds in which both take their turn; a ratio over 1 says
that ours is faster. Writes out/bench.json. OpenCV's side does what a hand-written pipeline would: warpAffine, GaussianBlur
where there is blur, the colour matrix, borders and covers, on one thread; ours is the function inside the training step.
"""

import statistics
import time
from collections.abc import Callable

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import affine, augment, keys, sharding, transform
from pipelines import console, files

COUNT, CANVAS, SIZE, ROUNDS = 64, 160, 128, 15


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--out", default="out/bench.json", help="where the rows go (default: %(default)s)")
    flags = parser.parse_args()
    cv2.setNumThreads(1)
    images = np.random.RandomState(0).randint(0, 256, (COUNT, CANVAS, CANVAS, 3)).astype(np.uint8)
    rows = [compare(name, images) for name in ("none", "recipe", "light", "contest", "strong")]
    print(f"{'render':10s} {'ours':>8s} {'OpenCV':>8s} {'ratio':>6s}   pictures/s")
    for row in rows:
        print(f"{row['name']:10s} {row['ours']:8.0f} {row['peer']:8.0f} {row['ratio']:6.2f}")
    files.write_json(flags.out, {"device": jax.devices()[0].device_kind, "rows": rows})
    print(flags.out)
    return 0


def compare(name: str, images: np.ndarray) -> dict:
    """One row: both on the records that a preset draws."""
    fit = transform.from_affine(affine.translation(*[jnp.float32((SIZE - CANVAS) / 2)] * 2))
    draw = jax.vmap(lambda k: transform.compose(fit, augment.sample(k, augment.preset(name), SIZE)))
    records = jax.jit(draw)(jax.random.split(keys.root(0), COUNT))
    mesh = sharding.mesh_dividing(COUNT)
    ours = jax.jit(sharding.over_examples(lambda t, i: transform.apply_image(t, i, SIZE), mesh))
    host = [[np.asarray(leaf)[n] for leaf in records] for n in range(COUNT)]
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    jax.block_until_ready(ours(records, images))
    for _ in range(ROUNDS):
        times["ours"].append(clocked(lambda: jax.block_until_ready(ours(records, images))))
        times["peer"].append(clocked(lambda: [by_opencv(t, i) for t, i in zip(host, images, strict=True)]))
    speed = {side: COUNT / statistics.median(seconds) for side, seconds in times.items()}
    ratio = statistics.median(b / a for a, b in zip(times["ours"], times["peer"], strict=True))
    return {"name": name, **speed, "ratio": ratio}


def by_opencv(record: list[np.ndarray], image: np.ndarray) -> np.ndarray:
    """The record by OpenCV's own functions."""
    matrix, colour, blur, covers = record
    warped = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128)).astype(
        np.float32
    )
    if blur > 0:
        warped = cv2.GaussianBlur(warped, (0, 0), float(blur) ** 0.5)
    if (colour != np.eye(3, 4)).any():
        warped = cv2.transform(warped, colour)
    for cover in covers[np.abs(covers[:, 0] * covers[:, 4] - covers[:, 1] * covers[:, 3]) > 0]:
        square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ cover[:6].reshape(2, 3)[:, :2].T + cover[[2, 5]]
        cv2.fillConvexPoly(warped, np.rint(square).astype(np.int32), cover[6:].tolist())
    return np.clip(warped, 0, 255)


def clocked(action: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    console.run(main)
