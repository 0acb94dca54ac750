"""What a plain PyTorch script does where ours does more; only the benchmarks import it."""

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Photographs(Dataset):
    """Files of a table: read, resized, cropped, one at a time."""

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
        height, width = image.shape[:2]
        scale = self._size / min(height, width)
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = ((n - self._size) // 2 for n in image.shape[:2])
        image = image[top : top + self._size, left : left + self._size]
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(
            self._points[index] * scale
        )


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
