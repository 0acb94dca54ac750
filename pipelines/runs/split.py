"""Training and validation split by groups, from the root key; the stored split is binding."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from jaxmarks import keys
from jaxmarks.config import Config
from jaxmarks.training import defaults
from pipelines.example import Source
from pipelines.sources import mixed


def groups(names: Sequence[str], pattern: str, field: str = "split_by") -> list[str]:
    """The group of each file name: what the regular expression's first group (or all of it) finds; else the name.

    Raises ValueError, naming the field it came by, where the expression is not one, or finds nothing in a name.
    """
    if not pattern:
        return list(names)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"`{field}` {pattern!r} is not a regular expression: {error}") from None
    found = []
    for name in names:
        match = expression.search(name)
        group = match and match.group(1 if expression.groups else 0)
        if group is None:
            raise ValueError(f"`{field}` {pattern!r} finds nothing in the file name {name!r}")
        found.append(group)
    return found


def joined(of: Sequence[str], twins: Sequence[str]) -> list[str]:
    """Groups that share near-duplicates made one, under the smallest of their names. twins: what near-duplicates have
    in common, empty for an image that has none."""
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


def of_source(source: Source, config: Config, root: jax.Array) -> dict[str, list[str]]:
    """The splits of a source as a configuration has them, of several data sets of each apart. Raises ValueError as `split`."""
    found: dict[str, list[str]] = {"train": [], "val": []}
    for label, some in mixed.apart(source).items():
        fraction, twins = defaults.val_fraction(config, len(some)), some.groups if config.near_duplicates else None
        try:
            parts = split(some.names, config.split_by, fraction, root, twins, fold=config.fold_of)
        except ValueError as error:
            raise ValueError(f"{label}: {error}" if label else str(error)) from None
        found = {part: found[part] + names for part, names in parts.items()}
    return found


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

    Whole groups are taken until `fraction` of the images is reached, never the last group. Where that is too far from what
    was asked, groups with which it would be too many are passed over. twins: near-duplicates, as `joined` takes them, which
    stay on one side. fold (K, N): in place of the fraction the K-th (from 1) of N runs of groups validates; each group is in
    exactly one, and they hold about as many images each. Raises ValueError where one would hold none, and where what is
    held out is farther from what was asked than half of it, which a rounding to whole images is not.
    """
    key = np.asarray(jax.random.key_data(keys.named(root, "split"))).astype("<u4").tobytes()
    of = groups(names, pattern)
    if twins is not None:
        of = joined(of, twins)
    ranked = sorted(set(of), key=lambda group: hashlib.sha256(key + group.encode()).digest())
    sizes = {group: 0 for group in ranked}
    for group in of:
        sizes[group] += 1
    asked = len(names) / fold[1] if fold else fraction * len(names)
    held = _fold(ranked, sizes, *fold) if fold else _first(ranked, sizes, asked)
    _check(ranked, sizes, held, asked, _means(fraction, fold, pattern, twins))
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


def _count(groups: Iterable[str], sizes: dict[str, int]) -> int:
    return sum(sizes[group] for group in groups)


def _far(count: float, asked: float) -> bool:
    """Return whether so many images are farther from those asked for than half of them; one more or less is rounding."""
    return abs(count - asked) > max(asked / 2, 1)


def _first(ranked: list[str], sizes: dict[str, int], enough: float) -> set[str]:
    """The groups from the first on, until they hold `enough` images; never the last. Where these are far from enough: as
    before, but without those with which it would be too many."""
    held, count = _reached(ranked[:-1], sizes, enough, math.inf)
    if _far(count, enough):
        fitting, less = _reached(ranked, sizes, enough, enough + max(enough / 2, 1))
        return fitting if len(fitting) < len(ranked) and not _far(less, enough) else held
    return held


def _reached(ranked: Sequence[str], sizes: dict[str, int], enough: float, most: float) -> tuple[set[str], int]:
    held, count = set(), 0
    for group in ranked:
        if count >= enough:
            break
        if count + sizes[group] <= most:
            held.add(group)
            count += sizes[group]
    return held, count


def _check(
    ranked: list[str], sizes: dict[str, int], held: set[str], asked: float, means: tuple[str, list[str]]
) -> None:
    """Raise ValueError where the groups held out are not about what was asked. means: how it was asked, and ways out."""
    total, count = sum(sizes.values()), _count(held, sizes)
    alone = asked > 0 and not held and total > 1  # one group of several images
    if not (_far(count, asked) or alone):
        return
    asked_by, ways = means
    if "fold" not in asked_by and (near := _nearest(ranked, sizes, asked)):
        share, fits = near
        ways = [*ways, f"`val_fraction` {share:g} holds out {fits}"]
    raise ValueError(
        f"the validation split: {asked:.3g} of {total} images are asked for ({asked_by}), and whole groups give {count}: there"
        f" {'is 1 group' if len(ranked) == 1 else f'are {len(ranked)} groups'}, the largest of {max(sizes.values())} images;"
        f" {', or '.join(ways)}"
    )


def _nearest(ranked: list[str], sizes: dict[str, int], asked: float) -> tuple[float, int] | None:
    """(a share near the one asked for that whole groups come to, how many images it holds out); None if no such share exists."""
    total = sum(sizes.values())
    ends = {*np.cumsum([sizes[group] for group in ranked])[:-1].tolist(), total - max(sizes.values())}
    for count in sorted(ends, key=lambda count: abs(count - asked)):
        share = np.floor(1e4 * count / total) / 1e4
        held = _count(_first(ranked, sizes, share * total), sizes)
        if 0 < share <= 0.9 and held and not _far(held, share * total):
            return share, held
    return None


def _means(
    fraction: float, fold: tuple[int, int] | None, pattern: str, twins: Sequence[str] | None
) -> tuple[str, list[str]]:
    """Describe how a share was requested, and what would change the result."""
    ways = ["`no_near_duplicates` lets near-duplicates be on both sides"] if any(twins or ()) else []
    ways += [f"another `split_by` than {pattern!r} makes other groups"] if pattern else []
    if fold:
        return f"`fold` {fold[0]}/{fold[1]}", [*ways, "`fold` takes fewer parts"]
    return f"a share of {fraction:g}", [*ways, "`val_fraction` 0 holds out nothing"]


def _fold(ranked: list[str], sizes: dict[str, int], which: int, of: int) -> set[str]:
    """Return the groups whose middle image, counted through all groups, lies in the `which`-th of `of` equal ranges."""
    folds: list[set[str]] = [set() for _ in range(of)]
    total, before = sum(sizes.values()), 0
    for group in ranked:
        folds[(2 * before + sizes[group]) * of // (2 * total)].add(group)
        before += sizes[group]
    if not all(folds):
        raise ValueError(f"`fold` {which}/{of}: the {len(ranked)} groups cannot be cut into {of} parts; take fewer")
    return folds[which - 1]


def digest(parts: dict[str, list[str]]) -> str:
    """sha256 of the parts' names in order."""
    text = "\n".join(f"{part}\t{name}" for part in ("train", "val") for name in parts[part])
    return hashlib.sha256(text.encode()).hexdigest()
