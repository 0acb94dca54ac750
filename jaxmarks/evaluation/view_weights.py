"""Weights of views, of one run or several, fitted to labels: the convex combination with the least mean NME.

A mix p = sum w_v p_v with weights on the simplex has the residual sum w_v r_v, so the mean distance
is convex in w. It is minimised by reweighted least squares (Weiszfeld's iteration): each round weighs every point by the
inverse of its distance and solves a quadratic programme over the simplex, which is one of non-negative least squares.
"""

import numpy as np

LEAST = 20  # images to fit weights on; of fewer, equal weights are the better guess
_ROUNDS = 30
_NEAR = 1e-3  # of the norm: below this distance a point weighs no more
_RIDGE = 0.3  # pulls towards equal weights: few people are fitted on, and views that agree are hard to tell apart


def fit(points: np.ndarray, truth: np.ndarray, mask: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Return the weights of views under which the mean NME is least.

    Points where a view is not finite are left out, so that all weights are fitted on the same.

    Args:
        points: f[views, n, points, 2], of every view.
        truth: f[n, points, 2], in the same frame.
        mask: bool[n, points], the labelled points.
        norm: f[n], above 0, the length that each NME divides by.

    Returns:
        f64[views], 0 or more, of sum 1.

    Raises:
        ValueError: where no labelled point is finite in every view.
    """
    used = mask & np.isfinite(points).all((0, -1))
    if not used.any():
        raise ValueError("no labelled point is seen by every view: nothing to fit weights on")
    count = len(points)
    face = np.broadcast_to(np.arange(len(truth))[:, None], used.shape)[used]
    share = 1 / used.sum(1)[face] / used.any(1).sum()  # of a point in the mean NME
    residual = (points[:, used] - truth[used]) / norm[face, None]  # [views, points, 2]
    weights = np.full(count, 1 / count)
    for _ in range(_ROUNDS):
        distance = np.linalg.norm(np.tensordot(weights, residual, 1), axis=-1)
        each = share / np.maximum(distance, _NEAR)
        gram = np.einsum("vpk,p,upk->vu", residual, each, residual, optimize=True)
        usual = np.trace(gram) / count
        pull = _RIDGE * (usual - gram.mean()) + 1e-9 * usual  # by how far the views disagree
        before, weights = weights, _least(gram + pull * np.eye(count))
        if np.abs(weights - before).max() < 1e-6:
            break
    return weights


def _least(gram: np.ndarray) -> np.ndarray:
    """The w on the simplex with the least w G w, G positive definite. Of u >= 0, |A u|^2 + (1 - sum u)^2 with A'A = G is
    least at a multiple of it."""
    from scipy.optimize import nnls

    factor = np.linalg.cholesky(gram / np.trace(gram)).T
    found, _ = nnls(np.concatenate([factor, np.ones((1, len(gram)))]), np.append(np.zeros(len(gram)), 1.0))
    return found / found.sum()
