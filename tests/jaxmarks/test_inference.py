"""The one path from batches to predictions: chunks of views, members of several frames, and the way back to the images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import affine, inference, transform
from jaxmarks.training import sharding
from jaxmarks.types import Batch

POINTS = 5


def batch_of(frame: np.ndarray, truth: np.ndarray) -> Batch:
    """A batch of images that lie in the input by `frame`, labelled `truth` in pixels of the images."""
    count, empty = len(truth), np.zeros(len(truth))
    return Batch(
        image=empty, points=affine.apply(frame, truth).astype(np.float32), mask=np.ones((count, POINTS), bool),
        frame=frame, index=np.arange(count), draw=empty, fit=empty, extent=empty, diagonal=np.full(count, 100.0),
    )  # fmt: skip


def member_of(truth: np.ndarray, frame: np.ndarray, off: list[float], calls: list[int]) -> inference.Member:
    """A member whose view n is off by off[n] image pixels in x."""
    views = jax.vmap(lambda x: transform.from_affine(jnp.array([[1.0, 0, 0], [0, 1, 0]]).at[0, 2].set(x)))(
        jnp.array(off)
    )

    def network(folded, batch, some):
        calls.append(len(some.affine))
        moved = truth + np.asarray(some.affine)[:, 0, 2][:, None, None, None] * [1.0, 0]
        return jnp.asarray(affine.apply(frame, moved), jnp.float32)

    return inference.Member(network, None, views, sharding.mesh(jax.devices()[:1]))


def frames(random, count: int) -> np.ndarray:
    scale, shift = random.uniform(0.3, 2, count), random.uniform(-20, 20, (count, 2))
    return np.stack([[[s, 0, x], [0, s, y]] for s, (x, y) in zip(scale, shift, strict=True)])


@pytest.mark.parametrize(("at_once", "calls"), [(None, [3, 2]), (2, [2, 2, 2]), (1, [1] * 5)])
def test_members_meet_in_the_first_ones_frame_whatever_the_chunks(random, at_once, calls):
    truth = random.uniform(0, 100, (4, POINTS, 2))
    first, second, made = frames(random, 4), frames(random, 4), []
    over = [member_of(truth, first, [0, 1, 2], made), member_of(truth, second, [5, 8], made)]
    batches = [[(batch_of(first, truth), 3), (batch_of(second, truth), 3)]]
    (seen,) = inference.view_points(over, batches, at_once=at_once)
    assert made == calls and seen.points.shape == (5, 4, POINTS, 2)
    weights = np.array([0.5, 0.1, 0.1, 0.2, 0.1])
    found = inference.to_images(next(inference.merged([seen], weights)))
    off = np.array([0, 1, 2, 5, 8])
    mean = (weights * off).sum()
    assert found.index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.points, truth[:3] + [mean, 0], atol=1e-3)
    np.testing.assert_allclose(found.spread, np.sqrt((weights * (off - mean) ** 2).sum()), rtol=1e-3)
    np.testing.assert_allclose(found.truth, truth[:3], atol=1e-4)
    np.testing.assert_allclose(found.diagonal, 100)


def test_lengths_are_mapped_by_the_root_of_the_area_factor(random):
    frame = np.array([[[2.0, 0, 3], [0, 0.5, 1]]])
    points, one = random.uniform(0, 50, (1, POINTS, 2)), np.ones((1, POINTS))
    placed = affine.apply(frame, points)
    inside = inference.Predicted(np.zeros(1), placed, one, placed, one > 0, frame, 3 * one, np.ones(1))
    found = inference.to_images(inside._replace(frame=frame * 2))
    np.testing.assert_allclose(found.spread, 0.5)
    np.testing.assert_allclose(found.expected, 1.5)
    np.testing.assert_allclose(inference.to_images(inside).points, points)


def test_nothing_to_gather_is_told():
    with pytest.raises(ValueError, match="none could be decoded"):
        inference.gather([])
