"""Test-time augmentation: a set of views is a Transform with a leading axis, and merging is a weighted mean."""

import jax
import jax.numpy as jnp

from jaxmarks import augment
from jaxmarks.samplers import Config, Geometry
from jaxmarks.transform import Transform

NAMES = ("none", "flip", "standard")

# Chosen on the validation part of real faces: small turns and a closer look help, a wider one does not.
_PLAIN = (Geometry(), Geometry(rotation=5.0), Geometry(rotation=-5.0), Geometry(scale=1.08))
_UNMIRRORED = (
    *_PLAIN,
    Geometry(scale=1.04),
    Geometry(scale=1.12),
    Geometry(rotation=5.0, scale=1.08),
    Geometry(rotation=-5.0, scale=1.08),
)


def _mirrored(config: Geometry) -> Geometry:
    return Geometry(rotation=config.rotation, scale=config.scale, mirror=1.0)


def view_configs(name: str, mirror_known: bool) -> list[Config]:
    """The fixed configurations of a set of views, the plain view first.

    Raises ValueError for a name that is not known, or `flip` where the permutation of the points is not known
    (`standard` then uses eight views without mirroring).
    """
    if name not in NAMES:
        raise ValueError(f"the set of views {name!r} is not known: choose one of {', '.join(NAMES)}")
    if name == "none":
        return [Geometry()]
    if not mirror_known:
        if name == "flip":
            raise ValueError(
                "views 'flip' need to know how the points mirror: use standard or none, or train with a --scheme"
            )
        return list(_UNMIRRORED)
    plain = _PLAIN if name == "standard" else _PLAIN[:1]
    return [*plain, *(_mirrored(view) for view in plain)]


def views(name: str, mirror_known: bool, size: int) -> Transform:
    """The set of views `name` as a Transform with a leading axis."""
    return augment.fixed(view_configs(name, mirror_known), size)


def merge(points: jax.Array, weights: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """f32[views, batch, points, 2] -> (points f32[batch, points, 2], spread f32[batch, points]).

    weights [views] or [views, points], 0 or more; valid bool[views, batch, points]. The mean is by weight * valid,
    renormalised; what has no weight has no influence, NaN or not. Spread is the weighted root mean square distance
    from the merged point, in the unit of the points. Where no view is valid the first, plain view is returned and the
    spread is NaN, which flags it.
    """
    weights = weights if weights.ndim == 2 else weights[:, None]
    each = jnp.where(valid, weights[:, None, :], 0.0)
    total = jnp.sum(each, 0)
    share = each / jnp.where(total > 0, total, 1)
    used = (share > 0)[..., None]
    merged = jnp.sum(jnp.where(used, points, 0) * share[..., None], 0)
    squared = jnp.sum(jnp.where(used, points - merged, 0) ** 2, -1)
    spread = jnp.sqrt(jnp.sum(squared * share, 0))
    any_valid = total > 0
    return jnp.where(any_valid[..., None], merged, points[0]), jnp.where(any_valid, spread, jnp.nan)
