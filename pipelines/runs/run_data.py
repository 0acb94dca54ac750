"""Data of a run: its training set, its stored splits, and other data to predict."""

import logging
import os
from pathlib import Path

from jaxmarks import config as configs
from jaxmarks.config import Config
from pipelines import open as opening
from pipelines.example import Source, Subset
from pipelines.io.flags import places
from pipelines.packing import cache
from pipelines.runs import boxed, run_folder
from pipelines.runs.run_folder import Run
from pipelines.sources import decisions

_log = logging.getLogger("jaxmarks")


def of_config(config: Config, root: Path | None = None, *, dry: bool = False, brief: bool = False) -> Source:
    """The training set of a configuration: every record checked and, unless it says otherwise, packed; as its `review`
    decided or, where it names none, as did that of the run in the folder `root`, if there is one. dry: nothing is packed.
    brief: what cannot be used is only counted."""
    c = config
    found = cache.training_set(c.data, **places(c), packed=c.cache, workers=c.workers, dry=dry, brief=brief)
    return decisions.applied(found, run_folder.decided(config, root))


def of_run(
    run: Run, path: str | None = None, *, pictures: str = "", boxes: str = "", dry: bool = False, brief: bool = True
) -> Source:
    """The very records that a run was trained on, from where they were or from `path`. images, boxes: where the folder
    of the images and the file of boxes lie now, if they are not where they were; dry: nothing is packed; brief: what cannot
    be used, which training reported, is only counted. Raises ValueError in one line."""
    if path is None and not opening.exists(run.config.data):
        raise ValueError(f"the run's data was at {run.config.data}; give its path with `data`")
    known = {**configs.to_dict(run.config), "data": path or run.config.data, "weights": "", "review": "", "scheme": ""}
    known |= {name: value for name, value in (("pictures", pictures), ("boxes", boxes)) if value}
    if opening.is_packed(known["data"]):
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
    own = os.path.abspath(where) == os.path.abspath(run.config.data)
    pictures = pictures or (run.config.pictures if own else "")
    if own and run.config.boxes and not boxes:
        if not Path(run.config.boxes).is_file():
            raise ValueError(f"{run.root} was trained on {run.config.boxes}, which is gone: give `boxes` for {where}")
        boxes = run.config.boxes
    if own or (where.lower().endswith(".json") and not run.config.category.isdigit()):  # ids are of one file only
        category = category or run.config.category
    given = {"pictures": pictures, "boxes": boxes, "category": category}
    if "test" in opening.parts(where):
        return boxed.cropped(run, opening.open_source(where, "test", points, **given))
    if own:
        raise ValueError(
            f"{where} has no test split, only what the run was trained on; give other data with `data` (evaluate.py:"
            " or `part` val)"
        )
    _log.warning("%s has no test split: all of its images are used", where)
    return boxed.cropped(run, opening.open_source(where, "train", points, **given))


def training_labels(run: Run, path: str | None) -> Source | None:
    """The training split beside a test split, else that of the run's data, unchecked; None where neither is there."""
    c = run.config
    for where in (path, c.data):
        found = opening.parts(where) if where and opening.exists(where) else []
        if where and "train" in found and (where == c.data or "test" in found):
            if where != c.data:
                return opening.open_source(where)
            return opening.open_source(where, **places(c))
    return None


def split_of(run: Run, source: Source, name: str) -> Subset:
    """The images of `train` or `val` as split.json has them. Raises ValueError where one is gone."""
    places = {n: i for i, n in enumerate(source.names)}
    if gone := [n for n in run.parts[name] if n not in places]:
        raise ValueError(
            f"{run.root / 'split.json'} names {gone[0]}, which the data does not have ({len(gone)} in all)"
        )
    return Subset(source, [places[n] for n in run.parts[name]])
