"""Fitting of view weights and expected errors on the run's validation split.

Weights are fitted on the half of it that chose the checkpoint, expected errors on the other (`halves.held`). Where a half
has too few images both are fitted on all of it, crosswise: what is said of an image's error comes of weights fitted to others.
All in pixels of the first member's input.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import affine, inference, words
from jaxmarks.evaluation import calibration, metrics, view_weights
from jaxmarks.evaluation.calibration import Calibration
from jaxmarks.inference import Predicted
from pipelines import open as opening
from pipelines.example import Source, Subset
from pipelines.inference import ensemble, fitted, predictions, refine, settings
from pipelines.inference.ensemble import Ensemble
from pipelines.inference.fitted import Fitted
from pipelines.inference.settings import Settings
from pipelines.runs import halves, run_data, run_folder

_FOLDS = 5  # of a crosswise fit
_MOST = 2000  # images of a half that are predicted: more would tell no more

Watch = Callable[[int, int, str], None]  # images done, of how many, what for


def unwatched(done: int, total: int, what: str) -> None:
    """Say nothing: the `Watch` of those who want to hear nothing.

    Args:
        done: images that are done.
        total: of how many.
        what: they are for.
    """


def for_ensemble(
    over: Ensemble,
    asked: Settings,
    data: str | None,
    dry: bool = False,
    *,
    watch: Watch = unwatched,
) -> tuple[Fitted, list[str]]:
    """Return the fit for some networks and settings, made and kept beside the first run where it is not there yet.

    Args:
        over: the ensemble.
        asked: how predictions are made.
        data: where the first run's data lies now, if it is no longer where it was. Without it weights are equal and
            errors not expected.
        dry: whether nothing is fitted.
        watch: called with the images done, of how many, and what for.

    Returns:
        the fit, and what a person should know of it, a line each.

    Raises:
        ValueError: for given weights that are none, and where fitted weights or `refine` were asked for and nothing can
            be fitted.
    """
    given, purpose, run = settings.given_weights(over, asked), settings.purpose(over, asked), over.runs[0].run
    if (known := fitted.read(run.root, purpose)) is not None:
        return known, _remarks(known)
    equal = Fitted(settings.equal_weights(over) if given is None else given, 0, None, None)
    if dry:
        return equal, ["weights and expected errors would be fitted first, on the run's validation split"]
    try:
        found = _fit(over, asked, given, halves.held(run, _data(run, data)), watch)
    except ValueError as error:
        if asked.view_weights == "fitted" or asked.refine:
            raise
        found = equal._replace(remark=str(error))
    return found, [*_remarks(found), *_kept(run.root, purpose, found)]


def shortage(run: run_folder.Run) -> str:
    """Return why no expected errors can be fitted for a run: too few images are held out.

    Args:
        run: the run.

    Returns:
        one line; empty where they may be enough.
    """
    count = len(run.parts["val"])
    if count >= calibration.LEAST:
        return ""
    return f"{run.root} holds out {count} images, {calibration.LEAST} are needed; validate on more (`val_fraction`)"


def _data(run: run_folder.Run, elsewhere: str | None) -> Source:
    """The run's own data, where it was or else where it may be now."""
    if opening.exists(run.config.data) or elsewhere is None:
        return run_data.of_run(run)
    return run_data.of_run(run, elsewhere)


def _kept(root: Path, purpose: dict, found: Fitted) -> list[str]:
    """Keep a whole fit beside the run, and says so: half a one may be made whole by the next command."""
    if found.calibration is None:
        return []
    try:
        return [f"kept for the next time: {fitted.write(root, purpose, found)}"]
    except OSError as error:
        return [f"not kept for the next time: {error}"]


def _remarks(found: Fitted) -> list[str]:
    views, known = len(found.weights), found.calibration
    if found.images:
        weighed = f", weighed by a fit to {words.counted(found.images, 'image')} of the validation split"
    elif views > 1:
        weighed = ", equally weighted" if np.ptp(found.weights) < 1e-12 else ", weighed as given"
    else:
        weighed = ""
    others = "images, each by a fit to the others" if found.crossed else "others"
    more = f"errors calibrated on {len(known.images)} {others}" if known else f"errors not calibrated: {found.remark}"
    return [f"{views} {'view' if views == 1 else 'views'}{weighed}; {more}"]


def _unseen(over: Ensemble, half: Source) -> Subset:
    """Of a half of the first run's validation split, what the other networks were not trained on either; evenly taken."""
    seen = {n for t in over.runs[1:] for n in t.run.parts["train"]}
    there = [i for i, name in enumerate(half.names) if name not in seen]
    evenly = np.linspace(0, len(there) - 1, min(_MOST, len(there))).astype(int)
    return Subset(half, [there[i] for i in evenly])


