"""Categories of a COCO file, and the selection of the one to read."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from jaxmarks import words
from pipelines.io import files

Key = int | str | None  # a category's id; None: of annotations that name no category


class Category(NamedTuple):
    """A category as the file declares and uses it."""

    key: Key
    name: str
    points: int  # 0: it has no keypoints
    annotations: int  # that have a labelled point
    declared: bool  # in the file's list of categories

    def __str__(self) -> str:
        named = self.name if self.key is None or self.name == str(self.key) else f"{self.name} (id {self.key})"
        missing = "" if self.declared or self.key is None else ", not in the file's list of categories"
        return f"{named}: {words.counted(self.annotations, 'annotation')} of {words.counted(self.points, 'point')}{missing}"


def key_of(annotation: dict[str, Any]) -> Key:
    """The id of the category that an annotation names."""
    found = annotation.get("category_id")
    return found if isinstance(found, int | str) else None


def all_of(data: dict[str, Any]) -> list[Category]:
    """The categories that are declared, then those that annotations name nevertheless. A category without a list of
    keypoints has as many as most of its annotations."""
    declared: dict[Key, tuple[str, int]] = {}
    for entry in data["categories"] if isinstance(data.get("categories"), list) else []:
        if isinstance(entry, dict) and isinstance(key := entry.get("id"), int | str):
            points = entry.get("keypoints")
            declared.setdefault(key, (str(entry.get("name", key)), len(points) if isinstance(points, list) else 0))
    sizes, used = Counter(), Counter()
    for annotation in data["annotations"]:
        if isinstance(annotation, dict) and isinstance(found := annotation.get("keypoints"), list) and found:
            sizes[key_of(annotation), len(found) // 3] += 1
            used[key_of(annotation)] += any(found)
    usual: dict[Key, int] = {}
    for (key, points), _ in sizes.most_common():
        usual.setdefault(key, points)
    known = {
        **declared,
        **{key: ("no category" if key is None else str(key), 0) for key in usual if key not in declared},
    }
    return [
        Category(key, name, points or usual.get(key, 0), used[key], key in declared)
        for key, (name, points) in known.items()
    ]


def point_names(data: dict[str, Any], count: int, keys: frozenset[Key]) -> list[str]:
    """What the categories that are read call their points; empty where they do not, or not alike."""
    declared = data["categories"] if isinstance(data.get("categories"), list) else []
    read = (e for e in declared if isinstance(e, dict) and isinstance(e.get("id"), int | str) and e["id"] in keys)
    found = [names for e in read if isinstance(names := e.get("keypoints"), list) and len(names) == count]
    return [str(name) for name in found[0]] if found and all(names == found[0] for names in found) else []


def other_sizes(data: dict[str, Any], count: int, keys: frozenset[Key]) -> list[str]:
    """A warning where most annotations of the categories that are read have another number of points than they declare."""
    sizes = Counter(
        len(found) // 3
        for annotation in data["annotations"]
        if isinstance(annotation, dict) and key_of(annotation) in keys
        if isinstance(found := annotation.get("keypoints"), list) and found
    )
    usual, often = sizes.most_common(1)[0] if sizes else (count, 0)
    if usual == count:
        return []
    return [
        f"the category names {words.counted(count, 'point')}, but {often} of {sizes.total()} of its annotations"
        f" have {usual}: were names changed after labelling? Annotations of {usual} are not read"
    ]


def unlisted(data: dict[str, Any]) -> list[str]:
    """A warning where annotations name categories that the file does not list, and listed ones have no annotation, as where
    one list counts from 0 and the other from 1."""
    every = all_of(data)
    strange = [c for c in every if not c.declared and c.key is not None and c.annotations]
    bare = [c for c in every if c.declared and c.points and not c.annotations]
    if not strange or not bare:
        return []
    keys = files.escaped(", ".join(str(c.key)[:40] for c in strange[:5]))
    names = files.escaped(", ".join(c.name[:40] for c in bare[:5]))
    return [
        f"annotations name categories that the file does not list ({keys}), and listed ones have none ({names}): does one"
        " list count from 0, the other from 1? Then annotations are of another category than they seem"
    ]


def choose(path: Path, data: dict[str, Any], wanted: str) -> tuple[int, frozenset[Key]]:
    """(number of points, keys of the annotations to read): of the category that is wanted, by its name or id, else of the
    only one whose annotations have points. (0, none) where nothing has keypoints.

    Annotations that name no category are of the only one that is used. Raises ValueError, with the choices, where the
    wanted one is not there or several are used.
    """
    every = all_of(data)
    used = [c for c in every if c.annotations and c.points]
    named = [c for c in used if c.key is not None]
    if wanted:
        found = [c for c in every if wanted in (c.name, str(c.key)) and c.points]
        found = [c for c in found if c.annotations] or found
        if len(found) != 1:
            state = "no category with keypoints is" if not found else f"{len(found)} categories are"
            raise ValueError(f"{path}: {state} named {wanted}; `category` takes a name or an id of {_listed(every)}")
        return found[0].points, frozenset({found[0].key})
    if len(named) > 1 or len({c.points for c in used}) > 1:
        raise ValueError(
            f"{path}: annotations of {len(used)} categories have keypoints, and one network learns one: choose by"
            f" `category`: {_listed(used)}{'; '.join(['', *unlisted(data)])}"
        )
    best = named or used or [c for c in every if c.points]
    return (best[0].points, frozenset({best[0].key, *(c.key for c in used)})) if best else (0, frozenset())


def _listed(categories: list[Category]) -> str:
    return "; ".join(map(str, categories[:20])) or "none"
