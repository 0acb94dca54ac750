"""Selection half and calibration half of a run's validation split."""

from collections import Counter
from typing import NamedTuple

from jaxmarks import data_sets, words
from jaxmarks.config import AUTO_SHARE
from jaxmarks.evaluation import calibration
from pipelines.example import Source, Subset
from pipelines.label_checks import several_objects
from pipelines.runs import run_data, split
from pipelines.runs.run_folder import Run
from pipelines.sources import mixed
from pipelines.sources.formats import plain

_FEW = 500  # images to train on, below which a line says what to expect
_EXPECT = (
    "few images to train on ({}): as measured, 137 faces give 1.4 times the error of 3,000; `init_from` a run on more images"
    " of the kind helps most (docs/training.md)"
)


class Held(NamedTuple):
    """The validation split in two, whole groups each."""

    chooses: Subset  # the checkpoint, and the weights of views
    calibrates: Subset  # the expected error; empty where there is one group only
    all: Subset  # both
    groups: dict[str, str]  # of each name: what may be alike, by `split_by` and near-duplicates


def held(run: Run, source: Source) -> Held:
    """The run's validation split in two. Raises ValueError where an image is gone."""
    names, twins = run.parts["val"], source.groups if run.config.near_duplicates else None
    of = split.groups(names, run.config.split_by)
    if twins is not None:
        known = dict(zip(source.names, twins, strict=True))
        of = split.joined(of, [known.get(name, "") for name in names])
    whole, places = run_data.split_of(run, source, "val"), {n: i for i, n in enumerate(names)}
    groups = dict(zip(names, of, strict=True))
    apart = [split.halves(some.names, [groups[n] for n in some.names]) for some in mixed.apart(whole).values()]
    first, second = (Subset(whole, [places[n] for part in half for n in part]) for half in zip(*apart, strict=True))
    return Held(first, second, whole, groups)


def described(run: Run, source: Source) -> list[str]:
    """The sizes of the splits, and what they allow, a line each: the same for a run and for what a run would be."""
    found, parts = held(run, source), run.parts
    halves = f"selection half {len(found.chooses)}, calibration half {len(found.calibrates)}"
    by = f"`fold` {run.config.fold}" if run.config.fold else f"a share of {run.config.val_fraction:g}"
    by = f"{by} of each set" if run.sets else by
    by = (
        "of each set by its number"
        if run.sets and run.config.val_fraction == AUTO_SHARE and not run.config.fold
        else by
    )
    lines = [f"split: train {len(parts['train'])}, validation {len(parts['val'])} ({by}; {halves})"]
    lines += _of_sets(run) if run.sets else []
    lines += _near_duplicates(source) if run.config.near_duplicates else []
    if not parts["val"]:
        lines.append("nothing is held out: no validation, no best checkpoint, no expected errors")
    elif len(parts["val"]) < calibration.LEAST:
        lines.append(
            f"too few are held out for expected errors (predict.py --spread): {len(parts['val'])} of the {calibration.LEAST}"
            " needed; a larger `val_fraction`, or more images"
        )
    return [*lines, _EXPECT.format(len(parts["train"]))] if len(parts["train"]) < _FEW else lines


def _of_sets(run: Run) -> list[str]:
    """A line for each of several data sets: its images, its points and how often it is drawn."""
    counts = {part: Counter(data_sets.labels(names)) for part, names in run.parts.items()}
    paths = data_sets.paths(run.config.data)
    shares, lines = data_sets.shares(run.config.shares, len(paths)), []
    for place, (path, row) in enumerate(zip(paths, run.sets, strict=True)):
        label, has = data_sets.label(place), sum(point >= 0 for point in row)
        train, val = (counts[part][label] for part in ("train", "val"))
        share = shares[place] if shares else train / len(run.parts["train"])
        times = share * len(run.parts["train"]) / train if train else 0
        often = f"{words.number(times)} times" if shares else "once"
        points = "" if has == len(row) else f", {has} of {len(row)} points"
        draws = "" if run.weights or run.config.weights else f"; {share:.0%} of the draws, each image {often} an epoch"
        lines.append(f"{label}, {path}: train {train}, validation {val}{points}{draws}")
    return lines


def _near_duplicates(source: Source) -> list[str]:
    groups = source.groups or [""] * len(source)
    grouped = {(group, plain.image_of(name)) for group, name in zip(groups, source.names, strict=True) if group}
    sizes = [size for size in Counter(group for group, _ in grouped).values() if size > 1]  # in images, not in records
    line = (
        f"near-duplicates, each group on one side: {sum(sizes)} images in {len(sizes)} of them"
        " (`no_near_duplicates`: wherever they fall)"
    )
    return [line] * bool(sizes) + several_objects.describe(several_objects.count(source.names))
