"""Training and validation parts by groups, from the root key; what is written down decides from then on."""

import hashlib
import re
from collections.abc import Sequence

import jax
import numpy as np

from jaxmarks import keys


def groups(names: Sequence[str], pattern: str) -> list[str]:
    """The group of each file name: what the regular expression's first group (or all of it) finds; else the name.

    Raises ValueError where the expression is not one, or finds nothing in a name.
    """
    if not pattern:
        return list(names)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--split-by {pattern!r} is not a regular expression: {error}") from None
    found = []
    for name in names:
        match = expression.search(name)
        group = match and match.group(1 if expression.groups else 0)
        if group is None:
            raise ValueError(f"--split-by {pattern!r} finds nothing in the file name {name!r}")
        found.append(group)
    return found


def split(names: Sequence[str], pattern: str, fraction: float, root: jax.Array) -> dict[str, list[str]]:
    """{"train": names, "val": names}: groups ranked by sha256 of (split key, group), the smallest validating.

    Whole groups are taken until `fraction` of the photographs is reached, never the last group.
    """
    key = np.asarray(jax.random.key_data(keys.named(root, "split"))).astype("<u4").tobytes()
    of = groups(names, pattern)
    ranked = sorted(set(of), key=lambda group: hashlib.sha256(key + group.encode()).digest())
    sizes = {group: 0 for group in ranked}
    for group in of:
        sizes[group] += 1
    held, count = set(), 0
    for group in ranked[:-1]:
        if count >= fraction * len(names):
            break
        held.add(group)
        count += sizes[group]
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for name, group in zip(names, of, strict=True):
        parts["val" if group in held else "train"].append(name)
    return parts


def digest(parts: dict[str, list[str]]) -> str:
    """sha256 of the parts' names in order."""
    text = "\n".join(f"{part}\t{name}" for part in ("train", "val") for name in parts[part])
    return hashlib.sha256(text.encode()).hexdigest()
