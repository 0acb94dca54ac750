"""Scores of possible label errors, and their reasons in words.

The score is a sum of four robust z-scores: how far a value lies above the median of its kind, over 1.4826 times the
median absolute deviation, which is the standard deviation where values are normal. Medians because the wrong labels
that are looked for would bend a mean and swell a deviation, and so hide one another; a median stays where it is until
half of the labels are wrong. The first counts from 0 up, the others by what they have above 3: right labels have less.

Found among the first 30 of faces68, of 30 labels made wrong (docs/review.md): 27; by the distance alone 26. Had it been
the mean over points, against one deviation for all: 16 of 22, in place of 20, of the first two folds.

- `error`: the logarithm of the distance between label and prediction (the median over points), its median and deviation
  both those of the 101 images whose views disagree as much, predicted by the same runs. A hard image is
  predicted badly, and more or less so, but its views say so.
- `twins`: the logarithm of how much its distance from the prediction is unlike that of its near-duplicates, taken point
  by point. What a network does wrong it does wrong in both. Of two the farther from its prediction is to blame.
- `outlier`: how far its shape lies from others (`pipelines.shapes.outliers`), by no image and no network.
- `trimmed`: the share of the times it was seen that training left it out as one of the worst, with two times added
  that it was not, so that once of one says little.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmarks.evaluation import metrics
from pipelines.label_review.predictions import Known
from pipelines.shapes import outliers

_WINDOW = 101  # images of about the same spread that say what is usual
_FEW = 50  # predicted by the same runs: sets of fewer are compared with one another
_TWINS = 50  # near-duplicates that each is compared with, at most
_COUNTED = 3.0  # the z-score above which shape, near-duplicates and trimming count
_REASON = 2.0  # the z-score from which a part is among the reasons
_BETTER = 0.5  # of the distance: what renumbering or shifting must leave of it, to be a reason
_FAR = 0.05  # of the face: a shift that is a reason


class Parts(NamedTuple):
    """Of each label, f64[n]: lengths in shares of the face, the longer side of the predicted points' box (of the image's
    diagonal where that side is zero, as that of a single point); z-scores."""

    far: np.ndarray  # mean distance between label and prediction
    swapped: np.ndarray  # the same, left and right of the label exchanged; NaN where the permutation is not known
    moved: np.ndarray  # the same, the label moved onto the prediction
    shift: np.ndarray  # f64[n, 2]  from the prediction to the label, in the mean
    twin: np.ndarray  # i64[n]  the near-duplicate it is least like in this, or -1
    error: np.ndarray
    twins: np.ndarray
    outlier: np.ndarray
    trimmed: np.ndarray
    single: np.ndarray  # bool[n]  lengths are shares of the image's diagonal


def parts(known: Known, mirror: np.ndarray | None, groups: Sequence[str] | None) -> Parts:
    """What the score is made of. groups: of each row of `known`, what near-duplicates have in common; empty: none."""
    longer = np.ptp(known.points, axis=1).max(1).astype(np.float64)
    single = longer <= metrics.ZERO * known.diagonal
    side = np.where(single, known.diagonal, longer)
    gaps = np.where(known.mask[..., None], known.labels - known.points, 0) / side[:, None, None].astype(np.float32)
    count = known.mask.sum(1)
    shift = gaps.sum(1) / count[:, None]
    far = _mean(gaps, known.mask)
    swapped = np.full(len(far), np.nan)
    if mirror is not None:
        seen = known.mask[:, mirror]
        swapped = _mean((known.labels[:, mirror] - known.points) / side[:, None, None], seen)
    typical = np.nanmedian(np.where(known.mask, np.linalg.norm(gaps, axis=-1), np.nan), 1)
    error = _unusual(np.log(typical + 1e-6), np.log(known.spread / side + 1e-6), known.asked)
    twins, twin = _twins(gaps, known.mask, far, groups)
    share = known.trimmed / (known.seen + 2)
    z = [error, twins, outliers.scores(known.labels, known.mask), (share - np.median(share)) / _deviation(share, 0.1)]
    moved = _mean(gaps - shift[:, None], known.mask)
    return Parts(far, swapped, moved, shift, twin, *(np.maximum(v, 0) for v in z), single=single)


def _mean(gaps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean length of gaps [n, points, 2] where the mask is true; NaN where it nowhere is."""
    count = mask.sum(1)
    total = np.where(mask, np.linalg.norm(gaps, axis=-1), 0).sum(1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _deviation(values: np.ndarray, least: float) -> float:
    """The robust standard deviation, with a little added: where most values are the same it would be 0."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + least


def _unusual(values: np.ndarray, given: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """By how many robust standard deviations values lie above their median, both of the _WINDOW values that are nearest
    in `given`, in each set of runs."""
    from scipy.ndimage import median_filter

    numbers, which, counts = np.unique(asked, return_inverse=True, return_counts=True)
    which = np.where(counts[which] < _FEW, len(numbers), which)  # too few: together
    result = np.zeros(len(values))
    for number in np.unique(which):
        rows = np.flatnonzero(which == number)
        order = rows[np.argsort(given[rows], kind="stable")]
        window = min(_WINDOW, len(order) - 1) | 1
        above = values[order] - median_filter(values[order], window, mode="reflect")
        result[order] = above / (1.4826 * median_filter(np.abs(above), window, mode="reflect") + 0.05)
    return result


def _twins(
    gaps: np.ndarray, mask: np.ndarray, far: np.ndarray, groups: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """(z-scores, the near-duplicate that each is least like, or -1)."""
    unlike, twin = np.full(len(far), np.nan), np.full(len(far), -1)
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups or ()):
        if group:
            members.setdefault(group, []).append(i)
    for rows in (np.array(m) for m in members.values() if len(m) > 1):
        for at, i in enumerate(rows):
            others = np.delete(rows, at)
            others = others[np.unique(np.linspace(0, len(others) - 1, min(_TWINS, len(others))).astype(int))]
            apart = _mean(gaps[others] - gaps[i], mask[others] & mask[i])
            if np.isfinite(apart).any():
                unlike[i] = np.nanmedian(apart)
                twin[i] = others[np.nanargmax(apart)] if far[i] > np.median(far[others]) else -1
    known = np.isfinite(unlike)
    if not known.any():
        return np.zeros(len(far)), np.full(len(far), -1)
    values = np.log(unlike[known] + 1e-6)
    result = np.zeros(len(far))
    result[known] = (values - np.median(values)) / _deviation(values, 0.05)
    return np.where(twin >= 0, result, 0), twin


def score(p: Parts) -> np.ndarray:
    """f64[n]: the higher, the likelier a label error."""
    return p.error + sum(np.maximum(z - _COUNTED, 0) for z in (p.twins, p.outlier, p.trimmed))


def similar(p: Parts, i: int) -> int:
    """The row of the similar image that the label in row i is said to be unlike; -1 where it is not."""
    return int(p.twin[i]) if p.twins[i] >= _REASON else -1


def reasons(known: Known, p: Parts, names: Sequence[str]) -> list[str]:
    """The reasons for each label's score, in words; names: of each row of `known`."""
    return [_reason(known, p, i, names) for i in range(len(p.far))]


def _reason(known: Known, p: Parts, i: int, names: Sequence[str]) -> str:
    said = [(p.error[i], _distance(p, i))]
    if p.twin[i] >= 0:
        said.append((p.twins[i], f"unlike the similar image {names[p.twin[i]]}"))
    said.append((p.outlier[i], f"shape outlier ({p.outlier[i]:.1f} deviations)"))
    said.append((p.trimmed[i], f"trimmed {known.trimmed[i]} of {known.seen[i]} times"))
    found = [words for z, words in sorted(said, key=lambda pair: -pair[0]) if z >= _REASON]
    if not found:
        found = [f"as usual for such an image: {_lies(p, i)}"]
    if not known.fresh[i]:
        found.append("predicted by a run that had trained on it")
    return "; ".join(found)


def _distance(p: Parts, i: int) -> str:
    """How the label lies to the prediction."""
    lies = _lies(p, i)
    if p.swapped[i] < _BETTER * p.far[i]:
        return f"left and right exchanged: {lies}, and {_percent(p.swapped[i])} once they are exchanged back"
    if p.moved[i] < _BETTER * p.far[i] and (length := float(np.hypot(*p.shift[i]))) > _FAR:
        return f"shifted by {_percent(length)} of the {_unit(p, i)} {_direction(*p.shift[i])}"
    return lies


def _lies(p: Parts, i: int) -> str:
    return f"label lies {_percent(p.far[i])} of the {_unit(p, i)} from the prediction"


def _unit(p: Parts, i: int) -> str:
    """What lengths are shares of."""
    return "image's diagonal" if p.single[i] else "object"


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.095 else 1}f} %"


def _direction(x: float, y: float) -> str:
    """Where a shift leads, y down: one of eight."""
    across, along = ("to the right" if x > 0 else "to the left"), ("down" if y > 0 else "up")
    if abs(x) > 2.4 * abs(y):
        return across
    return along if abs(y) > 2.4 * abs(x) else f"{along} and {across}"
