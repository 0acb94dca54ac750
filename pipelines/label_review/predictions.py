"""Predictions for label review: of every labelled image, by a run that was not trained on it if possible, with the spread of
its views and how often training left it out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import inference, processes
from pipelines import loader
from pipelines.example import Source, Subset
from pipelines.inference import ensemble, settings
from pipelines.io import console
from pipelines.runs import restore, run_data, run_folder
from pipelines.runs.restore import Trained

VIEWS = "standard"


class Known(NamedTuple):
    """A row for each labelled image that can be decoded; points in pixels of the images."""

    index: np.ndarray  # i64[n]  in the source
    points: np.ndarray  # f32[n, points, 2]  predicted: the mean over the runs that were asked
    spread: np.ndarray  # f64[n]  mean over points of the RMS distance of the views from the prediction
    labels: np.ndarray  # f32[n, points, 2]
    mask: np.ndarray  # bool[n, points]
    fresh: np.ndarray  # bool[n]  no run that was asked had trained on it
    asked: np.ndarray  # i64[n]  a number for each set of runs that were asked together, fresh and not apart
    seen: np.ndarray  # i64[n]  how often training came by it, over all runs
    trimmed: np.ndarray  # i64[n]  and how often it was left out as one of the worst of its batch
    diagonal: np.ndarray  # f64[n]  of the image


def open_runs(folders: Sequence[str], which: str, path: str | None) -> tuple[list[Trained], Source]:
    """The runs at the checkpoint `which`, and the data that all were trained on, at `path` or where it was.

    Raises ValueError in one line where a run comes twice, its data is other than the first one's, or has no labels.
    """
    roots = [Path(folder) for folder in folders]
    if len({root.resolve() for root in roots}) < len(roots):
        raise ValueError("`run`: the same run comes twice")
    first, *others = found = [restore.load(root, which) for root in roots]
    for other in others:
        run_folder.check_same_data(first.run, other.run)
    source = run_data.of_run(first.run, path)
    if not source.labelled:
        raise ValueError(f"{path or first.run.config.data}: no labels to review")
    return found, source


def gather(found: Sequence[Trained], source: Source, faults: loader.Faults) -> Known:
    """All that is known, from runs of this source. Reads each image as often as runs are asked about it."""
    fresh, asked = assignments(source.names, [t.run.parts["train"] for t in found])
    count, points = len(source), source.num_points
    total, labels = np.zeros((count, points, 2), np.float32), np.zeros((count, points, 2), np.float32)
    diagonal = np.zeros(count)
    spread, answers, mask = np.zeros(count), np.zeros(count, int), np.zeros((count, points), bool)
    own = processes.share(count)  # of several processes each asks all runs about a stretch of the images
    mine = asked & np.isin(np.arange(count), own)
    progress = console.Progress(int(mine.sum()), "prediction")

    def ask() -> None:
        done = 0
        for t, which in zip(found, mine, strict=True):
            for part in _predicted(t, source, np.flatnonzero(which), faults):
                at = np.flatnonzero(which)[part.index]
                total[at] += part.points
                spread[at] += np.nan_to_num(part.spread).mean(1)
                labels[at], mask[at], diagonal[at] = part.truth, part.mask, part.diagonal
                answers[at] += 1
                progress.show(done := done + len(at))

    progress.start()
    processes.together(ask)
    progress.close()
    stretches = processes.gather_arrays(
        [a[own.start : own.stop] for a in (total, spread, labels, mask, diagonal, answers)]
    )
    total, spread, labels, mask, diagonal, answers = (np.concatenate(each) for each in zip(*stretches, strict=True))
    if not np.isfinite(total).all():
        raise ValueError("a run predicts points that are not finite; take another `checkpoint`")
    rows = np.flatnonzero(answers.astype(bool) & mask.any(1))
    if not len(rows):
        raise ValueError("none of the images can be decoded and has a label")
    groups = np.unique(np.vstack([asked, fresh]), axis=1, return_inverse=True)[1].reshape(-1)
    seen, trimmed = _history(found, source)
    total[rows] /= answers[rows, None, None]
    each = fresh, groups, seen, trimmed, diagonal
    return Known(rows, total[rows], spread[rows] / answers[rows], labels[rows], mask[rows], *(e[rows] for e in each))


def assignments(names: Sequence[str], trained_on: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """(bool[n]: some run had not trained on the image; bool[runs, n]: which runs are to be asked about it): those
    that had not trained on it or, where all had, all."""
    unseen = np.array([[name not in part for name in names] for part in map(set, trained_on)])
    fresh = np.any(unseen, axis=0)
    return fresh, np.where(fresh, unseen, True)


def _predicted(t: Trained, source: Source, indices: np.ndarray, faults: loader.Faults) -> Iterator[inference.Predicted]:
    alone = ensemble.of_runs([t], VIEWS)
    part = Subset(source, indices.tolist())
    found = ensemble.merged(alone, settings.equal_weights(alone), "mean", part, faults)
    return map(inference.to_images, found)


def _history(found: Sequence[Trained], source: Source) -> tuple[np.ndarray, np.ndarray]:
    """i64[n] each: how often the images were seen and trimmed as the worst, over all runs."""
    places = {name: i for i, name in enumerate(source.names)}
    seen, trimmed = np.zeros(len(source), int), np.zeros(len(source), int)
    for t in found:
        part = run_data.split_of(t.run, source, "train")
        outcomes, at = restore.outcomes(t.run, part), [places[name] for name in part.names]
        seen[at] += outcomes["seen"]
        trimmed[at] += outcomes["worst"]
    return seen, trimmed


def remarks(known: Known, run: run_folder.Run, by_labels: int = 0) -> list[str]:
    """What a person should know of these predictions, a line each; run: one of those that were asked; by_labels: how many
    images were cropped to boxes made from their own labels."""
    lines = []
    if stale := int((~known.fresh).sum()):
        lines.append(
            f"{stale} of {len(known.fresh)} images were predicted by runs that had trained on them, which hides wrong"
            " labels; train.py --fold 1/3, 2/3 and 3/3 makes runs that had not"
        )
    if by_labels:
        lines.append(
            f"{by_labels} of {len(known.index)} images are cropped to boxes made from their own labels: a label that is off as a"
            " whole takes its crop along, which hides it"
        )
    if run.review:
        lines.append(
            f"these runs obeyed {run.root / 'decisions.csv'}: join its rows to those of the new decisions, or they are lost"
        )
    return lines
