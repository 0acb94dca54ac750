"""Rendering: canvases and transforms to the images that a network sees, the same for training, replay and prediction."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxmarks import affine, augment, keys, transform
from jaxmarks.augment import samplers
from jaxmarks.evaluation import metrics
from jaxmarks.landmarks import Scheme
from jaxmarks.training import sharding
from jaxmarks.transform import Transform
from jaxmarks.types import Batch


class Rendered(NamedTuple):
    """A batch as the network sees it, with its labels moved along."""

    images: jax.Array  # f32[batch, size, size, 3]  RGB in 0..255
    points: jax.Array  # f32[batch, points, 2]  in input pixels
    mask: jax.Array  # bool[batch, points]  labelled points: where an image is mirrored, they changed names
    norm: jax.Array  # f32[batch]  what NME divides by, in input pixels


def augmentation(key: jax.Array, config: samplers.Config, size: int, draw: jax.Array) -> Transform:
    """Return the augmentation of one draw, from the size x size input frame to itself.

    Args:
        key: the run's root key.
        config: an augmenter's configuration.
        size: side of the input in pixels.
        draw: i32[2], (epoch, position).

    Returns:
        a Transform of one image.
    """
    return augment.sample(keys.at(keys.named(key, "augment"), draw), config, size)


def under_views(batch: Batch, views: Transform, size: int, over: Mesh) -> jax.Array:
    """Return each image of a batch under each view, example by example.

    Args:
        batch: split over the mesh.
        views: a Transform with a leading axis, from the size x size input frame to itself.
        size: side of the input in pixels.
        over: the mesh.

    Returns:
        f32[batch * views, size, size, 3], RGB in 0..255.
    """

    def on_device(some: Batch):
        each = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(some.fit), *leaf.shape)), views)
        return _images(some, each, size)

    return sharding.over_batches(on_device, over)(batch)


def _images(batch: Batch, views: Transform, size: int) -> jax.Array:
    """f32[batch * views, size, size, 3]; views: of each example its own, [batch, views]. Each is composed with the canvas's
    `fit`, so that an image is interpolated once."""
    placed = jax.vmap(transform.from_affine)(batch.fit)
    whole = jax.vmap(jax.vmap(transform.compose, (None, 0)))(placed, views)
    which = jnp.repeat(jnp.arange(len(batch.fit)), views.affine.shape[1])
    return transform.apply_images(jax.tree.map(jnp.concatenate, whole), batch.image, which, size, batch.extent)


def make_render(
    key: jax.Array, config: samplers.Config, scheme: Scheme, size: int, over: Mesh | None
) -> Callable[[Batch], Rendered]:
    """Return the rendering of batches as a training step sees them, augmented.

    A function of the root key and of each example's (epoch, position) alone, whatever the batch or the devices.

    Args:
        key: the run's root key.
        config: an augmenter's configuration.
        scheme: of the points.
        size: side of the input in pixels.
        over: the mesh that batches are split over; None: batches are on one device.

    Returns:
        render(batch), not jitted.
    """

    def one(points, draw):
        t = augmentation(key, config, size, draw)
        return t, transform.apply_points(t, points, scheme.mirror), affine.determinant(t.affine)

    def on_device(batch: Batch):
        t, points, area = jax.vmap(one)(batch.points, batch.draw)
        return _images(batch, jax.tree.map(lambda leaf: leaf[:, None], t), size), points, area

    def render(batch: Batch) -> Rendered:
        shown, points, area = sharding.over_batches(on_device, over)(batch)
        mask = batch.mask
        if scheme.mirror is not None:
            mask = jnp.where((area < 0)[:, None], mask[:, jnp.asarray(scheme.mirror)], mask)
        return Rendered(shown, points, mask, _norm(batch, points, mask, area, scheme))

    return render


def _norm(batch: Batch, points: jax.Array, mask: jax.Array, area: jax.Array, scheme: Scheme) -> jax.Array:
    """f32[batch]; area: the augmentations' area factors. What stands in for the norm is told from the labels as they are:
    a turned line has a box, and a validation would measure by another length."""
    whole = batch.diagonal * affine.scale(jnp.asarray(batch.frame, jnp.float32))
    instead = metrics.fallback(batch.points, batch.mask, scheme, whole)
    return metrics.norm(points, mask, scheme, whole * jnp.sqrt(jnp.abs(area)), instead)
