"""Refinement: objects that fill little of the frame predicted again in a closer crop."""

import numpy as np

from jaxmarks import affine, inference
from jaxmarks.config import Config
from jaxmarks.evaluation import metrics
from jaxmarks.inference import Predicted
from pipelines import loader
from pipelines.example import Example, Source, Subset
from pipelines.inference import ensemble
from pipelines.inference.ensemble import Ensemble

_CLOSER = 1.1  # times: objects that a crop would enlarge by less are left as they are
_LARGEST = 8.0  # times: no object is enlarged by more


class Boxed(Source):
    """A source whose images are cropped to other boxes.

    Args:
        source: of the images.
        boxes: f64[n, 4], x, y, width, height in pixels of each image.
    """

    boxed = True

    def __init__(self, source: Source, boxes: np.ndarray):
        self._source, self._boxes = source, boxes
        self.names, self.num_points, self.labelled = source.names, source.num_points, source.labelled

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        return self._source[index]._replace(box=self._boxes[index])


def framing(found: Predicted, size: int) -> np.ndarray:
    """Return how objects lie in the input, by their labels.

    Objects with all points labelled count, if there are any.

    Args:
        found: predictions with labels, in pixels of the input.
        size: side of the input in pixels.

    Returns:
        f64[3], the median centre (x, y) of their boxes, from the input's centre, and the median longer side, over
        `size`.

    Raises:
        ValueError: where nothing is labelled, or each label is a single place.
    """
    labelled = found.mask.all(1) if found.mask.all(1).any() else found.mask.any(1)
    if not labelled.any():
        raise ValueError("`refine`: no held-out image is labelled, so how objects lie in the frame is not known")
    low, high = metrics.extremes(found.truth[labelled], found.mask[labelled])
    if not (high > low).any():
        raise ValueError("`refine`: no label has an extent, so by how much to enlarge is not known")
    centre = ((low + high) / 2 - (size - 1) / 2) / size
    return np.median(np.concatenate([centre, (high - low).max(1, keepdims=True) / size], 1), 0)


def closer(
    over: Ensemble, weights: np.ndarray, how: str, typical: np.ndarray, source: Source, found: Predicted
) -> Predicted:
    """Return predictions with small objects predicted again, each in a closer crop.

    Small are those that fill less of the input than they do in training. In the crop the predicted points lie as labels
    lie. Where it leaves the image the first prediction stays.

    Args:
        over: the ensemble.
        weights: as `inference.merged` has them.
        how: as `inference.merged` has it.
        typical: f64[3], of `framing`.
        source: the data set.
        found: predictions in pixels of the input.

    Returns:
        the same images, in pixels of the input; a frame is that of the crop where there was one.
    """
    boxes, zoom = crops(inference.to_images(found), typical, over.configs[0])
    again = np.flatnonzero((zoom > _CLOSER) & np.isfinite(boxes).all(1))
    if not len(again):
        return found
    near = Boxed(Subset(source, found.index[again].tolist()), boxes[again])
    parts = list(ensemble.merged(over, weights, how, near, loader.Faults()))
    if not parts:
        return found
    new = inference.gather(parts)
    changed = {name: values.copy() for name, values in found._asdict().items() if name != "index"}
    for name, values in changed.items():
        values[again[new.index]] = getattr(new, name)
    return found._replace(**changed)


def crops(found: Predicted, typical: np.ndarray, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Return the crop in which each image's predicted points would lie as labels lie.

    Args:
        found: predictions in pixels of the images.
        typical: f64[3], of `framing`.
        config: of the first member.

    Returns:
        boxes f64[n, 4], x, y, width, height in pixels of the images, and by how much each would enlarge its object,
        f64[n].
    """
    low, high = found.points.min(1), found.points.max(1)
    longer = np.maximum((high - low).max(1), 1e-6)
    before = affine.scale(found.frame)
    zoom = np.minimum(typical[2] * config.size / longer, _LARGEST * before)
    centre = (low + high) / 2 - typical[:2] * config.size / zoom[:, None]
    side = config.size / zoom / (1 + 2 * config.box_margin)
    corner = centre + 0.5 - side[:, None] / 2
    return np.concatenate([corner, np.stack([side, side], 1)], 1), zoom / before
