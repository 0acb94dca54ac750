"""Plain PyTorch counterparts of our code, imported only by the benchmarks."""

if __name__ == "__main__":
    raise SystemExit("peers.py is a part of baseline.py, and does nothing by itself")

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from contest_folder import labelled
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.utils.data import DataLoader, Dataset  # pyright: ignore[reportMissingImports]
from torch_resnet import ResNet, normalised


class ImageDataset(Dataset):
    """Files of a table: read, resized to the short side, cut in the middle, one at a time.

    Gives the image u8[3, size, size], the points in its pixels, and the map f64[2, 2] = (scale, shift) of x and y from
    the image's pixels to its own.
    """

    def __init__(self, paths: Sequence[str], points: Sequence[np.ndarray], size: int, mode: int = cv2.IMREAD_COLOR):
        """mode: of cv2.imread; the image's pixels are those that it gives."""
        self._paths, self._points, self._size, self._mode = paths, points, size, mode

    @classmethod
    def of_table(cls, table, size: int) -> "ImageDataset":
        """Of a table of this project's (`pipelines.sources.tables.Table`)."""
        points = [table.label(i)[0] for i in range(len(table.names))]
        return cls([str(table.root / name) for name in table.names], points, size)

    @classmethod
    def of_folder(cls, root: Path, size: int, mode: int = cv2.IMREAD_COLOR) -> "ImageDataset":
        """Of a contest folder, without this project."""
        paths, points = labelled(root)
        return cls(paths, list(points.reshape(len(points), -1, 2)), size, mode)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int):
        image = cv2.imread(self._paths[index], self._mode)
        assert image is not None
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        sides = np.array(image.shape[1::-1])
        whole = np.maximum(np.rint(sides * self._size / sides.min()).astype(int), self._size)
        image = cv2.resize(image, whole.tolist(), interpolation=cv2.INTER_AREA)
        left, top = start = (whole - self._size) // 2
        image = image[top : top + self._size, left : left + self._size]
        back = np.stack([whole / sides, 0.5 * whole / sides - 0.5 - start])
        points = (self._points[index] * back[0] + back[1]).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(points), back


def shuffled(files: ImageDataset, batch: int, workers: int = 2) -> DataLoader:
    """Shuffled batches by worker processes, kept alive between epochs."""
    cv2.setNumThreads(0)
    return DataLoader(
        files,
        batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        drop_last=True,
        multiprocessing_context="spawn",
    )


def train(source, batch: int, size: int, steps: int, seed: int) -> tuple[nn.Module, float]:
    """(a ResNet18 after so many steps of Adam 1e-3 on the mean squared error, the seconds that they took).

    The error is of crop coordinates over half the crop, from its middle: 0 to 64 pixels would first have to be reached by
    the head's steps of 1e-3.
    """
    torch.manual_seed(seed)
    model = ResNet("resnet18", 2 * source.num_points).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    began = time.perf_counter()
    for images, points, _ in itertools.islice(
        _epochs(shuffled(ImageDataset.of_table(source.table, size), batch)), steps
    ):
        target = ((points - (size - 1) / 2) / (size / 2)).flatten(1)
        loss = nn.functional.mse_loss(model(normalised(images)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, time.perf_counter() - began


def _epochs(batches: DataLoader) -> Iterator:
    while True:
        yield from batches


def predict(model: nn.Module, source, size: int) -> np.ndarray:
    """f64[images, points, 2] in pixels of each image, in the order of the source."""
    found = []
    with torch.inference_mode():
        for images, _, back in DataLoader(ImageDataset.of_table(source.table, size), 64):
            heads = model.eval()(normalised(images)).double().view(len(images), -1, 2)
            points = heads * (size / 2) + (size - 1) / 2
            found.append(((points - back[:, 1:]) / back[:, :1]).numpy())
    return np.concatenate(found)
