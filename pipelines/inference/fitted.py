"""Fitted weights and calibration, stored with the run for one set of networks and views.

runs/NAME/fitted/DIGEST.json: the digest is of what it was fitted for, which stands in it in clear; for anything else it
is not found, and so never used.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmarks.evaluation import calibration
from jaxmarks.evaluation.calibration import Calibration
from pipelines.io import files

_log = logging.getLogger("jaxmarks")


class Fitted(NamedTuple):
    """Weights of views, and what errors to expect under them."""

    weights: np.ndarray  # f64[views] or f64[views, points], of sum 1 over views
    images: int  # that the weights were fitted on; 0: they were given, or are equal
    framing: (
        np.ndarray | None
    )  # f64[3]: centre x, y and longer side of a label's box in the input, over the side; median
    calibration: Calibration | None  # None: it could not be fitted, see `remark`
    remark: str = ""  # why there is no calibration
    crossed: bool = False  # on all that is held out, each part of it judged by a fit to the others


def path(root: Path, purpose: dict[str, Any]) -> Path:
    """Return where the fit for a purpose lies.

    Args:
        root: the run folder.
        purpose: networks, views and merging as plain data, of `settings.purpose`.

    Returns:
        the file, which need not exist.
    """
    digest = hashlib.sha256(json.dumps(purpose, sort_keys=True).encode()).hexdigest()
    return root / "fitted" / f"{digest[:16]}.json"


def read(root: Path, purpose: dict[str, Any]) -> Fitted | None:
    """Return the fit for this very purpose.

    Args:
        root: the run folder.
        purpose: of `settings.purpose`.

    Returns:
        None where there is none, or where it is damaged, which is logged: it is made again.
    """
    where = path(root, purpose)
    if not where.is_file():
        return None
    try:
        data = files.read_sealed(where)
        if data["purpose"] != json.loads(json.dumps(purpose)):
            raise ValueError(f"{where}: it is of another purpose than its name says")
    except ValueError as error:
        _log.warning("%s; fitted again", error)
        return None
    known, framing = data["calibration"], data["framing"]
    return Fitted(
        np.array(data["weights"]),
        data["photographs"],
        None if framing is None else np.array(framing),
        None if known is None else calibration.from_data(known),
        data["remark"],
        data.get("crossed", False),
    )


def write(root: Path, purpose: dict[str, Any], found: Fitted) -> Path:
    """Keep a fit beside the run.

    Args:
        root: the run folder.
        purpose: of `settings.purpose`.
        found: the fit.

    Returns:
        where it lies.

    Raises:
        OSError: where it cannot be written.
    """
    where = path(root, purpose)
    files.write_sealed(where, {"purpose": purpose, **to_data(found)})
    return where


def to_data(found: Fitted) -> dict[str, Any]:
    """Return a fit as plain data.

    Args:
        found: the fit.

    Returns:
        its fields, arrays as lists.
    """
    return {
        "weights": found.weights.tolist(),
        "photographs": found.images,
        "framing": None if found.framing is None else found.framing.tolist(),
        "calibration": None if found.calibration is None else calibration.to_data(found.calibration),
        "remark": found.remark,
        "crossed": found.crossed,
    }
