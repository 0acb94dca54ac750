"""What predictions are fitted with: weights of views and expected errors, from the run's validation part.

Weights are fitted on the half of it that chose the checkpoint, expected errors on the other (`parts.held`).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import affine, augment_data, blend, calibrate, metrics, predict, tta
from jaxmarks.predict import Predicted
from pipelines import fitted, loader, looking, parts, runs, sources
from pipelines.fitted import Fitted
from pipelines.looking import Net
from pipelines.sources import Source, Subset, names_at

_SEEN_BY = ("model", "size", "canvas", "box_margin", "precision")  # how a network sees, beside its state
_MOST = 2000  # photographs of a half that are looked at: more would say no more


class Settings(NamedTuple):
    """How predictions are made."""

    tta: str = "standard"  # a set of views by name, or the JSON of one
    merge: str = "mean"  # mean, median or trimmed
    weights: str = "auto"  # equal, fitted, auto (fitted where that can be), or the JSON of [views] or [views][points]
    refine: bool = False  # look again, closer, at faces that fill little of the frame
    at_once: int | None = None  # pictures that go through a network at one time; None: as many as are fast


def for_nets(nets: Sequence[Net], asked: Settings, data: str | None, dry: bool = False) -> tuple[Fitted, list[str]]:
    """The fit for these networks and settings, made and kept beside the first run where it is not there yet, and what a
    person should know of it, a line each.

    data: where the first run's data lies now, if it is no longer where it was. Without it weights are equal and errors not
    expected; that is refused (ValueError) where fitted weights or --refine were asked for. dry: nothing is fitted.
    """
    given, purpose, run = given_weights(nets, asked), purpose_of(nets, asked), nets[0].trained.run
    if (known := fitted.read(run.root, purpose)) is not None:
        return known, _remarks(known)
    equal = Fitted(equal_weights(nets) if given is None else given, 0, None, None)
    if dry:
        return equal, ["weights and expected errors would be fitted first, on the run's validation part"]
    try:
        found = _fit(nets, asked, given, parts.held(run, _data(run, data)))
    except ValueError as error:
        if asked.weights == "fitted" or asked.refine:
            raise
        found = equal._replace(remark=str(error))
    return found, [*_remarks(found), *_kept(run.root, purpose, found)]


def _data(run: runs.Run, elsewhere: str | None) -> Source:
    """The run's own data, where it was or else where it may be now."""
    if sources.exists(run.config.data) or elsewhere is None:
        return runs.data_of(run)
    return runs.data_of(run, elsewhere)


def _kept(root: Path, purpose: dict, found: Fitted) -> list[str]:
    """Keeps a whole fit beside the run, and says so: half a one may be made whole by the next command."""
    if found.calibration is None:
        return []
    try:
        return [f"kept for the next time: {fitted.write(root, purpose, found)}"]
    except OSError as error:
        return [f"not kept for the next time: {error}"]


def _remarks(found: Fitted) -> list[str]:
    views, known = len(found.weights), found.calibration
    if found.photographs:
        told = f", weighed by a fit to {found.photographs} photographs of the validation part"
    elif views > 1:
        told = ", equally weighted" if np.ptp(found.weights) < 1e-12 else ", weighed as given"
    else:
        told = ""
    more = (
        f"errors calibrated on {len(known.photographs)} others" if known else f"errors not calibrated: {found.remark}"
    )
    return [f"{views} {'view' if views == 1 else 'views'}{told}; {more}"]


def purpose_of(nets: Sequence[Net], asked: Settings) -> dict:
    """What a fit is for, as plain data: the states of the networks, and everything that changes what they say."""
    weights = json.loads(asked.weights) if asked.weights[:1] == "[" else asked.weights
    networks = [{"digest": n.trained.commit.digest, **{f: getattr(n.config, f) for f in _SEEN_BY}} for n in nets]
    views = [
        [augment_data.dump(v) for v in tta.view_configs(asked.tta, n.trained.run.scheme.mirror is not None)]
        for n in nets
    ]
    return {"networks": networks, "views": views, "merge": asked.merge, "weights": weights, "refine": asked.refine}


def equal_weights(nets: Sequence[Net]) -> np.ndarray:
    """Each network counts alike, and each of its views."""
    return np.concatenate([np.full(n.views, 1 / n.views / len(nets)) for n in nets])


