"""Augmenter configurations from and to plain data, as in augmentation files and a run's config.json.

```
"light"                                                     a preset
{"geometry": {"rotation": [-20, 20], "mirror": 0.5}}        one augmenter, its fields as in samplers.py
[..., ...]                                                  all of them, one after another
{"one_of": [..., ...], "probabilities": [0.7, 0.3]}         one of them
{"sometimes": ..., "chance": 0.2}                           it, or nothing
```
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from jaxmarks.augment.presets import preset
from jaxmarks.augment.samplers import SAMPLERS, Chain, Config, OneOf, sometimes

# The name of CutOut is cut_out; lists and one_of have forms of their own.
KINDS: dict[str, type[Config]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in SAMPLERS if kind not in (Chain, OneOf)
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def parse(data: Any, place: str = "augment") -> Config:
    """Return the configuration that plain data describes.

    Args:
        data: a preset's name, a list or an object, as the module says.
        place: where in the whole the data lies, for messages.

    Returns:
        the configuration.

    Raises:
        ValueError: in one line that names the place, for data that describes none.
    """
    if isinstance(data, str):
        return _made(place, preset, data)
    if isinstance(data, list):
        return Chain(tuple(parse(part, f"{place}[{n}]") for n, part in enumerate(data)))
    if not isinstance(data, dict):
        raise ValueError(f"{place}: expected a preset, a list or an object, got {data!r}")
    keys = set(data)
    if keys == {"one_of", "probabilities"}:
        if not (isinstance(data["one_of"], list) and isinstance(data["probabilities"], list)):
            raise ValueError(f"{place}: one_of and probabilities must be lists of equal length")
        parts = tuple(parse(part, f"{place}.one_of[{n}]") for n, part in enumerate(data["one_of"]))
        return _made(place, OneOf, parts, tuple(data["probabilities"]))
    if keys == {"sometimes", "chance"}:
        if not isinstance(data["chance"], int | float) or not 0 <= data["chance"] <= 1:
            raise ValueError(f"{place}: chance must lie in 0..1, got {data['chance']!r}")
        return sometimes(parse(data["sometimes"], f"{place}.sometimes"), data["chance"])
    if len(keys) != 1 or not keys <= set(KINDS):
        known = ", ".join([*KINDS, "one_of with probabilities", "sometimes with chance"])
        raise ValueError(f"{place}: {sorted(keys)} is not an augmenter; known: {known}")
    (name,) = keys
    return _one(KINDS[name], data[name], f"{place}.{name}")


def _one(kind: type, fields: Any, place: str) -> Config:
    known = [f.name for f in dataclasses.fields(kind)]
    if not isinstance(fields, dict) or (unknown := sorted(set(fields) - set(known))):
        unexpected = ", ".join(unknown) if isinstance(fields, dict) else repr(fields)
        raise ValueError(f"{place}: {unexpected} is not a field of it; known: {', '.join(known) or 'none'}")
    return _made(place, kind, **{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})


def _made(place: str, make: Callable[..., Config], *arguments: Any, **fields: Any) -> Config:
    """Return what `make` makes; raise its error, or that of a wrong type, with the place."""
    try:
        return make(*arguments, **fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: {error}") from None


def dump(config: Config) -> Any:
    """Return the plain data that `parse` takes back to a configuration.

    Args:
        config: the configuration.

    Returns:
        lists and objects of numbers and names.
    """
    if isinstance(config, Chain):
        return [dump(part) for part in config.parts]
    if isinstance(config, OneOf):
        return {"one_of": [dump(part) for part in config.parts], "probabilities": list(config.probabilities)}
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return {_NAMES[type(config)]: {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}}
