"""The validation part of a run in two, so that what is fitted on the one half is not flattered by the other."""

from typing import NamedTuple

from pipelines import runs, split
from pipelines.runs import Run
from pipelines.sources import Source, Subset


class Held(NamedTuple):
    """The validation part in two, whole groups each."""

    chooses: Subset  # the checkpoint, and the weights of views
    calibrates: Subset  # the expected error; empty where there is one group only
    groups: dict[str, str]  # of each name: what may be alike, by --split-by and near-duplicates


def held(run: Run, source: Source) -> Held:
    """The run's validation part in two. Raises ValueError where a photograph is gone."""
    names, twins = run.parts["val"], getattr(source, "groups", None)
    of = split.groups(names, run.config.split_by)
    if twins is not None:
        known = dict(zip(source.names, twins, strict=True))
        of = split.joined(of, [known.get(name, "") for name in names])
    whole, places = runs.part(run, source, "val"), {n: i for i, n in enumerate(names)}
    chooses, calibrates = split.halves(names, of)
    first, second = (Subset(whole, [places[n] for n in half]) for half in (chooses, calibrates))
    return Held(first, second, dict(zip(names, of, strict=True)))
