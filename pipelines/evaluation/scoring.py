"""Scoring: the images of an evaluation, their groups, and the facts of each."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise, tee
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from jaxmarks import affine, data_sets, inference, processes
from jaxmarks.evaluation import metrics, reliability, slices, summary
from jaxmarks.inference import Predicted
from jaxmarks.landmarks import Scheme
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.example import Source, Subset
from pipelines.predictor import Predictor
from pipelines.runs import boxed, run_data, run_folder, split
from pipelines.runs.run_folder import Run
from pipelines.sources import boxes


class Scores(NamedTuple):
    """Numbers of each image, name -> f64[n]."""

    rows: dict[str, np.ndarray]  # NME by each norm and, where points are asked, the contest's score
    regions: dict[str, np.ndarray]  # NME of each region


def images(
    run: Run, part: str, data: str | None, *, pictures: str = "", boxes: str = "", category: str = ""
) -> tuple[Source, Source | None]:
    """(the images of the part `test` or `val`, the training split where there is one).

    Raises ValueError in one line where they cannot be judged by.
    """
    if part == "val":
        train = run_data.of_run(run, data, pictures=pictures, boxes=boxes)
        source = run_data.split_of(run, train, "val")
    else:
        train = run_data.training_labels(run, data)
        source = run_data.test_split(run, data, pictures=pictures, boxes=boxes, category=category)
    run_folder.check_points(run, source)
    if not source.labelled:
        raise ValueError(
            f"{data or run.config.data}: no labels to compare with (test/landmarks_true.csv); `part` val scores the"
            " held-out images"
        )
    if not len(source):
        why = "it was trained with `val_fraction` 0" if not run.config.val_fraction else "none could be held out"
        raise ValueError(f"{run.root} has no {part} images: {why} (it trained on {len(run.parts['train'])})")
    return source, train


def check_other(ours: Run, theirs: Run, source: Source, part: str) -> None:
    """Raise ValueError where another run cannot be judged, or mixed in, on the same images: those of `source`, which
    are the part `test` or `val` of `ours`."""
    run_folder.check_points(theirs, source)
    boxed.check_same(ours, theirs)
    same = part == "val" or ours.data_identity == theirs.data_identity
    if seen := set(theirs.parts["train"]) & set(source.names) if same else set():
        raise ValueError(
            f"{theirs.root} was trained on {len(seen)} of these images, {min(seen)} among them; give images that"
            " no run has seen"
        )


def groups(names: Sequence[str], asked: str | None, own: Sequence[str]) -> tuple[np.ndarray, str]:
    """(the group of each image, the expression that they are by; empty: each is its own).

    asked: a regular expression; None: that of the runs' `own` which fits these names, in any order; of several the one that
    makes the fewest groups. Raises ValueError for one that was asked for and does not fit.
    """
    if asked is not None:
        return np.array(split.groups(names, asked, "groups")), asked
    found = []
    for pattern in sorted(filter(None, set(own))):
        with contextlib.suppress(ValueError):
            found.append((np.array(split.groups(names, pattern)), pattern))
    return min([*found, (np.array(names), "")], key=lambda some: len(np.unique(some[0])))


def scores(source: Source, found: Predicted, scheme: Scheme, index: np.ndarray | None = None) -> Scores:
    """What predictions come to on each image of `index` (default: those of `found`); NaN where one is not there."""
    judged = found.points, found.truth, found.mask, scheme, found.diagonal
    rows = summary.per_image(*judged)
    if (asked := source.asked) is not None:
        rows["contest_score"] = summary.contest_scores(found.points, found.truth, [asked[i] for i in found.index])
    every = Scores(rows, summary.by_region(*judged))
    return every if index is None else Scores(*(summary.aligned(part, found.index, index) for part in every))


def report(ours: Scores, properties: summary.Rows, limit: float, groups: np.ndarray, by: str) -> dict[str, Any]:
    """The numbers of out.json, with tables by region and by slice; by: what `groups` said of the groups."""
    return {
        **summary.report(ours.rows, limit, groups),
        "groups": {"count": len(np.unique(groups)), "by": by},
        "regions": summary.table(ours.regions, groups),
        "slices": summary.by_slice(ours.rows, properties, groups),
    }


def by_set(ours: Scores, names: Sequence[str], data: str, limit: float, groups: np.ndarray) -> dict[str, Any]:
    """{"sets": for each of the data sets that `data` names its path and the numbers of its images}, those without a labelled
    image left out; names: of the images."""
    of, found = np.array(data_sets.labels(names)), {}
    for place, path in enumerate(data_sets.paths(data)):
        inside = of == data_sets.label(place)
        rows = {name: values[inside] for name, values in ours.rows.items()}
        if np.isfinite(rows["nme"]).any():
            found[data_sets.label(place)] = {"data": path, **summary.report(rows, limit, groups[inside])}
    return {"sets": found}


def crops(source: Source, found: Predicted) -> dict[str, Any]:
    """{"boxes": to how many bounding boxes images were cropped, and how many of these are of their own labels}; empty
    where images are seen whole."""
    if not source.boxed:
        return {}
    return {"boxes": {"count": len(found.index), "of_labels": boxes.of_labels(source, found.index)}}


def expected(found: Predicted, scheme: Scheme, groups: np.ndarray, radii: dict[float, np.ndarray]) -> dict[str, Any]:
    """{"expected": what the expected error of each point is worth}; empty where the predictions come without one.

    radii: at each level f64[n, points], within which that share of errors should lie.
    """
    if not (found.mask & np.isfinite(found.expected)).any():
        return {}
    error = metrics.distances(found.points, found.truth)
    scale = metrics.norm(found.truth, found.mask, scheme, found.diagonal)
    return {"expected": reliability.report(found.expected, error, found.mask, scale, groups, radii)}


def comparison(ours: Scores, theirs: Scores, groups: np.ndarray, against: dict[str, Any]) -> dict[str, Any]:
    """The section "comparison" of out.json; against: which run it is, at what step, under which views.

    Raises ValueError where there is no image that both could judge.
    """
    numbers = summary.compared(ours.rows, theirs.rows, groups)
    if "nme" not in numbers:
        raise ValueError(f"`against` {against['run']}: there is no image that both have predicted")
    said = summary.said(numbers["nme"]["percent"], numbers["nme"]["percent_interval"])
    regions = summary.compared(ours.regions, theirs.regions, groups)
    return {"against": against, "said": said, "numbers": numbers, "regions": regions}


def predicted(
    over: Sequence[Predictor], source: Source, faults: loader.Faults, watch: Callable[[Batch, Predicted], None]
) -> tuple[list[Predicted], np.ndarray]:
    """(the predictions of each predictor, the brightness f64[n] of each image) for all images that can be decoded; each is
    loaded once, but for a closer crop. watch: is given each batch with the first predictor's predictions. Of several
    processes each predicts a stretch of the images, and all have the whole. Raises ValueError where none can be decoded."""
    stretch = processes.share(len(source))
    mine = source if len(stretch) == len(source) else Subset(source, stretch)
    found = processes.together(lambda: _predicted(over, mine, stretch.start, faults, watch))
    fields, whole = len(Predicted._fields), []
    for arrays in processes.gather_arrays(None if found is None else [*chain(*found[0]), found[1]]):
        each = [Predicted(*arrays[n : n + fields]) for n in range(0, fields * len(over), fields)]
        whole.append((each, arrays[-1]))
    bright = np.concatenate([np.zeros(0), *(part for _, part in whole)])
    return [inference.gather(each[n] for each, _ in whole) for n in range(len(over))], bright


def _predicted(
    over: Sequence[Predictor],
    source: Source,
    begin: int,
    faults: loader.Faults,
    watch: Callable[[Batch, Predicted], None],
) -> tuple[list[Predicted], np.ndarray] | None:
    """As `predicted`, of one process; None where none can be decoded. begin: the place of the first image in the whole."""
    devices = math.lcm(*(p.ensemble.devices for p in over))
    size = -(-max(p.ensemble.batch for p in over) // devices) * devices
    ensembles = [p.ensemble._replace(batch=size) for p in over]
    batches = loader.together(source, [c for e in ensembles for c in e.configs], faults=faults)
    first, *feeds = tee(batches, 1 + len(over))
    places = list(accumulate((len(e.members) for e in ensembles), initial=0))
    streams = [
        dataclasses.replace(p, ensemble=e).predictions(source, batches=map(itemgetter(slice(start, stop)), feed))
        for p, e, feed, (start, stop) in zip(over, ensembles, feeds, pairwise(places), strict=True)
    ]
    found, bright = [], [np.zeros(0)]
    for ((batch, count), *_), *some in zip(first, *streams, strict=True):
        found.append([each._replace(index=each.index + begin) for each in some])
        bright.append(brightness(batch, count))
        watch(batch, found[-1][0])
    return ([inference.gather(each) for each in zip(*found, strict=True)], np.concatenate(bright)) if found else None


def properties(found: Predicted, scheme: Scheme, bright: np.ndarray) -> dict[str, np.ndarray]:
    """What slices are made by, f64[n] each: size, pose where it is known how the points mirror, brightness."""
    result = {"size": slices.sizes(found.truth, found.mask)}
    if scheme.mirror is not None:
        result["pose"] = slices.asymmetry(found.truth, found.mask, scheme.mirror)
    return {**result, "brightness": bright}


def brightness(batch: Batch, count: int) -> np.ndarray:
    """f64[count] in 0..255: the mean luminance of each image of a batch in the box of its labelled points, as far as the
    canvas shows it; NaN where it shows none of it."""
    to_canvas = affine.invert(batch.fit.astype(np.float64))

    def one(at: int) -> float:
        placed = affine.apply(to_canvas[at], batch.points[at][batch.mask[at]].astype(np.float64))
        if not len(placed):
            return np.nan
        x0, y0 = np.maximum(np.rint(placed.min(0)), batch.extent[at, :2]).astype(int)
        x1, y1 = np.minimum(np.rint(placed.max(0)), batch.extent[at, 2:]).astype(int)
        inside = batch.image[at, y0 : max(y1 + 1, y0), x0 : max(x1 + 1, x0)]
        return float(slices.luminance(inside).mean()) if inside.size else np.nan

    return np.array([one(at) for at in range(count)])
