"""Mean face of the training labels, the trivial prediction to compare with."""

import numpy as np

from jaxmarks import affine
from jaxmarks.config import Config
from jaxmarks.inference import Predicted
from pipelines import loader
from pipelines.example import Source, Subset

_MEAN_OF = 500  # images that make the mean face


def mean_face(train: Source, found: Predicted, config: Config, faults: loader.Faults) -> np.ndarray:
    """The prediction that knows nothing: the mean training label in the input frame, f64[faces, points, 2] in pixels of
    each image of `found`. Taken over 500 training images spread over the set."""
    chosen = np.unique(np.linspace(0, len(train) - 1, min(_MEAN_OF, len(train))).astype(int))
    total, count = np.zeros((train.num_points, 2)), np.zeros((train.num_points, 1))
    for batch, _ in loader.ordered(Subset(train, chosen.tolist()), config, faults=faults):
        total += np.where(batch.mask[..., None], batch.points, 0).sum(0)
        count += batch.mask.sum(0)[:, None]
    return affine.apply(affine.invert(found.frame), total / np.maximum(count, 1))
