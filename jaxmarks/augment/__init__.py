"""Augmentation: sampling from a configuration, and fixed sets of views.

`preset(name)` and `sample(key, config, size)` are the public face: a configuration is data, one draw is one Transform.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import keys
from jaxmarks.augment import parsing
from jaxmarks.augment.presets import PRESETS, preset
from jaxmarks.augment.samplers import Chain, Config, Geometry, OneOf, bounds, sample
from jaxmarks.transform import Transform

__all__ = ["PRESETS", "check", "configure", "describe", "fixed", "is_fixed", "mirrors", "preset", "sample"]


def check(text: str) -> None:
    """Raise ValueError unless a text names or holds a configuration.

    Args:
        text: `auto`, a preset's name or the JSON of a configuration.

    Raises:
        ValueError: for anything else, in one line.
    """
    _read(text if text != "auto" else "light")


def _read(text: str) -> Config:
    if text[:1] not in ("{", "["):
        return preset(text)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"augmentation: not JSON ({error})") from None
    return parsing.parse(data)


def configure(name: str, mirror_known: bool) -> Config:
    """Return the configuration of a run.

    Args:
        name: a preset's name, the JSON of a configuration, or `auto`: `light`, unmirrored where no permutation is
            known.
        mirror_known: whether the permutation of mirrored points is known.

    Returns:
        what `sample` takes.

    Raises:
        ValueError: for an invalid configuration, and for one that mirrors where no permutation is known: under jit
            nothing could.
    """
    if name == "auto":
        return preset("light") if mirror_known else _unmirrored(preset("light"))
    config = _read(name)
    if mirrors(config) and not mirror_known:
        raise ValueError(
            f"augmentation {name[:60]!r} mirrors, but how these points mirror is not known: use auto or recipe"
        )
    return config


def _unmirrored(config: Config) -> Config:
    if isinstance(config, Chain | OneOf):
        return dataclasses.replace(config, parts=tuple(_unmirrored(part) for part in config.parts))
    return dataclasses.replace(config, mirror=0.0) if isinstance(config, Geometry) else config


def fixed(configs: list[Config], size: int) -> Transform:
    """Return fixed configurations as one Transform, such as views for prediction.

    Args:
        configs: one or more, of which none draws anything.
        size: side of the input in pixels.

    Returns:
        a Transform with a leading axis, a row each, all with as many covers as the one with the most.

    Raises:
        ValueError: for a configuration that draws at random.
    """
    for n, config in enumerate(configs):
        if not is_fixed(config):
            raise ValueError(f"view {n} draws at random: give single numbers and probabilities of 0 or 1: {config}")
    rows = [sample(keys.root(0), config, size) for config in configs]
    most = max(t.covers.shape[0] for t in rows)
    rows = [t._replace(covers=jnp.pad(t.covers, ((0, most - t.covers.shape[0]), (0, 0)))) for t in rows]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def describe(t: Transform, size: int) -> str:
    """Return one drawn Transform in words: what its matrices amount to, seen from the centre.

    Args:
        t: a Transform of one image.
        size: side of the frame in pixels.

    Returns:
        its parts, separated by commas; "as it is" where it changes nothing.
    """
    matrix, colour, blur, covered = (np.asarray(leaf, np.float64) for leaf in t)
    linear, middle = matrix[:, :2], np.full(2, (size - 1) / 2)
    mirrored = np.linalg.det(linear) < 0
    turned = linear @ np.diag([-1.0, 1.0]) if mirrored else linear
    angle = np.degrees(np.arctan2(turned[1, 0] - turned[0, 1], turned[0, 0] + turned[1, 1]))  # of the nearest rotation
    longest, shortest = np.linalg.svd(linear, compute_uv=False)
    shift = np.round(linear @ middle + matrix[:, 2] - middle, 1) + 0.0  # no -0
    gain, offset = colour[:, :3].sum(1), colour @ np.array([128, 128, 128, 1]) - 128  # of a grey pixel
    covers = int(np.sum(np.abs(covered[:, 0] * covered[:, 4] - covered[:, 1] * covered[:, 3]) > 0))
    parts = [
        "mirrored" if mirrored else "",
        f"turned {angle:+.1f} degrees" if abs(angle) > 0.05 else "",
        f"scaled {shortest:.3f} .. {longest:.3f}" if max(abs(longest - 1), abs(shortest - 1)) > 5e-4 else "",
        f"moved {shift[0]:+.1f}, {shift[1]:+.1f} px" if np.abs(shift).max() > 0.05 else "",
        f"contrast x {gain.mean():.2f}, grey {offset.mean():+.0f}"
        if not np.allclose(colour, np.eye(3, 4), atol=1e-3)
        else "",
        f"blurred by {np.sqrt(blur):.2f} px" if blur > 0 else "",
        f"{covers} covers" if covers else "",
    ]
    return ", ".join(part for part in parts if part) or "as it is"


def is_fixed(config: Config) -> bool:
    """Return whether `sample` gives the same Transform for every key.

    Args:
        config: an augmenter's configuration.

    Returns:
        False where a range, a probability between 0 and 1 or the kind itself draws.
    """
    if isinstance(config, Chain):
        return all(is_fixed(part) for part in config.parts)
    if isinstance(config, OneOf):
        return any(p == 1 and is_fixed(part) for part, p in zip(config.parts, config.probabilities, strict=True))
    if config.always_draws:
        return False
    fields = dataclasses.fields(config)
    values = {f.name: bounds(getattr(config, f.name)) for f in fields}
    if isinstance(config, Geometry) and values["crop"] == (1, 1):
        values = {name: v for name, v in values.items() if name not in ("crop_x", "crop_y")}
    chances = {f.name for f in fields if f.type is float}
    return all(low == high and (name not in chances or low in (0, 1)) for name, (low, high) in values.items())


def mirrors(config: Config) -> bool:
    """Return whether a configuration can ever mirror, and so needs a permutation of the points.

    Args:
        config: an augmenter's configuration.

    Returns:
        True where any part of it has a probability of mirroring above 0.
    """
    if isinstance(config, Chain | OneOf):
        return any(mirrors(part) for part in config.parts)
    return isinstance(config, Geometry) and config.mirror > 0
