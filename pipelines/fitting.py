"""What predictions are fitted with: weights of views and expected errors, from the run's validation part.

Weights are fitted on the half of it that chose the checkpoint, expected errors on the other (`parts.held`).
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxmarks import blend, calibrate, metrics, predict
from jaxmarks.predict import Predicted
from pipelines import fitted, loader, looking, parts, runs
from pipelines.fitted import Fitted
from pipelines.looking import Net
from pipelines.sources import Source, Subset, names_at

_MOST = 2000  # photographs of a half that are looked at: more would say no more


class Settings(NamedTuple):
    """How predictions are made."""

    tta: str = "standard"  # a set of views by name, or the JSON of one
    merge: str = "mean"  # mean, median or trimmed
    weights: str = "auto"  # equal, fitted, auto (fitted where that can be), or the JSON of [views] or [views][points]
    refine: bool = False  # look again, closer, at faces that fill little of the frame
    at_once: int = 128  # pictures that go through a network at one time


def for_nets(nets: Sequence[Net], asked: Settings, data: str | None) -> tuple[Fitted, list[str]]:
    """The fit for these networks and settings, made and kept beside the first run where it is not there yet, and what a
    person should know of it, a line each.

    data: where the first run's data lies now, else where it was. Without it weights are equal and errors not expected;
    that is refused (ValueError) where fitted weights or --refine were asked for.
    """
    given, purpose, run = given_weights(nets, asked), purpose_of(nets, asked), nets[0].trained.run
    if (known := fitted.read(run.root, purpose)) is not None:
        return known, _remarks(known)
    try:
        found = _fit(nets, asked, given, parts.held(run, runs.data_of(run, data)))
    except ValueError as error:
        if asked.weights == "fitted" or asked.refine:
            raise
        found = Fitted(equal_weights(nets) if given is None else given, 0, None, None, str(error))
        return found, _remarks(found)
    return found, [*_remarks(found), f"kept for the next time: {fitted.write(run.root, purpose, found)}"]


def _remarks(found: Fitted) -> list[str]:
    views, known = len(found.weights), found.calibration
    if found.photographs:
        told = f"weighed by a fit to {found.photographs} photographs of the validation part"
    else:
        told = "equally weighted" if np.ptp(found.weights) < 1e-12 else "weighed as given"
    more = (
        f"errors calibrated on {len(known.photographs)} others" if known else f"errors not calibrated: {found.remark}"
    )
    return [f"{views} {'view' if views == 1 else 'views'}, {told}; {more}"]


def purpose_of(nets: Sequence[Net], asked: Settings) -> dict:
    """What a fit is for, as plain data: the states of the networks, and everything that changes what they say."""
    views = json.loads(asked.tta) if asked.tta[:1] == "[" else asked.tta
    weights = json.loads(asked.weights) if asked.weights[:1] == "[" else asked.weights
    networks = [
        {"digest": n.trained.commit.digest, "step": n.trained.commit.step, "size": n.config.size, "views": n.views}
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
            f"--weights {asked.weights[:60]}: expected auto, equal, fitted, numbers such as 1,1,2, or a .json list"
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
        raise ValueError("--weights must be finite, 0 or more, and not all 0")
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
        found = predict.gather(predictions(nets, Fitted(weights, count, typical, None), asked, calibrates))
        norm = metrics.norm(found.truth, found.mask, nets[0].trained.run.scheme)
        of = [held.groups[name] for name in names_at(calibrates, found.index)]
        known, remark = calibrate.fit(found.points, found.spread, found.truth, found.mask, norm, of), ""
    except ValueError as error:
        known, remark = None, str(error)
    return Fitted(weights, count, typical, known, remark)


def _fitted_weights(nets: Sequence[Net], asked: Settings, part: Source) -> tuple[np.ndarray, int]:
    """(weights, photographs that they were fitted on, or 0 where these are too few and auto takes equal ones)."""
    seen = list(looking.looked(nets, part))
    count = sum(s.count for s in seen)
    if count < blend.LEAST:
        if asked.weights == "fitted":
            raise ValueError(f"--weights fitted: {count} photographs to fit on, {blend.LEAST} are needed")
        return equal_weights(nets), 0
    points = np.concatenate([s.points[:, : s.count] for s in seen], 1).astype(np.float64)
    truth, mask = (np.concatenate([getattr(s.batch, name)[: s.count] for s in seen]) for name in ("points", "mask"))
    return blend.fit(points, truth, mask, metrics.norm(truth, mask, nets[0].trained.run.scheme)), count


def predictions(
    nets: Sequence[Net], fit: Fitted, asked: Settings, source: Source, faults: loader.Faults | None = None
) -> Iterator[Predicted]:
    """Predictions of every decodable photograph of a source, in order, with all that was fitted."""
    for found in looking.merged(nets, fit.weights, asked.merge, source, faults):
        if fit.framing is not None:
            found = looking.closer(nets, fit.weights, asked.merge, fit.framing, source, found)
        if fit.calibration is not None:
            found = found._replace(expected=calibrate.expected(fit.calibration, found.points, found.spread))
        yield found
