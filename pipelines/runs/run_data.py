"""Data of a run: its training set, its stored splits, and other data to predict."""

import logging
from collections.abc import Sequence
from pathlib import Path

from jaxmarks import config as configs
from jaxmarks import data_sets, words
from jaxmarks.config import Config
from pipelines import open as opening
from pipelines.example import Source, Subset
from pipelines.io.flags import places
from pipelines.packing import cache
from pipelines.runs import boxed, run_folder
from pipelines.runs.run_folder import Run
from pipelines.sources import decisions, point_maps
from pipelines.sources.mixed import Mixed, Reordered

_log = logging.getLogger("jaxmarks")


def of_config(config: Config, root: Path | None = None, *, dry: bool = False, brief: bool = False) -> Source:
    """The training set of a configuration: every record checked and, unless it says otherwise, packed; as its `review`
    decided or, where it names none, as did that of the run in the folder `root`, if there is one. dry: nothing is packed.
    brief: what cannot be used is only counted."""
    c, paths = config, data_sets.paths(config.data)
    for path in paths[1:]:
        opening.parts(path)  # raises where nothing is, before another is packed
    each = [
        cache.training_set(path, **places(c), packed=c.cache, workers=c.threads, dry=dry, brief=brief) for path in paths
    ]
    found = each[0] if len(each) == 1 else Mixed(each, _rows(c.point_map, paths, each, root))
    if len(each) > 1 and not c.scheme and not brief:
        _say_mirror(found, each)
    return decisions.applied(found, run_folder.decided(config, root))


def _say_mirror(found: Source, each: Sequence[Source]) -> None:
    """Say where the mirror permutation of some of several sets is used for others, or cannot be used."""
    saying = [data_sets.label(place) for place, one in enumerate(each) if one.mirror]
    if saying and not found.mirror:
        _log.warning(
            "%s: the mirror permutations that the files say differ, or are not of all %d points: they are not used; give one"
            " with `scheme`",
            ", ".join(saying), found.num_points,
        )  # fmt: skip
    elif saying and len(saying) < len(each):
        _log.warning(
            "the mirror permutation that the files of %s say is used for all %d data sets; give another with `scheme`",
            ", ".join(saying), len(each),
        )  # fmt: skip


def _rows(point_map: str, paths: Sequence[str], each: Sequence[Source], root: Path | None) -> Sequence[Sequence[int]]:
    """Which points of several sets are the same: as a file has it, else as the run in the folder `root`, else all. Raises
    ValueError where that cannot be."""
    counts, names = [one.num_points for one in each], [one.point_names for one in each]
    if point_map:
        return point_maps.read(Path(point_map), counts, names)
    known = run_folder.load(root).sets if root and run_folder.exists(root) else ()
    return known if len(known) == len(each) else point_maps.equal(paths, counts, names)


def of_run(
    run: Run, path: str | None = None, *, pictures: str = "", boxes: str = "", dry: bool = False, brief: bool = True
) -> Source:
    """The very records that a run was trained on, from where they were or from `path`. images, boxes: where the folder
    of the images and the file of boxes lie now, if they are not where they were; dry: nothing is packed; brief: what cannot
    be used, which training reported, is only counted. Raises ValueError in one line."""
    if path is None and not opening.exists(run.config.data):
        raise ValueError(f"the run's data was at {run.config.data}; give its path with `data`")
    if path and len(data_sets.paths(path)) != (count := len(data_sets.paths(run.config.data))):
        raise ValueError(
            f"{run.root} was trained on {words.counted(count, 'data set')}: give all of them, in their order"
        )
    known = {**configs.to_dict(run.config), "data": path or run.config.data, "weights": "", "review": "", "scheme": ""}
    known["point_map"] = ""  # kept by the run
    known |= {name: value for name, value in (("pictures", pictures), ("boxes", boxes)) if value}
    if len(data_sets.paths(known["data"])) == 1 and opening.is_packed(known["data"]):
        known |= {"pictures": pictures, "boxes": boxes, "category": ""}  # the run's were used when it was packed
    found = of_config(run_folder.settings(known), run.root, dry=dry, brief=brief)
    run_folder.check_identity(run, found, path or run.config.data)
    return found


