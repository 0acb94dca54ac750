"""Training and validation parts by groups, from the root key; what is written down decides from then on."""

import hashlib
import re
from collections.abc import Sequence

import jax
import numpy as np

from jaxmarks import keys


def groups(names: Sequence[str], pattern: str, flag: str = "--split-by") -> list[str]:
    """The group of each file name: what the regular expression's first group (or all of it) finds; else the name.

    Raises ValueError, naming the flag it came by, where the expression is not one, or finds nothing in a name.
    """
    if not pattern:
        return list(names)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{flag} {pattern!r} is not a regular expression: {error}") from None
    found = []
    for name in names:
        match = expression.search(name)
        group = match and match.group(1 if expression.groups else 0)
        if group is None:
            raise ValueError(f"{flag} {pattern!r} finds nothing in the file name {name!r}")
        found.append(group)
    return found


def joined(of: Sequence[str], twins: Sequence[str]) -> list[str]:
    """Groups that share near-duplicates made one, under the smallest of their names. twins: what near-duplicates have
    in common, empty for a photograph that has none."""
    parent: dict[str, str] = {}

    def top(group: str) -> str:
        while (above := parent.get(group, group)) != group:
            parent[group] = group = parent.get(above, above)
        return group

    first: dict[str, str] = {}
    for group, twin in zip(of, twins, strict=True):
        if twin:
            low, high = sorted((top(group), top(first.setdefault(twin, group))))
            parent[high] = low
    return [top(group) for group in of]


def split(
    names: Sequence[str],
    pattern: str,
    fraction: float,
    root: jax.Array,
    twins: Sequence[str] | None = None,
    *,
    fold: tuple[int, int] | None = None,
) -> dict[str, list[str]]:
    """{"train": names, "val": names}: groups ranked by sha256 of (split key, group), the smallest validating.

    Whole groups are taken until `fraction` of the photographs is reached, never the last group. twins: near-duplicates,
    as `joined` takes them, which stay on one side. fold (K, N): in place of the fraction the K-th (from 1) of N runs of
    groups validates; each group is in exactly one, and they hold about as many photographs each. Raises ValueError
    where one would hold none.
    """
    key = np.asarray(jax.random.key_data(keys.named(root, "split"))).astype("<u4").tobytes()
    of = groups(names, pattern)
    if twins is not None:
        of = joined(of, twins)
    ranked = sorted(set(of), key=lambda group: hashlib.sha256(key + group.encode()).digest())
    sizes = {group: 0 for group in ranked}
    for group in of:
        sizes[group] += 1
    held = _fold(ranked, sizes, *fold) if fold else _first(ranked, sizes, fraction * len(names))
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for name, group in zip(names, of, strict=True):
        parts["val" if group in held else "train"].append(name)
    return parts


def halves(names: Sequence[str], of: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names in two parts of about one size, each in its old order: whole groups (`of`, one a name), in the order of the
    sha256 of their names, to whichever part is the smaller. One group alone: all, and none."""
    sizes = {group: 0 for group in of}
    for group in of:
        sizes[group] += 1
    taken: tuple[set[str], set[str]] = set(), set()
    counts = [0, 0]
    for group in sorted(sizes, key=lambda group: hashlib.sha256(group.encode()).digest()):
        side = int(counts[1] < counts[0])
        taken[side].add(group)
        counts[side] += sizes[group]
    first, second = ([n for n, g in zip(names, of, strict=True) if g in held] for held in taken)
    return first, second


def _first(ranked: list[str], sizes: dict[str, int], enough: float) -> set[str]:
    """The groups from the first on, until they hold `enough` photographs; never the last."""
    held, count = set(), 0
    for group in ranked[:-1]:
        if count >= enough:
            break
        held.add(group)
        count += sizes[group]
    return held


def _fold(ranked: list[str], sizes: dict[str, int], which: int, of: int) -> set[str]:
    """The groups whose middle photograph, counted through all groups, lies in the `which`-th of `of` equal stretches."""
    folds: list[set[str]] = [set() for _ in range(of)]
    total, before = sum(sizes.values()), 0
    for group in ranked:
        folds[(2 * before + sizes[group]) * of // (2 * total)].add(group)
        before += sizes[group]
    if not all(folds):
        raise ValueError(f"--fold {which}/{of}: the {len(ranked)} groups cannot be cut into {of} parts; take fewer")
    return folds[which - 1]


def digest(parts: dict[str, list[str]]) -> str:
    """sha256 of the parts' names in order."""
    text = "\n".join(f"{part}\t{name}" for part in ("train", "val") for name in parts[part])
    return hashlib.sha256(text.encode()).hexdigest()
