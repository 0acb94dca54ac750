"""Augmentation by name, and what a configuration says before anything is drawn.

`sample(key, config, size)` draws one Transform; a list of fixed configurations is a set of views. `recipe` is the 2020
entry's table exactly; `contest` follows what its author saw in two thousand photographs.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxmarks import keys
from jaxmarks.samplers import (
    Bars,
    Blur,
    Caption,
    Chain,
    Colour,
    Config,
    CutOut,
    Geometry,
    Identity,
    OneOf,
    bounds,
    sample,
    sometimes,
)
from jaxmarks.transform import Transform

# Effective variances of OpenCV's truncated kernels of 1, 3 and 5 taps with sigma = kernel // 2.
_KERNEL_VARIANCES = (0.0, 0.5480, 1.6635)


def _equally(*parts: Config) -> OneOf:
    return OneOf(parts, (1 / len(parts),) * len(parts))


_RECIPE = _equally(
    Geometry(rotation=(-45, 45), scale=(0.9, 1.1), shift_x=(-0.1, 0.1), shift_y=(-0.1, 0.1)),
    Geometry(crop=(0.8, 1.0)),
    Colour(brightness=(-0.3, 0.3), contrast=(0.7, 1.3)),
    _equally(*(Blur(variance) for variance in _KERNEL_VARIANCES)),
    Identity(),
)

_LIGHT = Chain(
    (
        Geometry(rotation=(-15, 15), scale=(0.9, 1.1), shift_x=(-0.05, 0.05), shift_y=(-0.05, 0.05), mirror=0.5),
        Colour(brightness=(-0.1, 0.1), contrast=(0.8, 1.2)),
    )
)

_CONTEST = Chain(
    (
        Geometry(
            rotation=(-30, 30),
            scale=(0.8, 1.2),
            stretch=(0.85, 1.18),
            shift_x=(-0.08, 0.08),
            shift_y=(-0.08, 0.08),
            side_view=(0, 25),
            mirror=0.5,
        ),
        sometimes(
            Colour(brightness=(-0.25, 0.25), contrast=(0.6, 1.4), saturation=(0.5, 1.3), grey=0.2, tint=(-0.1, 0.1)),
            0.6,
        ),
        sometimes(Blur((0.0, 1.7)), 0.2),
        sometimes(Bars(chance=0.5, depth=(0.02, 0.12)), 0.12),
        sometimes(Caption(), 0.06),
    )
)

_STRONG = Chain(
    (
        Geometry(
            rotation=(-45, 45),
            scale=(0.7, 1.3),
            stretch=(0.75, 1.33),
            shear=(-0.15, 0.15),
            shift_x=(-0.12, 0.12),
            shift_y=(-0.12, 0.12),
            side_view=(0, 40),
            mirror=0.5,
        ),
        Colour(brightness=(-0.3, 0.3), contrast=(0.5, 1.5), saturation=(0, 1.5), grey=0.2, tint=(-0.2, 0.2)),
        sometimes(Blur((0.0, 4.0)), 0.3),
        sometimes(Bars(chance=0.5, depth=(0.02, 0.2)), 0.2),
        sometimes(Caption(), 0.15),
        sometimes(CutOut(), 0.3),
    )
)

PRESETS: dict[str, Config] = {
    "none": Identity(),
    "recipe": _RECIPE,
    "light": _LIGHT,
    "contest": _CONTEST,
    "strong": _STRONG,
}


def preset(name: str) -> Config:
    """The configuration of this name. Raises ValueError naming the known ones."""
    if name not in PRESETS:
        raise ValueError(f"augmentation {name!r} is not known: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def configure(name: str, mirror_known: bool) -> Config:
    """The configuration of a run. `auto` is `light`, without mirroring where the points' permutation is not known.

    Raises ValueError where a preset mirrors and no permutation is known: under jit nothing could.
    """
    if name == "auto":
        return preset("light") if mirror_known else _unmirrored(preset("light"))
    config = preset(name)
    if mirrors(config) and not mirror_known:
        raise ValueError(
            f"augmentation {name!r} mirrors, but how these points mirror is not known: use auto or recipe"
        )
    return config


def _unmirrored(config: Config) -> Config:
    if isinstance(config, Chain | OneOf):
        return dataclasses.replace(config, parts=tuple(_unmirrored(part) for part in config.parts))
    return dataclasses.replace(config, mirror=0.0) if isinstance(config, Geometry) else config


def fixed(configs: list[Config], size: int) -> Transform:
    """The Transform with a leading axis whose rows are fixed configurations (views for prediction).

    Raises ValueError where a configuration still draws something.
    """
    for n, config in enumerate(configs):
        if not is_fixed(config):
            raise ValueError(f"view {n} draws at random: give single numbers and probabilities of 0 or 1: {config}")
    rows = [sample(keys.root(0), config, size) for config in configs]
    most = max(t.covers.shape[0] for t in rows)
    rows = [t._replace(covers=jnp.pad(t.covers, ((0, most - t.covers.shape[0]), (0, 0)))) for t in rows]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def is_fixed(config: Config) -> bool:
    """Whether `sample` gives the same Transform for every key."""
    if isinstance(config, Chain):
        return all(is_fixed(part) for part in config.parts)
    if isinstance(config, OneOf):
        return any(p == 1 and is_fixed(part) for part, p in zip(config.parts, config.probabilities, strict=True))
    if isinstance(config, Caption | CutOut):
        return False
    values = {f.name: bounds(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Geometry) and values["crop"] == (1, 1):
        values = {name: v for name, v in values.items() if name not in ("crop_x", "crop_y")}
    chances = {"mirror", "grey", "chance"}
    return all(low == high and (name not in chances or low in (0, 1)) for name, (low, high) in values.items())


def mirrors(config: Config) -> bool:
    """Whether the configuration can ever mirror, and so needs a permutation of the points."""
    if isinstance(config, Chain | OneOf):
        return any(mirrors(part) for part in config.parts)
    return isinstance(config, Geometry) and config.mirror > 0
