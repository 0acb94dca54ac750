"""Predictions of a source by an ensemble: views merged, small objects refined, errors expected; in pixels of the input."""

from collections.abc import Iterator

from jaxmarks.evaluation import calibration
from jaxmarks.inference import Predicted
from pipelines import loader
from pipelines.example import Source
from pipelines.inference import ensemble, refine
from pipelines.inference.ensemble import Batches, Ensemble
from pipelines.inference.fitted import Fitted


def of(
    over: Ensemble,
    fit: Fitted,
    merge: str,
    source: Source,
    faults: loader.Faults | None = None,
    batches: Batches | None = None,
) -> Iterator[Predicted]:
    """Yield predictions of every decodable image of a source, in order, with all that was fitted.

    Args:
        over: the ensemble.
        fit: weights of the views, framing and calibration.
        merge: as `tta.merge` has it.
        source: the data set.
        faults: where images that cannot be decoded are added; None: nowhere.
        batches: those of the source, where they are loaded already; None: they are loaded.

    Yields:
        predictions of a batch, in pixels of the first member's input, or of the crop's.
    """
    for found in ensemble.merged(over, fit.weights, merge, source, faults, batches):
        if fit.framing is not None:
            found = refine.closer(over, fit.weights, merge, fit.framing, source, found)
        if fit.calibration is not None:
            known = found.points, found.spread, found.diagonal
            found = found._replace(expected=calibration.expected(fit.calibration, *known))
        yield found