def test_split(run: Run, path: str | None, *, pictures: str = "", boxes: str = "", category: str = "") -> Source:
    """The images to predict: the test split of the data at `path` (default: the run's), or all of it where it has
    one part only. Raises ValueError where that is what the run was trained on."""
    where, points = path or run.config.data, run.scheme.num_points
    if not opening.exists(where):
        raise ValueError(f"{where}: does not exist; give another path with `data`")
    own = opening.absolute(where) == opening.absolute(run.config.data)
    pictures = pictures or (run.config.pictures if own else "")
    if own and run.config.boxes and not boxes:
        if not Path(run.config.boxes).is_file():
            raise ValueError(f"{run.root} was trained on {run.config.boxes}, which is gone: give `boxes` for {where}")
        boxes = run.config.boxes
    if own or (where.lower().endswith(".json") and not run.config.category.isdigit()):  # ids are of one file only
        category = category or run.config.category
    given = {"pictures": pictures, "boxes": boxes, "category": category}
    if "test" in opening.parts(where):
        return boxed.cropped(run, in_order(run, _opened(run, where, "test", points, **given), where))
    if own:
        raise ValueError(
            f"{where} has no test split, only what the run was trained on; give other data with `data` (evaluate.py:"
            " or `part` val)"
        )
    _log.warning("%s has no test split: all of its images are used", where)
    return boxed.cropped(run, in_order(run, _opened(run, where, "train", points, **given), where))


def in_order(run: Run, source: Source, where: str) -> Source:
    """The source with its points in the order of the run's, where both have the same names in another order. Says so, and
    where they have other names."""
    if not run.point_names or not source.point_names or list(run.point_names) == list(source.point_names):
        return source
    if (row := point_maps.by_names(run.point_names, source.point_names)) is not None:
        _log.warning("%s: its points are in another order than those of %s: matched by their names", where, run.root)
        return Reordered(source, row)
    at, ours, theirs = point_maps.first_difference(run.point_names, source.point_names)
    _log.warning(
        "%s: its points have other names than those of %s (point %d is %s, there %s): matched by their order",
        where, run.root, at, theirs, ours,
    )  # fmt: skip
    return source


def _opened(run: Run, data: str, part: str, num_points: int | None = None, **given: str) -> Source:
    """A split of one data set, or of those of several that have it."""
    if len(paths := data_sets.paths(data)) == 1:
        return opening.open_source(data, part, num_points, **given)
    data_sets.check(data, "", "", given)
    known, there = len(run.sets) == len(paths), [part in opening.parts(path) for path in paths]
    points = None if known else num_points
    each = [opening.open_source(p, part, points) if has else None for p, has in zip(paths, there, strict=True)]
    if known:
        return Mixed(each, run.sets)
    found = [(path, one.num_points, one.point_names) for path, one in zip(paths, each, strict=True) if one is not None]
    rows = iter(point_maps.equal(*zip(*found, strict=True)))
    return Mixed(each, [list(range(found[0][1])) if one is None else next(rows) for one in each])


def training_labels(run: Run, path: str | None) -> Source | None:
    """The training split beside a test split, else that of the run's data, unchecked; None where neither is there."""
    c = run.config
    for where in (path, c.data):
        found = opening.parts(where) if where and opening.exists(where) else []
        if where and "train" in found and (where == c.data or "test" in found):
            given = {"pictures": c.pictures, "boxes": c.boxes, "category": c.category} if where == c.data else {}
            source = _opened(run, where, "train", None, **given)
            return source if where == c.data else in_order(run, source, where)
    return None


def split_of(run: Run, source: Source, name: str) -> Subset:
    """The images of `train` or `val` as split.json has them. Raises ValueError where one is gone."""
    places = {n: i for i, n in enumerate(source.names)}
    if gone := [n for n in run.parts[name] if n not in places]:
        raise ValueError(
            f"{run.root / 'split.json'} names {gone[0]}, which the data does not have ({len(gone)} in all)"
        )
    return Subset(source, [places[n] for n in run.parts[name]])
