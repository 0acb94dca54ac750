"""Test-time augmentation: a set of views as a Transform with a leading axis, merged by a weighted mean or a robust one."""

import dataclasses
import json

import jax
import jax.numpy as jnp

from jaxmarks import augment, choices
from jaxmarks.augment import parsing
from jaxmarks.augment.samplers import Config, Geometry
from jaxmarks.transform import Transform

NAMES, MERGES = choices.VIEWS, choices.MERGES

_TRIMMED = 0.25  # share of the valid views that a trimmed mean leaves out: those farthest from the median

# Chosen on the validation split of real faces (docs/prediction.md): unlike one another, so that where they disagree tells
# something, and closer looks rather than wider ones.
_PLAIN = (Geometry(), Geometry(rotation=-12.0), Geometry(scale=1.2), Geometry(scale=1.12, rotation=10.0))
_UNMIRRORED = (
    *_PLAIN,
    Geometry(rotation=12.0),
    Geometry(scale=1.12, rotation=-10.0),
    Geometry(shift_x=0.03),
    Geometry(shift_x=-0.03),
)


def _mirrored(config: Geometry) -> Geometry:
    return dataclasses.replace(config, mirror=1.0)


def view_configs(views: str, mirror_known: bool) -> list[Config]:
    """Return the fixed configurations of a set of views, the plain view first in a named one.

    Args:
        views: one of NAMES, or the JSON of a list of augmenter configurations.
        mirror_known: whether the permutation of mirrored points is known; without it `standard` is eight views that do
            not mirror.

    Returns:
        a configuration each.

    Raises:
        ValueError: for a name that is not known, for views that mirror where the permutation is not known, and for a
            list that is none, or draws anything at random.
    """
    if views[:1] in ("[", "{"):
        return _listed(views, mirror_known)
    if views not in NAMES:
        raise ValueError(
            f"the set of views {views!r} is not known: choose {', '.join(NAMES)}, or a .json file of views"
        )
    if views == "none":
        return [Geometry()]
    if not mirror_known:
        if views == "flip":
            raise ValueError(
                "views 'flip' need to know how the points mirror: use standard or none, or train with a `scheme`"
            )
        return list(_UNMIRRORED)
    plain = _PLAIN if views == "standard" else _PLAIN[:1]
    return [*plain, *(_mirrored(view) for view in plain)]


def _listed(text: str, mirror_known: bool) -> list[Config]:
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"views: not JSON ({error})") from None
    if not isinstance(parts, list) or not parts:
        given = "an empty one" if parts == [] else f"one {type(parts).__name__}"
        raise ValueError(
            f'views: expected a list of augmenter configurations, the plain view "none" one of them; got {given}'
        )
    found = [parsing.parse(part, f"view {n}") for n, part in enumerate(parts)]
    for n, view in enumerate(found):
        if not augment.is_fixed(view):
            raise ValueError(f"view {n} draws at random: give single numbers, and probabilities of 0 or 1")
        if augment.mirrors(view) and not mirror_known:
            raise ValueError(f"view {n} mirrors, but how these points mirror is not known: train with a `scheme`")
    return found


def views(views: str, mirror_known: bool, size: int) -> Transform:
    """Return a set of views as one Transform.

    Args:
        views: as `view_configs` takes it.
        mirror_known: as `view_configs` takes it.
        size: side of the input in pixels.

    Returns:
        a Transform with a leading axis of views.

    Raises:
        ValueError: as `view_configs`.
    """
    return augment.fixed(view_configs(views, mirror_known), size)


def merge(points: jax.Array, weights: jax.Array, valid: jax.Array, *, how: str = "mean") -> tuple[jax.Array, jax.Array]:
    """Return the merged points of several views, and how far the views spread about them.

    What has no weight has no influence, NaN or not.

    Args:
        points: f32[views, batch, points, 2], of every view in one frame.
        weights: f32[views] or f32[views, points], 0 or more.
        valid: bool[views, batch, points], the points that count.
        how: the `mean` by weight * valid, renormalised; the `median` of each coordinate, weighted likewise; or the
            `trimmed` mean, without the quarter of the used views that lie farthest from that median.

    Returns:
        points f32[batch, points, 2], and spread f32[batch, points], the weighted root mean square distance of all used
        views from the merged point, in the unit of the points. Where no view is valid the first view is returned and
        the spread is NaN, which flags it.
    """
    weights = weights if weights.ndim == 2 else weights[:, None]
    each = jnp.where(valid, weights[:, None, :], 0.0)
    total = jnp.sum(each, 0)
    share = each / jnp.where(total > 0, total, 1)[None]
    used = share > 0
    points_used = jnp.where(used[..., None], points, 0)
    merged = _MERGE[how](points_used, share)
    squared = jnp.sum(jnp.where(used[..., None], points - merged[None], 0) ** 2, -1)
    spread = jnp.sqrt(jnp.sum(squared * share, 0))
    any_valid = total > 0
    return jnp.where(any_valid[..., None], merged, points[0]), jnp.where(any_valid, spread, jnp.nan)


def _mean(points: jax.Array, share: jax.Array) -> jax.Array:
    """Of points [views, ..., 2] by share [views, ...], which sum to 1."""
    return jnp.sum(points * share[..., None], 0)


def _median(points: jax.Array, share: jax.Array) -> jax.Array:
    """Of each coordinate: the middle of the lower and the upper weighted median, so that equal weights give NumPy's."""
    share = jnp.broadcast_to(share[..., None], points.shape)
    order = jnp.argsort(jnp.where(share > 0, points, jnp.inf), 0)
    value, below = jnp.take_along_axis(points, order, 0), jnp.cumsum(jnp.take_along_axis(share, order, 0), 0)
    half = 0.5 * below[-1:]
    slack = 1e-6 * below[-1:]  # sums of shares round
    lower, upper = (jnp.argmax(reached, 0)[None] for reached in (below >= half - slack, below > half + slack))
    return (jnp.take_along_axis(value, lower, 0) + jnp.take_along_axis(value, upper, 0))[0] / 2


def _trimmed(points: jax.Array, share: jax.Array) -> jax.Array:
    far = jnp.where(share > 0, jnp.sum((points - _median(points, share)[None]) ** 2, -1), jnp.inf)
    rank = jnp.argsort(jnp.argsort(far, 0), 0)
    count = jnp.sum(share > 0, 0)
    kept = jnp.where(rank < (count - jnp.floor(_TRIMMED * count))[None], share, 0)
    total = jnp.sum(kept, 0)
    return _mean(points, kept / jnp.where(total > 0, total, 1)[None])


_MERGE = {"mean": _mean, "median": _median, "trimmed": _trimmed}
