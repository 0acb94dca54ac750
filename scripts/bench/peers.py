"""What a plain PyTorch script does where ours does more; only the benchmarks import it."""

import itertools
import time
from collections.abc import Iterator

import cv2
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.utils.data import DataLoader, Dataset  # pyright: ignore[reportMissingImports]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


class Photographs(Dataset):
    """Files of a table: read, resized to the short side, cut in the middle, one at a time.

    Gives the picture u8[3, size, size], the points in its pixels, and the map f64[2, 2] = (scale, shift) of x and y from
    the photograph's pixels to its own.
    """

    def __init__(self, table, size: int):
        self._paths = [str(table.root / name) for name in table.names]
        self._points = [table.label(i)[0] for i in range(len(table.names))]
        self._size = size

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int):
        image = cv2.imread(self._paths[index])
        assert image is not None
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        sides = np.array(image.shape[1::-1])
        whole = np.maximum(np.rint(sides * self._size / sides.min()).astype(int), self._size)
        image = cv2.resize(image, whole.tolist(), interpolation=cv2.INTER_AREA)
        left, top = start = (whole - self._size) // 2
        image = image[top : top + self._size, left : left + self._size]
        home = np.stack([whole / sides, 0.5 * whole / sides - 0.5 - start])
        points = (self._points[index] * home[0] + home[1]).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(points), home


def loader(source, batch: int, size: int) -> DataLoader:
    """Shuffled batches by two worker processes, kept alive between epochs."""
    cv2.setNumThreads(0)
    return DataLoader(
        Photographs(source.table, size),
        batch,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        drop_last=True,
        multiprocessing_context="spawn",
    )


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        changed = stride > 1 or before != after
        cut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = cut if changed else nn.Identity()

    def forward(self, x):
        """[n, before, h, w] -> [n, after, h / stride, w / stride]."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(outputs: int) -> nn.Module:
    """torchvision's ResNet18, with its initial values, from layers alone."""
    blocks = [
        Block(before, after, stride)
        for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        for before, stride in ((before, stride), (after, 1))
    ]
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, outputs))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def normalised(images: torch.Tensor) -> torch.Tensor:
    """u8[n, 3, h, w] -> the network's input."""
    return (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)


def train(source, batch: int, size: int, steps: int, seed: int) -> tuple[nn.Module, float]:
    """(a ResNet18 after so many steps of Adam 1e-3 on the mean squared error, the seconds that they took).

    The error is of crop coordinates over half the crop, from its middle: 0 to 64 pixels would first have to be reached by
    the head's steps of 1e-3.
    """
    torch.manual_seed(seed)
    model = resnet18(2 * source.num_points).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    began = time.perf_counter()
    for images, points, _ in itertools.islice(_epochs(loader(source, batch, size)), steps):
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
    """f64[photographs, points, 2] in pixels of each photograph, in the order of the source."""
    found = []
    with torch.inference_mode():
        for images, _, home in DataLoader(Photographs(source.table, size), 64):
            heads = model.eval()(normalised(images)).double().view(len(images), -1, 2)
            points = heads * (size / 2) + (size - 1) / 2
            found.append(((points - home[:, 1:]) / home[:, :1]).numpy())
    return np.concatenate(found)
