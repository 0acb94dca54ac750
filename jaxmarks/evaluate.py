"""From predictions and truth to the numbers of a report. Host arrays, float64."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxmarks import affine, losses, metrics, step
from jaxmarks.config import Config
from jaxmarks.landmarks import Scheme
from jaxmarks.predict import Predicted

_RESAMPLES = 2000


class Judged(NamedTuple):
    """What a validation gives while a run trains."""

    metrics: dict[str, float]  # "nme" among them; empty where there is nothing to validate on
    pictures: dict[str, np.ndarray]  # u8[h, w, 3] by name, for TensorBoard


def per_photograph(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, scheme: Scheme
) -> dict[str, np.ndarray]:
    """NME by the scheme's norm and by the box, f64[faces] each; NaN where no point of a face is labelled.

    prediction and truth [faces, points, 2] in one frame, mask bool[faces, points].
    """
    labelled = mask.any(1)
    chosen, box = metrics.norm(truth, mask, scheme), metrics.box_norm(truth, mask)
    found = {"nme": chosen, "nme_box": box}
    return {n: np.where(labelled, metrics.nme(prediction, truth, mask, scale), np.nan) for n, scale in found.items()}


def loss_of(found: Predicted, config: Config, scheme: Scheme) -> np.ndarray:
    """f64[faces]: the run's loss, of each photograph; NaN where no point is labelled. In input pixels, as in training."""
    prediction, truth = (affine.apply(found.frame, p).astype(np.float32) for p in (found.points, found.truth))
    scale = metrics.norm(truth, found.mask, scheme)
    factor = np.asarray(step.factor_of(config, found.frame, scale))[:, None, None] / (config.size / 2)
    each = losses.NAMES[config.loss](factor * prediction, factor * truth, found.mask)
    return np.where(found.mask.any(1), np.asarray(each, np.float64), np.nan)


def means(found: Predicted, config: Config, scheme: Scheme) -> dict[str, float]:
    """Mean loss of a validation, untrimmed, and mean NME by the scheme's norm and by the box; empty where nothing is
    labelled."""
    errors = per_photograph(found.points, found.truth, found.mask, scheme)
    if not np.isfinite(errors["nme"]).any():
        return {}
    each = {"loss": loss_of(found, config, scheme), **errors}
    return {name: float(np.nanmean(values)) for name, values in each.items()}


def interval(values: np.ndarray, statistic, seed: int = 0) -> list[float]:
    """The 95 % percentile bootstrap interval of statistic(values) over faces, from a fixed seed."""
    draws = np.random.RandomState(seed).randint(0, len(values), (_RESAMPLES, len(values)))
    return [float(v) for v in np.percentile([statistic(values[d]) for d in draws], [2.5, 97.5])]


def contest_scores(prediction: np.ndarray, truth: np.ndarray, asked: list[np.ndarray]) -> np.ndarray:
    """f64[faces]: mean squared error of the coordinates asked of each face, in pixels of its photograph.

    The prediction is rounded to whole pixels, as it is handed in. The contest's score is the mean over faces.
    """
    pairs = zip(np.rint(prediction), truth, asked, strict=True)
    return np.array([np.mean((p[i] - t[i]) ** 2) for p, t, i in pairs])


def report(rows: dict[str, np.ndarray], limit: float) -> dict:
    """The numbers of `evaluate.py --out`: the mean of each row f64[faces] over the faces where it is finite, AUC and
    failure rate of the row "nme" at `limit`, and the 95 % bootstrap interval of each."""
    nme = rows["nme"][np.isfinite(rows["nme"])]
    statistics: dict[str, tuple[np.ndarray, Callable]] = {
        name: (values[np.isfinite(values)], np.mean) for name, values in rows.items()
    }
    statistics["auc"] = (nme, lambda v: metrics.cumulative(v, limit)[0])
    statistics["failure_rate"] = (nme, lambda v: metrics.cumulative(v, limit)[1])
    numbers = {name: float(statistic(values)) for name, (values, statistic) in statistics.items()}
    intervals = {name: interval(values, statistic) for name, (values, statistic) in statistics.items()}
    return {"count": len(nme), "limit": limit, **numbers, "intervals": intervals}
