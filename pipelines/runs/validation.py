"""Validation during training: metrics, and the worst predictions drawn, of the validation split and of training."""

from collections.abc import Callable

import numpy as np

from jaxmarks import affine, experiment, inference, keys
from jaxmarks.evaluation import summary
from jaxmarks.evaluation.summary import Judged
from jaxmarks.inference import Predicted
from jaxmarks.training import history
from jaxmarks.types import State
from pipelines import loader
from pipelines.example import Source, Subset
from pipelines.images import decode
from pipelines.reports import sheets

_WORST = 8
_SIDE = 240  # of an image on a sheet, in pixels


def judging(
    plan: experiment.Experiment,
    train: Source,
    val: Source,
    weights: np.ndarray | None,
    faults: loader.Faults,
    by_labels: int = 0,
) -> Callable[[State, np.ndarray, int], Judged]:
    """judge(state, rows of the log, the first one's step): see `session.Judge`. weights: of the training split's draws;
    by_labels: how many images of `val` are cropped to boxes made from their own labels, told beside the scores as a share."""
    forward = plan.forward("none")
    order = keys.ordering(plan.key, len(train), weights)

    def predicted(state: State, source: Source) -> Predicted | None:
        ordered = loader.ordered(source, plan.config, faults=faults)
        found = list(inference.predictions(forward, state, ordered, plan.mesh))
        return inference.gather(found) if found else None

    def judge(state: State, rows: np.ndarray, first: int) -> Judged:
        seen = history.seen(rows, order, len(train), first)
        parts = {"train": Subset(train, history.hardest(seen, _WORST).tolist()), "val": val}
        found = {name: (part, predicted(state, part)) for name, part in parts.items()}
        sheets = {f"worst/{name}": worst(part, p, plan) for name, (part, p) in found.items() if p is not None}
        judged = found["val"][1]
        if len(val) and judged is None:
            raise ValueError("no image to validate on: none could be decoded")
        means = summary.means(judged, plan.config, plan.scheme) if judged else {}
        if means and by_labels:
            means["cropped_by_labels"] = by_labels / len(val)
        return Judged(means, sheets)

    return judge


def worst(source: Source, found: Predicted, plan: experiment.Experiment, count: int = _WORST) -> np.ndarray:
    """A sheet of the images with the largest NME, prediction green, truth red, as u8 RGB."""
    config, judged = plan.config, (found.points, found.truth, found.mask, plan.scheme, found.diagonal)
    nme = summary.per_image(*judged)["nme"]
    pictures, captions = [], []
    for at in np.argsort(-np.nan_to_num(nme, nan=-1.0), kind="stable")[:count]:
        index = int(found.index[at])
        side = decode.canvas_side(config.size, config.canvas)
        canvas = decode.canvas(source[index], config.size, side, config.box_margin)
        to_canvas = affine.compose(canvas.frame, affine.invert(canvas.fit))
        known = np.where(found.mask[at][:, None], found.truth[at], np.nan)
        points, truth = (affine.apply(to_canvas, p) for p in (found.points[at], known))
        pictures.append(sheets.fitted(sheets.overlay(canvas.image, points, truth), _SIDE))
        captions.append(f"{sheets.shortened(source.names[index])}  NME {nme[at]:.3f}")
    return sheets.contact(pictures, 4, captions)