def _fit(over: Ensemble, asked: Settings, given: np.ndarray | None, held: halves.Held, watch: Watch) -> Fitted:
    chooses, calibrates = _unseen(over, held.chooses), _unseen(over, held.calibrates)
    crossed = min(len(chooses), len(calibrates)) < calibration.LEAST  # too few in a half
    if crossed:
        chooses = calibrates = _unseen(over, held.all)
    if not len(chooses) and len(held.all):
        raise ValueError(
            "each image that the first run holds out was trained on by another of these runs; train runs to be mixed with the"
            " same `split_seed`, `split_by` and `val_fraction`"
        )
    if not len(chooses):
        raise ValueError("no image is held out for it; validate on more (`val_fraction`)")
    if len(chooses) < view_weights.LEAST and given is None:
        given = _equal(over, asked, len(chooses))
    seen, weights, count = None, given, 0
    if weights is None:
        seen = _seen(over, chooses, watch)
        weights, count = _fitted_weights(over, asked, seen)
    typical = None
    if asked.refine:
        found = ensemble.merged(over, weights, asked.merge, chooses)
        typical = refine.framing(_gathered(found, len(chooses), watch, "how faces lie"), over.configs[0].size)
    fit = Fitted(weights, count, typical, None, "", crossed)
    try:
        known = _calibration(over, asked, fit, calibrates, held.groups, seen if crossed and count else None, watch)
        return fit._replace(calibration=known)
    except ValueError as error:
        return fit._replace(remark=str(error))


def _equal(over: Ensemble, asked: Settings, count: int) -> np.ndarray:
    """Equal weights, since so few images are no more to fit on. Raises ValueError where fitted ones were asked for."""
    if asked.view_weights == "fitted":
        raise ValueError(
            f"`view_weights` fitted: {words.counted(count, 'image')} to fit on,"
            f" {view_weights.LEAST} are needed; validate on more (`val_fraction`)"
        )
    return settings.equal_weights(over)


class _Seen(NamedTuple):
    """The points of every view of labelled images, in pixels of the first member's input."""

    points: np.ndarray  # f32[views, n, points, 2]
    truth: np.ndarray  # f32[n, points, 2]
    mask: np.ndarray  # bool[n, points]
    diagonal: np.ndarray  # f64[n]  of the images
    index: np.ndarray  # i64[n]  in the source

    def of(self, rows: np.ndarray) -> "_Seen":
        """Some of the images, bool[n]."""
        return _Seen(self.points[:, rows], *(column[rows] for column in self[1:]))


def _calibration(
    over: Ensemble,
    asked: Settings,
    fit: Fitted,
    source: Source,
    groups: dict[str, str],
    seen: _Seen | None,
    watch: Watch,
) -> Calibration:
    """Expected errors, of predictions by the weights of `fit` or, with `seen`, by those fitted to the other folds of the
    groups. Raises ValueError where there are too few images."""
    if len(source) < calibration.LEAST:
        raise ValueError(
            f"{words.counted(len(source), 'image')} held out to calibrate expected errors on, {calibration.LEAST} are needed;"
            " validate on more (`val_fraction`)"
        )
    of = [groups[name] for name in source.names]
    if seen is None:
        found = _gathered(predictions.of(over, fit, asked.merge, source), len(source), watch, "expected errors")
    else:
        found = _crosswise(over, asked, fit, source, of, seen, watch)
    norm = metrics.norm(found.truth, found.mask, over.runs[0].run.scheme, found.diagonal)
    judged, groups_of = (found.points, found.spread, found.truth, found.mask), [of[int(i)] for i in found.index]
    return calibration.fit(*judged, norm, found.diagonal, groups_of)


def _crosswise(
    over: Ensemble, asked: Settings, fit: Fitted, source: Source, of: Sequence[str], seen: _Seen, watch: Watch
) -> Predicted:
    """Predictions of all images of a source, each under weights fitted to the folds of groups that it is not in."""
    names = sorted(set(of))
    fold_of = np.array([names.index(group) % min(_FOLDS, len(names)) for group in of])
    found, done = [], 0
    for fold in sorted(set(fold_of.tolist())):
        inside = np.flatnonzero(fold_of == fold)
        weights = _weights(over, seen.of(fold_of[seen.index] != fold))
        for some in predictions.of(over, fit._replace(weights=weights), asked.merge, Subset(source, inside.tolist())):
            found.append(some._replace(index=inside[some.index]))
            watch(done := done + len(some.index), len(source), "expected errors")
    return inference.gather(found)


def _gathered(stream: Iterator[Predicted], total: int, watch: Watch, what: str) -> Predicted:
    """All of a stream of predictions, watched."""
    found, done = [], 0
    watch(0, total, what)
    for some in stream:
        found.append(some)
        watch(done := done + len(some.index), total, what)
    return inference.gather(found)


def _seen(over: Ensemble, part: Source, watch: Watch) -> _Seen:
    """The points of every view of the images of a source."""
    found, done = [], 0
    watch(0, len(part), "weights of views")
    for s in ensemble.view_points(over, part):
        n, batch = s.count, s.batch
        diagonal = batch.diagonal * affine.scale(batch.frame)
        found.append(_Seen(s.points[:, :n], *(a[:n] for a in (batch.points, batch.mask, diagonal, batch.index))))
        watch(done := done + n, len(part), "weights of views")
    if not found:
        raise ValueError("none of the images that are held out could be decoded")
    points, *columns = zip(*found, strict=True)
    return _Seen(np.concatenate(points, 1), *map(np.concatenate, columns))


def _fitted_weights(over: Ensemble, asked: Settings, seen: _Seen) -> tuple[np.ndarray, int]:
    """(weights, images that they were fitted on, or 0 where these are too few and auto takes equal ones)."""
    count = len(seen.mask)
    return (_equal(over, asked, count), 0) if count < view_weights.LEAST else (_weights(over, seen), count)


def _weights(over: Ensemble, seen: _Seen) -> np.ndarray:
    norm = metrics.norm(seen.truth, seen.mask, over.runs[0].run.scheme, seen.diagonal)
    return view_weights.fit(seen.points, seen.truth, seen.mask, norm)
