"""Validation during training: metrics, and the worst predictions drawn, of the validation split and of training."""

from collections.abc import Callable
from itertools import tee

import numpy as np

from jaxmarks import data_sets, experiment, inference, keys, processes
from jaxmarks.evaluation import summary
from jaxmarks.evaluation.summary import Judged
from jaxmarks.inference import Predicted
from jaxmarks.training import history
from jaxmarks.types import State
from pipelines import loader
from pipelines.example import Source, Subset, names_at
from pipelines.reports.worst import Worst

_WORST = 8  # images on a sheet


def judging(
    plan: experiment.Experiment,
    train: Source,
    val: Source,
    weights: np.ndarray | None,
    faults: loader.Faults,
    by_labels: int = 0,
) -> Callable[[State, np.ndarray, int], Judged]:
    """judge(state, rows of the log, the first one's step): see `session.Judge`. weights: of the training split's draws;
    by_labels: how many images of `val` are cropped to boxes made from their own labels, reported beside the scores as a share.
    Several processes predict a stretch of the images each, and all have the metrics of the whole."""
    member = plan.member("none")
    order = keys.ordering(plan.key, len(train), weights)

    def own(state: State, source: Source, stretch: range) -> tuple[list[Predicted], Worst]:
        mine = source if len(stretch) == len(source) else Subset(source, stretch)
        batches, shown = tee(loader.together(mine, [plan.config], faults=faults))
        sheet, found = Worst(plan.scheme, _WORST), []
        merged = inference.merged(inference.view_points([member(state)], batches), np.ones(1))
        for inside, [(batch, _)] in zip(merged, shown, strict=True):
            found.append(inference.to_images(inside._replace(index=inside.index + stretch.start)))
            sheet.add(batch, found[-1])
        return found, sheet

    def predicted(state: State, source: Source) -> tuple[Predicted | None, np.ndarray | None]:
        found, sheet = processes.together(lambda: own(state, source, processes.share(len(source))))
        sheet.share()
        whole = [Predicted(*arrays) for arrays in processes.gather_arrays(inference.gather(found) if found else None)]
        return (inference.gather(whole) if whole else None), sheet.sheet(source.names)

    def judge(state: State, rows: np.ndarray | None, first: int) -> Judged:
        hardest = None if rows is None else history.hardest(history.seen(rows, order, len(train), first), _WORST)
        [hardest] = processes.gather_arrays(None if hardest is None else [hardest])[0]  # of the one that keeps the log
        parts = {"train": Subset(train, hardest.tolist()), "val": val}
        found = {name: predicted(state, part) for name, part in parts.items()}
        sheets = {f"worst/{name}": sheet for name, (_, sheet) in found.items() if sheet is not None}
        judged, _ = found["val"]
        if len(val) and judged is None:
            raise ValueError("no image to validate on: none could be decoded")
        means = summary.means(judged, plan.config, plan.scheme) if judged else {}
        if means and val.sets and judged:
            means |= summary.by_set(judged, data_sets.labels(names_at(val, judged.index)), plan.scheme)
        if means and by_labels:
            means["cropped_by_labels"] = by_labels / len(val)
        return Judged(means, sheets)

    return judge
