"""Numbers of an evaluation report from predictions and ground truth. Host arrays, float64."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmarks import affine, losses
from jaxmarks.config import Config
from jaxmarks.evaluation import bootstrap, metrics, slices
from jaxmarks.inference import Predicted
from jaxmarks.landmarks import Scheme
from jaxmarks.training import forward

Rows = Mapping[str, np.ndarray]  # name -> f64[images], a number of each; NaN where it is missing


class Judged(NamedTuple):
    """Result of a validation during training."""

    metrics: dict[str, float]  # "nme" among them; empty where there is nothing to validate on
    images: dict[str, np.ndarray]  # u8[h, w, 3] by name, for TensorBoard


def per_image(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, scheme: Scheme, diagonal: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each of `metrics.METRICS` by its name.

    Args:
        prediction: [faces, points, 2].
        truth: [faces, points, 2], in the same frame.
        mask: bool[faces, points], the labelled points.
        scheme: of the points.
        diagonal: f64[faces], of the images in the same frame.

    Returns:
        f64[faces] each; NaN where no point of a face is labelled.
    """
    found = {name: metric(prediction, truth, mask, scheme, diagonal) for name, metric in metrics.METRICS.items()}
    return {name: np.where(mask.any(1), values, np.nan) for name, values in found.items()}


