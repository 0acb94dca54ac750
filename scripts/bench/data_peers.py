"""Peers in the data rows: OpenCV by hand, albumentations, kornia, augmax, DataLoader, pandas, polars.

Runs in the peers' environment. Libraries that draw for themselves are given the ranges of our configuration.
"""

if __name__ == "__main__":
    raise SystemExit("data_peers.py is a part of run.py, and does nothing by itself")

import multiprocessing
import os
from pathlib import Path

import cv2
import numpy as np
from contest_folder import labelled
from worker import Side
from worker import load as saved

_CORES = os.cpu_count() or 1


def _batch(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    found = saved(folder, "batch")
    return found["images"], found["points"]


def _middle(images: np.ndarray, size: int) -> np.ndarray:
    """The input's square of canvases [n, canvas, canvas, 3]."""
    edge = (images.shape[1] - size) // 2
    return np.ascontiguousarray(images[:, edge : edge + size, edge : edge + size])


def opencv(settings: dict, folder: Path) -> Side:
    """Our drawn records by OpenCV's own functions on one thread, as a pipeline written by hand does it."""
    cv2.setNumThreads(1)
    images, points = _batch(folder)
    edge = (images.shape[1] - settings["size"]) / 2
    found = saved(folder, "records")
    records = list(zip(*(found[name] for name in ("affine", "colour", "blur", "covers")), strict=True))

    def turn():
        shown = [by_hand(record, image, settings["size"]) for record, image in zip(records, images, strict=True)]
        moved = [(p + edge) @ r[0][:, :2].T + r[0][:, 2] for p, r in zip(points, records, strict=True)]
        return shown, moved

    shown, moved = turn()
    return Side(turn, {"images": np.stack(shown), "points": np.stack(moved), "records": np.array(len(records))})


def by_hand(record: tuple, image: np.ndarray, size: int) -> np.ndarray:
    """One record (matrix, colour, blur's variance, covers) on a canvas u8, f32[size, size, 3]."""
    matrix, colour, blur, covers = record
    warped = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128))
    warped = warped.astype(np.float32)
    if blur > 0:
        warped = cv2.GaussianBlur(warped, (0, 0), float(blur) ** 0.5)
    if (colour != np.eye(3, 4)).any():
        warped = cv2.transform(warped, colour)
    for cover in covers[np.abs(covers[:, 0] * covers[:, 4] - covers[:, 1] * covers[:, 3]) > 0]:
        square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ cover[:6].reshape(2, 3)[:, :2].T + cover[[2, 5]]
        cv2.fillConvexPoly(warped, np.rint(square).astype(np.int32), cover[6:].tolist())
    return np.clip(warped, 0, 255)


def albumentations(settings: dict, folder: Path) -> Side:
    """The same ranges by albumentations, a process for each core, results in shared memory. settings: one_of, size."""
    images, points = _batch(folder)
    images = _middle(images, settings["size"])
    context = multiprocessing.get_context("fork")
    shared = [context.RawArray("B", images.nbytes), context.RawArray("f", points.size)]
    results = np.frombuffer(shared[0], np.uint8).reshape(images.shape), np.frombuffer(shared[1], np.float32)
    results = results[0], results[1].reshape(points.shape)
    chunks = np.array_split(np.arange(len(images)), _CORES)
    pool = context.Pool(_CORES, _become, (settings, images, points, results))

    def turn():
        pool.map(_augment, chunks, chunksize=1)

    turn()
    return Side(turn, {"images": results[0].astype(np.float32), "points": results[1].copy()})


_work: tuple = ()


def _become(settings: dict, images: np.ndarray, points: np.ndarray, results: tuple) -> None:
    global _work
    import albumentations as A  # pyright: ignore[reportMissingImports]

    cv2.setNumThreads(0)
    side, chance = settings["size"], 1.0
    steps = [
        A.Affine(rotate=(-45, 45), scale=(0.9, 1.1), translate_percent=(-0.1, 0.1), border_mode=0, fill=128, p=chance),
        A.RandomResizedCrop(size=(side, side), scale=(0.64, 1.0), ratio=(1.0, 1.0), p=chance),
        A.RandomBrightnessContrast(brightness_limit=0.3, contrast_limit=0.3, p=chance),
        A.GaussianBlur(blur_limit=(3, 5), p=chance),
        A.NoOp(p=chance),
    ]
    chosen = [A.OneOf(steps, p=1)] if settings["one_of"] else steps
    keep = A.KeypointParams(format="xy", remove_invisible=False)
    _work = A.Compose(chosen, keypoint_params=keep), images, points, results


