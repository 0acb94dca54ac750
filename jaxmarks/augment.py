"""Augmentation: what a run's configuration means, and sets of fixed ones.

`preset(name)` and `sample(key, config, size)` are the public face: a configuration is data, one draw is one Transform.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp

from jaxmarks import augment_data, keys
from jaxmarks.presets import PRESETS, preset
from jaxmarks.samplers import Caption, Chain, Config, CutOut, Geometry, OneOf, bounds, sample
from jaxmarks.transform import Transform

__all__ = ["PRESETS", "check", "configure", "fixed", "is_fixed", "mirrors", "preset", "sample"]


def check(text: str) -> None:
    """Raises ValueError unless `text` is `auto`, a preset or the JSON of a configuration."""
    _read(text if text != "auto" else "light")


def _read(text: str) -> Config:
    if text[:1] not in ("{", "["):
        return preset(text)
    try:
        return augment_data.parse(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"augmentation: not JSON ({error})") from None


def configure(name: str, mirror_known: bool) -> Config:
    """The configuration of a run: a preset or JSON. `auto` is `light`, unmirrored where no permutation is known.

    Raises ValueError where a preset mirrors and no permutation is known: under jit nothing could.
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
