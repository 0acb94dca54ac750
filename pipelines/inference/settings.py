"""Settings of predictions, the weights that they give to views, and the purpose that a fit is known by."""

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import tta
from jaxmarks.augment import parsing
from pipelines.inference.ensemble import Ensemble
from pipelines.io import files

_SEEN_BY = ("model", "size", "canvas", "box_margin", "precision")  # how a network sees, beside its state


class Settings(NamedTuple):
    """Settings of predictions."""

    tta: str = "standard"  # a set of views by name, or the JSON of one
    merge: str = "mean"  # mean, median or trimmed
    view_weights: str = (
        "auto"  # equal, fitted, auto (fitted where that can be), or the JSON of [views] or [views][points]
    )
    refine: bool = False  # predict objects that fill little of the frame again, closer
    at_once: int | None = None  # images that go through a network at one time; None: as many as are fast


def from_flags(flags: argparse.Namespace) -> Settings:
    """Return the settings that `prediction_flags` ask for, before anything is opened.

    Args:
        flags: the command line.

    Returns:
        the settings.

    Raises:
        ValueError: in one line, for views or weights that are none.
    """
    named = (flags.weights[:1].isalpha() and "," not in flags.weights) or flags.weights.endswith(".json")
    weights = _text(flags.weights, "view_weights") if named else json.dumps(_numbers(flags.weights))
    found = Settings(
        _text(flags.tta, "tta"),
        flags.merge,
        weights,
        flags.refine,
        flags.at_once,
    )
    try:
        tta.view_configs(found.tta, True)
    except ValueError as error:
        raise ValueError(f"`tta` {flags.tta}: {error}") from None
    return found


def _numbers(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"`view_weights` {text[:60]}: expected auto, equal, fitted, one number a view, as 1,1,2 for three, or a .json list"
        ) from None
    if invalid := [part for part, value in zip(text.split(","), found, strict=True) if not 0 <= value < math.inf]:
        raise ValueError(f"`view_weights` {text[:60]}: {invalid[0]} is no weight; 0 or more")
    return found


def _text(value: str, field: str) -> str:
    """A value, or what stands in the .json file that it names."""
    if not value.endswith(".json"):
        return value
    try:
        return json.dumps(files.parse_json(files.read_bytes(Path(value)), f"`{field}` {value}"))
    except FileNotFoundError:
        raise ValueError(f"`{field}` {value}: does not exist") from None


def purpose(over: Ensemble, asked: Settings) -> dict:
    """Return what a fit is for: the states of the networks, and everything that changes what they predict.

    Args:
        over: the ensemble.
        asked: how predictions are made.

    Returns:
        plain data.
    """
    weights = json.loads(asked.view_weights) if asked.view_weights[:1] == "[" else asked.view_weights
    networks = [{"digest": t.commit.digest, **{f: getattr(t.run.config, f) for f in _SEEN_BY}} for t in over.runs]
    views = [[parsing.dump(v) for v in tta.view_configs(asked.tta, t.run.scheme.mirror is not None)] for t in over.runs]
    how = {"merge": asked.merge, "weights": weights, "refine": asked.refine, "spread": "weighted"}
    return {"networks": networks, "views": views, **how}


def equal_weights(over: Ensemble) -> np.ndarray:
    """Return equal weights: each member counts alike, and each of its views.

    Args:
        over: the ensemble.

    Returns:
        f64[views], of sum 1.
    """
    return _shared(over, np.full(len(over.members), 1 / len(over.members)))


def _shared(over: Ensemble, weights: np.ndarray) -> np.ndarray:
    """Weights of members as weights of views: those of a member share its."""
    return np.concatenate([np.full(m.count, w / m.count) for m, w in zip(over.members, weights, strict=True)])


def given_weights(over: Ensemble, asked: Settings) -> np.ndarray | None:
    """Return the weights that were asked for by number, or equal ones.

    Args:
        over: the ensemble.
        asked: how predictions are made.

    Returns:
        f64[views] or f64[views, points], of sum 1 over the views; None: they are to be fitted.

    Raises:
        ValueError: in one line, for weights that are none, or fitted ones where nothing can be fitted.
    """
    if asked.view_weights == "equal":
        return equal_weights(over)
    if asked.view_weights in ("auto", "fitted"):
        if asked.merge == "mean" and over.views > 1:
            return None
        if asked.view_weights == "fitted":
            raise ValueError("`view_weights` fitted: weights are fitted for the mean of two views or more")
        return equal_weights(over)
    try:
        weights = np.array(json.loads(asked.view_weights), np.float64)
    except (json.JSONDecodeError, ValueError, TypeError):
        raise ValueError(
            f"`view_weights` {asked.view_weights[:60]}: expected auto, equal, fitted, one number a view, or a .json list"
        ) from None
    views, points = over.views, over.runs[0].run.scheme.num_points
    if len(over.members) > 1 and weights.shape == (len(over.members),):
        weights = _shared(over, weights)
    if weights.shape not in ((views,), (views, points)):
        raise ValueError(
            f"`view_weights`: there are {views} views of {points} points, so expected [{views}] or [{views}][{points}] numbers,"
            f" got {'x'.join(map(str, weights.shape))}"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(0) > 0).all()):
        raise ValueError(f"`view_weights` {asked.view_weights[:60]}: must be finite, 0 or more, and not all 0")
    return weights / weights.sum(0)