def _augment(indices: np.ndarray) -> None:
    compose, images, points, results = _work
    for index in indices:
        found = compose(image=images[index], keypoints=points[index])
        results[0][index], results[1][index] = found["image"], found["keypoints"]


def kornia(settings: dict, folder: Path) -> Side:
    """All in a chain by kornia on the whole batch, all cores. settings: size."""
    import kornia.augmentation as K  # pyright: ignore[reportMissingImports]
    import torch  # pyright: ignore[reportMissingImports]

    images, points = _batch(folder)
    middle = torch.from_numpy(_middle(images, settings["size"])).permute(0, 3, 1, 2).contiguous()
    places, size = torch.from_numpy(points), (settings["size"],) * 2
    chain = K.AugmentationSequential(
        K.RandomAffine(45, translate=(0.1, 0.1), scale=(0.9, 1.1), p=1.0),
        K.RandomResizedCrop(size, scale=(0.64, 1.0), ratio=(1.0, 1.0), p=1.0),
        K.RandomBrightness((0.7, 1.3), p=1.0),
        K.RandomContrast((0.7, 1.3), p=1.0),
        K.RandomGaussianBlur((5, 5), (0.8, 1.3), p=1.0),
        data_keys=["input", "keypoints"],
    )

    def turn():
        return chain(middle.float() / 255, places)

    shown, moved = turn()
    return Side(turn, {"images": 255 * shown.permute(0, 2, 3, 1).numpy(), "points": np.asarray(moved)})


def augmax(settings: dict, folder: Path) -> Side:
    """All in a chain by augmax, under jit and vmap. settings: size."""
    import augmax as M  # pyright: ignore[reportMissingImports]
    import jax

    images, points = _batch(folder)
    size = settings["size"]
    middle, places = jax.device_put((_middle(images, size), points))
    chain = M.Chain(
        M.ByteToFloat(),
        M.Rotate((-45, 45), p=1.0),
        M.RandomSizedCrop(size, size, zoom_range=(1.0, 1.25)),
        M.RandomBrightness((-0.3, 0.3), p=1.0),
        M.RandomContrast((-0.3, 0.3), p=1.0),
        M.GaussianBlur(1.0, p=1.0),
        input_types=[M.InputType.IMAGE, M.InputType.KEYPOINTS],
    )
    run, root = jax.jit(jax.vmap(chain)), jax.random.PRNGKey(0)

    def turn():
        return jax.block_until_ready(run(jax.random.split(root, len(middle)), [middle, places]))

    shown, moved = turn()
    return Side(turn, {"images": 255 * np.asarray(shown), "points": np.asarray(moved)})


def load(settings: dict, folder: Path) -> Side:
    """torch.utils.data.DataLoader with a worker process for each core. settings: data, count, size, batch, best (files
    decoded at half their sides where that leaves enough)."""
    from peers import ImageDataset, shuffled

    paths, _ = labelled(Path(settings["data"]))
    mode = cv2.IMREAD_REDUCED_COLOR_2 if settings["best"] else cv2.IMREAD_COLOR
    files = ImageDataset.of_folder(Path(settings["data"]), settings["size"], mode)
    assert len(paths) == settings["count"]
    batches = shuffled(files, settings["batch"], _CORES)
    first = np.stack([files[i][0].numpy().transpose(1, 2, 0) for i in range(settings["batch"])])

    def turn() -> int:
        return sum(len(images) for images, *_ in batches)

    return Side(turn, {"images": first, "count": np.array(turn())})


def by_pandas(settings: dict, folder: Path) -> Side:
    """The whole table by pandas.read_csv, then the rows."""
    import pandas

    chosen = np.load(folder / "chosen.npy")

    def turn() -> np.ndarray:
        found = pandas.read_csv(folder / "labels.csv", sep="\t")
        return found.iloc[chosen, 1:].to_numpy(np.float32)

    return Side(turn, {"labels": turn()})


def by_polars(settings: dict, folder: Path) -> Side:
    """The whole table by polars.read_csv, all cores, then the rows."""
    import polars  # pyright: ignore[reportMissingImports]

    chosen = np.load(folder / "chosen.npy")

    def turn() -> np.ndarray:
        found = polars.read_csv(folder / "labels.csv", separator="\t")
        return found[chosen.tolist(), 1:].to_numpy().astype(np.float32)

    return Side(turn, {"labels": turn()})
