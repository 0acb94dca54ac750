"""Images in memory as a source."""

from collections.abc import Sequence

import numpy as np

from pipelines.example import Example, Source


class Arrays(Source):
    """Images in memory as a source, named by their numbers."""

    labelled = False

    def __init__(
        self,
        images: Sequence[np.ndarray] | np.ndarray,
        num_points: int,
        boxes: Sequence[Sequence[float]] | np.ndarray | None = None,
    ):
        for n, image in enumerate(images):
            shape, kind = np.shape(image), getattr(image, "dtype", type(image).__name__)
            if len(shape) != 3 or shape[2] != 3 or 0 in shape or kind != np.uint8:
                raise ValueError(
                    f"image {n}: expected a uint8 array [height, width, 3] in RGB, got {kind} {list(shape)}"
                )
        self.boxed, self._boxes = boxes is not None, None if boxes is None else np.asarray(boxes, np.float64)
        if self._boxes is not None and self._boxes.shape != (len(images), 4):
            raise ValueError(f"boxes: expected [{len(images)}, 4], got {list(self._boxes.shape)}")
        self._images, self.num_points = images, num_points
        self.names = [str(n) for n in range(len(images))]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        image, nothing = np.ascontiguousarray(self._images[index]), np.zeros((self.num_points, 2))
        box = None if self._boxes is None else self._boxes[index]
        return Example(image, nothing, np.zeros(self.num_points, bool), box)