def _nme(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """NaN where nothing is labelled."""
    return np.where(mask.any(1), metrics.nme(prediction, truth, mask, scale), np.nan)


def fallbacks(found: Predicted, scheme: Scheme) -> dict[str, int]:
    """Return for how many faces something stands in for the norm, since that is zero or not labelled.

    Args:
        found: predictions with labels.
        scheme: of the points.

    Returns:
        "box": divided by the box of their points; "diagonal": by the image's diagonal. Faces without a label count
        nowhere.
    """
    instead = metrics.fallback(found.truth, found.mask, scheme, found.diagonal)[found.mask.any(1)]
    return {"box": int((instead == 1).sum()), "diagonal": int((instead == 2).sum())}


def by_region(
    prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray, scheme: Scheme, diagonal: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the NME over the points of each region, by the norm of the whole face.

    Args:
        prediction: [faces, points, 2].
        truth: [faces, points, 2], in the same frame.
        mask: bool[faces, points], the labelled points.
        scheme: of the points.
        diagonal: f64[faces], of the images in the same frame.

    Returns:
        f64[faces] by region; NaN where none of its points is labelled. Empty where the scheme has one region only.
    """
    scale = metrics.norm(truth, mask, scheme, diagonal)
    parts = scheme.regions if len(scheme.regions) > 1 else {}
    return {name: _nme(prediction[:, p], truth[:, p], mask[:, p], scale) for name, p in parts.items()}


def loss_of(found: Predicted, config: Config, scheme: Scheme) -> np.ndarray:
    """Return the run's loss of each image, in input pixels, as in training.

    Args:
        found: predictions with labels, in pixels of the images.
        config: the run's.
        scheme: of the points.

    Returns:
        f64[faces]; NaN where no point is labelled.
    """
    prediction, truth = (affine.apply(found.frame, p).astype(np.float32) for p in (found.points, found.truth))
    scale = metrics.norm(truth, found.mask, scheme, found.diagonal * affine.scale(found.frame))
    factor = np.asarray(forward.loss_factor(config.loss_unit, config.size, found.frame, scale))[:, None, None] / (
        config.size / 2
    )
    each = losses.NAMES[config.loss](factor * prediction, factor * truth, found.mask)
    return np.where(found.mask.any(1), np.asarray(each, np.float64), np.nan)


def means(found: Predicted, config: Config, scheme: Scheme) -> dict[str, float]:
    """Return the mean loss of a validation, untrimmed, and the mean NME by the scheme's norm and by the box.

    Args:
        found: predictions with labels, in pixels of the images.
        config: the run's.
        scheme: of the points.

    Returns:
        "loss", "nme", "nme_box", and "norm_fallbacks", how many of `fallbacks` are in it, where there are any; empty
        where nothing is labelled.
    """
    errors = per_image(found.points, found.truth, found.mask, scheme, found.diagonal)
    if not np.isfinite(errors["nme"]).any():
        return {}
    each = {"loss": loss_of(found, config, scheme), "nme": errors["nme"], "nme_box": errors["nme_box"]}
    instead = sum(fallbacks(found, scheme).values())
    counted = {"norm_fallbacks": float(instead)} if instead else {}
    return {**{name: float(np.nanmean(values)) for name, values in each.items()}, **counted}


def by_set(found: Predicted, labels: Sequence[str], scheme: Scheme) -> dict[str, float]:
    """Return the mean NME of each of several data sets.

    Args:
        found: predictions with labels, in pixels of the images.
        labels: of each image its set.
        scheme: of the points.

    Returns:
        "nme_LABEL" of each set with an image that has an NME.
    """
    nme, of = per_image(found.points, found.truth, found.mask, scheme, found.diagonal)["nme"], np.array(labels)
    known = np.isfinite(nme)
    return {f"nme_{name}": float(np.mean(nme[known & (of == name)])) for name in sorted(set(of[known].tolist()))}


def contest_scores(prediction: np.ndarray, truth: np.ndarray, asked: list[np.ndarray]) -> np.ndarray:
    """Return the mean squared error of the coordinates asked of each face.

    The prediction is rounded to whole pixels, as it is handed in. The contest's score is the mean over faces.

    Args:
        prediction: f64[faces, points, 2] in pixels of each image.
        truth: f64[faces, points, 2], likewise.
        asked: of each face the points, i[count].

    Returns:
        f64[faces], pixels squared.
    """
    pairs = zip(np.rint(prediction), truth, asked, strict=True)
    return np.array([np.mean((p[i] - t[i]) ** 2) for p, t, i in pairs])


def report(rows: Rows, limit: float, groups: np.ndarray | None = None) -> dict[str, Any]:
    """Return the numbers of `evaluate.py --out`.

    The mean of each row over the images where it is finite, AUC and failure rate of the row "nme", and the 95 %
    bootstrap interval of each (None for a single group).

    Args:
        rows: f64[images] by name, "nme" among them.
        limit: the NME beyond which a prediction is a failure.
        groups: the group of each image; None: each is its own.

    Returns:
        plain data.

    Raises:
        ValueError: where "nme" is finite nowhere.
    """
    if not (count := int(np.isfinite(rows["nme"]).sum())):
        raise ValueError("expected labelled points to compare with, got none")
    auc, failed = metrics.by_limit(rows["nme"], limit)
    numbers = table({**rows, "auc": auc, "failure_rate": failed}, groups)
    means = {name: line["mean"] for name, line in numbers.items()}
    return {"count": count, "limit": limit, **means, "intervals": {n: line["interval"] for n, line in numbers.items()}}


def table(rows: Rows, groups: np.ndarray | None = None) -> dict[str, dict[str, Any]]:
    """Return count, mean and interval of each row that is finite somewhere.

    Args:
        rows: f64[images] by name.
        groups: as `report` takes them.

    Returns:
        {"count", "mean", "interval"} by name.
    """
    known = {name: values for name, values in rows.items() if np.isfinite(values).any()}
    if not known:
        return {}
    columns = np.stack(list(known.values()), 1)
    drawn = bootstrap.means(columns, np.arange(len(columns)) if groups is None else groups)
    return {
        name: {
            "count": int(np.isfinite(values).sum()),
            "mean": float(np.nanmean(values)),
            "interval": bootstrap.interval(drawn[:, at]),
        }
        for at, (name, values) in enumerate(known.items())
    }


def by_slice(rows: Rows, properties: Rows, groups: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """Return the thirds of the images by each property, with their NME.

    Args:
        rows: f64[images] by name, "nme" and "nme_box" among them.
        properties: f64[images] by name, of `slices.NAMES`.
        groups: the group of each image.

    Returns:
        for each property a list of {"name", "low", "high", "count", "mean", "interval", "mean_box"}, the lowest third
        first; "mean_box" is by the box's norm.
    """
    found = {}
    for name, values in properties.items():
        thirds = slices.terciles(np.where(np.isfinite(rows["nme"]), values, np.nan), slices.NAMES[name])
        numbers = table({s.name: np.where(s.inside, rows["nme"], np.nan) for s in thirds}, groups)
        boxes = [float(np.mean(rows["nme_box"][s.inside])) for s in thirds]
        found[name] = [
            {"name": s.name, "low": s.low, "high": s.high, **numbers[s.name], "mean_box": box}
            for s, box in zip(thirds, boxes, strict=True)
        ]
    return {name: lines for name, lines in found.items() if lines}


def compared(ours: Rows, theirs: Rows, groups: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return how the rows of two runs differ, over the images where both are finite.

    Each resample of the bootstrap draws the same images for both, which is what pairs them.

    Args:
        ours: f64[images] by name.
        theirs: f64[images] by name, of the same images.
        groups: the group of each image.

    Returns:
        {"count", "ours", "theirs", "difference", "interval", "percent", "percent_interval"} by name of each row that
        both have; differences are ours less theirs, in percent of theirs (None where that is 0).
    """
    found = {}
    for name in ours:
        both = np.isfinite(ours[name]) & np.isfinite(theirs[name]) if name in theirs else np.zeros(0, bool)
        if not both.any():
            continue
        a, b = (np.where(both, rows[name], np.nan) for rows in (ours, theirs))
        first, second = bootstrap.means(np.stack([a, b], 1), groups).T
        mean, other = float(np.nanmean(a)), float(np.nanmean(b))
        share = np.divide(first, second, out=np.full_like(first, np.nan), where=second != 0)
        found[name] = {
            **{"count": int(both.sum()), "ours": mean, "theirs": other},
            **{"difference": mean - other, "interval": bootstrap.interval(first - second)},
            "percent": 100 * (mean / other - 1) if other else None,
            "percent_interval": bootstrap.interval(100 * (share - 1)) if other else None,
        }
    return found


def said(percent: float | None, interval: list[float] | None) -> str:
    """Return a difference in words, as "lower by 5.2 % [3.1, 7.4]".

    Args:
        percent: the difference; None: there is nothing to divide by.
        interval: its ends in percent; None: there is one group only.

    Returns:
        the words.
    """
    if percent is None:
        return "compared with 0"
    word, sign = ("lower", -1) if percent < 0 else ("higher", 1)
    change = f"{word} by {sign * percent:.1f} %"
    if interval is None:
        return f"{change}, with no interval: there is one group only"
    low, high = sorted(sign * edge for edge in interval)
    chance = "" if low > 0 else ", which may be chance"
    return f"{change} [{low:.1f}, {high:.1f}]{chance}"


def aligned(rows: Rows, index: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Return rows of some images as rows of others.

    Args:
        rows: [m] by name, of the images `index`.
        index: i[m], each once.
        wanted: i[n], the images that are wanted.

    Returns:
        [n] by name; NaN where an image is not there.
    """
    place = {int(i): at for at, i in enumerate(index)}
    at = np.array([place.get(int(i), -1) for i in wanted])
    return {name: np.where(at >= 0, values[at], np.nan) for name, values in rows.items()}
