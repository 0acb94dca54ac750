"""Validation while a run trains: its numbers, and the worst predictions drawn, of the validation split and of training."""

from collections.abc import Callable

import numpy as np

from jaxmarks import affine, experiment, inference, keys, tta
from jaxmarks.evaluation import summary
from jaxmarks.training import history
from jaxmarks.training import state as states
from jaxmarks.evaluation.summary import Judged
from jaxmarks.inference import Member, Predicted
from jaxmarks.types import State
from pipelines.images import decode
from pipelines import loader
from pipelines.reports import sheets
from pipelines.example import Source, Subset

_WORST = 8
_SIDE = 240  # of an image on a sheet, in pixels


def judging(
    plan: experiment.Assembly,
    train: Source,
    val: Source,
    weights: np.ndarray | None,
    faults: loader.Faults,
    by_labels: int = 0,
) -> Callable[[State, np.ndarray, int], Judged]:
    """judge(state, rows of the log, the first one's step): see `session.Judge`. weights: of the training split's draws;
    by_labels: how many images of `val` are cropped to boxes made from their own labels, told beside the scores as a share."""
    network = inference.make_network(plan.model, plan.scheme, plan.config.size, plan.mesh)
    plain = tta.views("none", False, plan.config.size)
    order = keys.ordering(plan.key, len(train), weights)

    def predicted(state: State, source: Source) -> Predicted | None:
        member = Member(network, plan.model.fold(*states.judged(state)), plain, plan.mesh)
        batches = loader.together(source, [plan.config], faults=faults)
        found = list(inference.merged(inference.view_points([member], batches), np.ones(1)))
        return inference.to_images(inference.gather(found)) if found else None

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


def worst(source: Source, found: Predicted, plan: experiment.Assembly, count: int = _WORST) -> np.ndarray:
    """A sheet of the images with the largest NME, prediction green, truth red, as u8 RGB."""
    config, judged = plan.config, (found.points, found.truth, found.mask, plan.scheme, found.diagonal)
    nme = summary.per_photograph(*judged)["nme"]
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
