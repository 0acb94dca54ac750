"""Remarks on the names of points that objects have: a scheme of another order, spellings, names that few have."""

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from jaxmarks import landmarks, words
from pipelines.sources.formats import object_rows

_FEW, _CLOSE = 0.2, 0.75  # of the objects that the usual point has; likeness of two names, of 1
Names = tuple[str, ...]  # of the points of an object


def of(where: str, have: Sequence[Names], names: Sequence[str]) -> list[str]:
    """Return the remarks, a line each. have: of each object, which points it has. names: of the set's points."""
    had = Counter(have)
    return [*_own_order(where, names), *_spellings(where, had, names), *_misspelt(where, had, names)]


def _held(had: Counter[Names]) -> Counter[str]:
    """How many objects have a point, by its name."""
    held: Counter[str] = Counter()
    for some, count in had.items():
        held.update(dict.fromkeys(some, count))
    return held


def _own_order(where: str, names: Sequence[str]) -> list[str]:
    """A line where a built-in scheme of so many points may be of other ones than these; none without such."""
    count = len(names)
    if count not in landmarks.KNOWN or names == object_rows.point_names(count):
        return []
    shown = ", ".join(names[:5]) + ", ..." * (count > 5)
    return [
        f"{where}: its {count} points are {shown[:200]}; the built-in scheme of {count} points has an order of its own: where"
        " that is another, give `scheme`"
    ]


def _spellings(where: str, had: Counter[Names], names: Sequence[str]) -> list[str]:
    """A line on names that differ by case, blanks, hyphens or underscores alone and that no object has together: probably one
    point, spelled in two ways; none without such."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_bare(name)].append(name)
    held = _held(had)
    found = [s for s in alike.values() if len(s) > 1 and all(len({*some}.intersection(s)) < 2 for some in had)]
    found = [some for some in found if all(held[name] for name in some)]
    if not found:
        return []
    shown = "; ".join(
        " and ".join(f"{n!r:.40} (of {words.counted(held[n], 'object')})" for n in some) for some in found[:3]
    )
    return [
        f"{where}: {shown}{'; ...' * (len(found) > 3)} are taken for points of their own, though only case, blanks, - or _"
        " differ and no object has both: rename one of each in the files if they are one point"
    ]


def _misspelt(where: str, had: Counter[Names], names: Sequence[str]) -> list[str]:
    """A line on names of few objects, each of which resembles one that none of them has; none without such."""
    held = _held(had)
    few = [n for n in names if 0 < held[n] <= _FEW * max(held.values())]
    pairs = []
    for name in few:
        others = [n for n in names if held[n] > held[name] and not any({n, name} <= {*some} for some in had)]
        others = [n for n in others if _bare(n) != _bare(name)]  # of which `_spellings` tells
        pairs += [(name, other) for other in difflib.get_close_matches(name, others, 1, _CLOSE)]
    if not pairs:
        return []
    shown = ", ".join(f"{n!r:.40} (of {words.counted(held[n], 'object')}; {other!r:.40}?)" for n, other in pairs[:3])
    return [
        f"{where}: points of few objects, misspelt perhaps: {shown}{', ...' * (len(pairs) > 3)}; each is taken for a point of"
        " its own: rename it in the files if it is not"
    ]


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())
