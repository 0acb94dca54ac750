"""data.yaml of YOLO pose: the points, their names, and how they mirror."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jaxmarks import landmarks
from pipelines.io import files
from pipelines.shapes import schemes
from pipelines.sources import dialects
from pipelines.sources.formats import foreign, object_rows

NAME = "data.yaml"
_LARGEST = 1 << 20  # bytes of a configuration
_MOST = 1 << 16  # points of an object


class Config(NamedTuple):
    """A configuration."""

    path: Path
    data: dict[str, Any]
    count: int  # of points
    dims: int  # numbers of a point

    @property
    def top(self) -> Path:
        """Its folder."""
        return self.path.parent

    def points(self, kind: str) -> list[str]:
        """The names of the points of a class."""
        found = self.data.get("kpt_names", self.data.get("node_names"))  # the second in files of sleap-io
        if isinstance(found, dict):
            found = next((names for key, names in found.items() if str(key) == kind), next(iter(found.values()), None))
        if found is None:
            return object_rows.point_names(self.count)
        names = [str(name) for name in found] if isinstance(found, list) else []
        if len(set(names)) != self.count or not all(name.isprintable() and name for name in names):
            raise ValueError(
                f"{self.path}: kpt_names has {len(set(names))} different names, kpt_shape {self.count} points"
            )
        return names

    def kind(self, number: int) -> str:
        """A class as messages name it: its number, and its name where that is known."""
        names = self.data.get("names")
        known = dict(enumerate(names)) if isinstance(names, list) else names if isinstance(names, dict) else {}
        return f"{number} ({known[number]})" if number in known else str(number)

    def mirror(self, names: list[str]) -> tuple[list[int], list[str]]:
        """(the mirror permutation that flip_idx says, empty where it says none; lines on one that is not used, or that
        exchanges no points). names: of the points."""
        found, where = self.data.get("flip_idx"), self.path.name
        if found in (None, []):
            return [], []
        remedy = "correct it, or give the permutation with `scheme`"
        if not landmarks.is_mirror(found, self.count):
            fault = f"{str(found)!r:.40} is no list of {self.count} points from 0, each once, that is its own inverse"
            return [], [f"{where}: flip_idx is not used: {fault}; {remedy}"]
        if (at := schemes.contradicted(found, names)) is not None:
            fault = f"it mirrors {names[at]!r:.40} as {names[found[at]]!r:.40}, which the names contradict"
            return [], [f"{where}: flip_idx is not used: {fault}; {remedy}"]
        if self.count > 1 and found == list(range(self.count)):
            fault = f"flip_idx exchanges none of the {self.count} points when an image is mirrored, and is used so"
            return found, [f"{where}: {fault}; if some are left and right of each other, {remedy}"]
        return found, []


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML's own takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for (_, key), count in Counter(keys).items() if count > 1), None):
            raise _Twice(twice, node.start_mark.line)
        return super().construct_mapping(node, deep)


class _Twice(Exception):
    """The key, and the line at which its mapping begins, from 0."""


def of_path(path: Path) -> Path | None:
    """The configuration that a path is, or that a folder has."""
    if path.is_dir():
        return next((p for p in (path / NAME, *sorted(path.glob("*.y*ml"))) if p.is_file() and _has_points(p)), None)
    return path if path.suffix.lower() in (".yaml", ".yml") and path.is_file() and _has_points(path) else None


def _has_points(path: Path) -> bool:
    return "kpt_shape" in foreign.beginning(path)


def read(path: Path) -> Config:
    """The configuration of a path. Raises ValueError where it is no sound one."""
    where = of_path(path)
    if where is None:
        raise ValueError(f"{path}: no configuration with kpt_shape is there")
    if files.size(where) > _LARGEST:
        raise ValueError(f"{where}: too large a configuration")
    try:
        data = yaml.load(dialects.text(files.read_bytes(where)), _Loader)
    except _Twice as twice:
        key, line = twice.args
        raise ValueError(f"{where}: the key {key!r:.40} stands twice below line {line + 1}: keep one of them") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError, TypeError, AttributeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise ValueError(
            f"{where}:{'' if line is None else f'{line + 1}:'} not YAML ({type(error).__name__})"
        ) from None
    shape = data.get("kpt_shape") if isinstance(data, dict) else None
    pair = shape if isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape) else [0, 0]
    if not 0 < pair[0] <= _MOST or pair[1] not in (2, 3):
        raise ValueError(f"{where}: kpt_shape is {str(shape)!r:.40}, expected the number of points, and 2 or 3")
    return Config(where, data, *pair)


def text(data: dict[str, Any]) -> str:
    """Return the text of a configuration."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None)