def given_weights(nets: Sequence[Net], asked: Settings) -> np.ndarray | None:
    """The weights that were asked for by number, or equal ones; None: they are to be fitted. Raises ValueError in one line."""
    if asked.weights == "equal":
        return equal_weights(nets)
    if asked.weights in ("auto", "fitted"):
        if asked.merge == "mean" and sum(n.views for n in nets) > 1:
            return None
        if asked.weights == "fitted":
            raise ValueError("--weights fitted: weights are fitted for the mean of two views or more")
        return equal_weights(nets)
    try:
        weights = np.array(json.loads(asked.weights), np.float64)
    except (json.JSONDecodeError, ValueError, TypeError):
        raise ValueError(
            f"--weights {asked.weights[:60]}: expected auto, equal, fitted, one number a view, or a .json list"
        ) from None
    views, points = sum(n.views for n in nets), nets[0].trained.run.scheme.num_points
    if len(nets) > 1 and weights.shape == (len(nets),):  # of each network: its views share it
        weights = np.concatenate([np.full(n.views, w / n.views) for n, w in zip(nets, weights, strict=True)])
    if weights.shape not in ((views,), (views, points)):
        raise ValueError(
            f"--weights: there are {views} views of {points} points, so expected [{views}] or [{views}][{points}] numbers,"
            f" got {'x'.join(map(str, weights.shape))}"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(0) > 0).all()):
        raise ValueError(f"--weights {asked.weights[:60]}: must be finite, 0 or more, and not all 0")
    return weights / weights.sum(0)


def _unseen(nets: Sequence[Net], half: Source) -> Subset:
    """Of a half of the first run's validation part, what the other networks were not trained on either; evenly taken."""
    seen = {n for net in nets[1:] for n in net.trained.run.parts["train"]}
    there = [i for i, name in enumerate(half.names) if name not in seen]
    evenly = np.linspace(0, len(there) - 1, min(_MOST, len(there))).astype(int)
    return Subset(half, [there[i] for i in evenly])


def _fit(nets: Sequence[Net], asked: Settings, given: np.ndarray | None, held: parts.Held) -> Fitted:
    chooses, calibrates = _unseen(nets, held.chooses), _unseen(nets, held.calibrates)
    weights, count = _fitted_weights(nets, asked, chooses) if given is None else (given, 0)
    typical = None
    if asked.refine:
        first = predict.gather(looking.merged(nets, weights, asked.merge, chooses))
        typical = looking.framing(first, nets[0].config.size)
    try:
        if not len(calibrates):
            raise ValueError("no photograph is held out for it; validate on more (--val-fraction)")
        found = predict.gather(predictions(nets, Fitted(weights, count, typical, None), asked, calibrates))
        norm = metrics.norm(found.truth, found.mask, nets[0].trained.run.scheme, found.diagonal)
        of = [held.groups[name] for name in names_at(calibrates, found.index)]
        judged = found.points, found.spread, found.truth, found.mask
        known, remark = calibrate.fit(*judged, norm, found.diagonal, of), ""
    except ValueError as error:
        known, remark = None, str(error)
    return Fitted(weights, count, typical, known, remark)


def _fitted_weights(nets: Sequence[Net], asked: Settings, part: Source) -> tuple[np.ndarray, int]:
    """(weights, photographs that they were fitted on, or 0 where these are too few and auto takes equal ones)."""
    seen = [
        (s.points[:, : s.count], *(a[: s.count] for a in (b.points, b.mask, b.diagonal * affine.scale(b.frame))))
        for s in looking.looked(nets, part)
        for b in [s.batch]
    ]
    count = sum(len(mask) for _, _, mask, _ in seen)
    if count < blend.LEAST:
        if asked.weights == "fitted":
            raise ValueError(
                f"--weights fitted: {count} photographs to fit on, {blend.LEAST} are needed; validate on more (--val-fraction)"
            )
        return equal_weights(nets), 0
    points, truth, mask, diagonal = (
        np.concatenate(arrays, axis) for arrays, axis in zip(zip(*seen, strict=True), (1, 0, 0, 0), strict=True)
    )
    norm = metrics.norm(truth, mask, nets[0].trained.run.scheme, diagonal)
    return blend.fit(points, truth, mask, norm), count


def predictions(
    nets: Sequence[Net], fit: Fitted, asked: Settings, source: Source, faults: loader.Faults | None = None
) -> Iterator[Predicted]:
    """Predictions of every decodable photograph of a source, in order, with all that was fitted."""
    for found in looking.merged(nets, fit.weights, asked.merge, source, faults):
        if fit.framing is not None:
            found = looking.closer(nets, fit.weights, asked.merge, fit.framing, source, found)
        if fit.calibration is not None:
            known = found.points, found.spread, found.diagonal
            found = found._replace(expected=calibrate.expected(fit.calibration, *known))
        yield found
