"""Source of synthetic faces, `drawn:COUNT[:POINTS]`, without files."""

import functools

import numpy as np

from pipelines import synthetic
from pipelines.example import Example, Source

ASKED = 30  # points to hand in for each test image, as in the contest
_CACHED = 2000  # faces kept in memory: drawing one costs more than a training step's share


class DrawnSource(Source):
    """COUNT faces for training, and max(16, COUNT // 10) others as the test split.

    A pure function of the specification: the same everywhere, whatever was drawn before. `truth` holds what a wrong
    label hides.
    """

    boxed = False

    def __init__(self, specification: str, part: str = "train", *, keep: bool = True):
        count, self.num_points = parse(specification)
        size = count if part == "train" else max(16, count // 10)
        self._part, self.labelled = part, True
        self.specification = f"drawn:{part}:{size}:{self.num_points}:version {synthetic.GENERATOR_VERSION}"
        self._draw = functools.lru_cache(_CACHED if keep else 0)(
            lambda index: synthetic.draw(index, part=part, num_points=self.num_points)
        )
        self.names = [f"{part}_{index:06d}.png" for index in range(size)]
        self.asked = [self._asked(index) for index in range(size)] if part == "test" else None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        face = self._draw(index)
        label = face.points if self._part == "train" else face.truth
        return Example(face.image, label, np.ones(self.num_points, bool))

    def outliers(self) -> np.ndarray:
        """bool[faces]: which labels are wrong on purpose."""
        return np.array([self._draw(index).outlier for index in range(len(self))])

    def _asked(self, index: int) -> np.ndarray:
        return np.random.RandomState(index).choice(self.num_points, min(ASKED, self.num_points), replace=False)


def parse(specification: str) -> tuple[int, int]:
    """(count, points) of `drawn:COUNT[:POINTS]`. Raises ValueError in one line."""
    fields = specification.split(":")
    if len(fields) not in (2, 3) or not all(f.isascii() and f.isdigit() for f in fields[1:]) or int(fields[1]) < 2:
        raise ValueError(
            f"`data` {specification}: expected drawn:COUNT or drawn:COUNT:POINTS, with a COUNT of 2 or more"
        )
    points = int(fields[2]) if len(fields) == 3 else 971
    if points not in synthetic.NUM_POINTS:
        known = ", ".join(map(str, synthetic.NUM_POINTS))
        raise ValueError(f"`data` {specification}: faces are drawn with {known} points, not {points}")
    return int(fields[1]), points
