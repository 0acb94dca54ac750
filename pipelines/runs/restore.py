"""Restoring runs from checkpoints: trained runs, initial weights, forks."""

import difflib
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import augment, experiment, keys, models
from jaxmarks import config as configs
from jaxmarks.config import Config
from jaxmarks.models import torchvision
from jaxmarks.training import checkpoint, history, log, recipes, rendering, sharding, state
from jaxmarks.training.checkpoint import Commit
from jaxmarks.types import State
from pipelines.example import Source
from pipelines.io import csv_text, files
from pipelines.runs import run_folder
from pipelines.runs.run_folder import Run
from pipelines.weights import state_dicts

# What a fork keeps: its draws and the rows of its log go on from its parent's.
_KEPT = ("seed", "batch", "val_fraction", "split_by", "fold", "split_seed", "model", "size", "box_margin", "shares")


class Trained(NamedTuple):
    """A run's network at one of its checkpoints."""

    run: Run
    plan: experiment.Experiment
    state: State
    commit: Commit


def load(root: Path, which: str = "best") -> Trained:
    """The run in a folder at the checkpoint `best`, `newest` or of a step number, on as many devices as share its batch.

    Raises ValueError in one line where there is no run, or no such sound checkpoint.
    """
    run = run_folder.load(root)
    mesh = sharding.mesh_dividing(run.config.divisible)
    plan = experiment.assemble(run.config, run.key, run.scheme, len(run.parts["train"]), mesh)
    saved, commit = checkpoint.require(run.root, plan.template(), which)
    return Trained(run, plan, saved, commit)


def origin(config: Config) -> str:
    """The digest of the weights that `init_from` names: of the file, or of the best state of the run; empty: none."""
    if not config.init_from:
        return ""
    path = Path(config.init_from)
    if not path.exists():
        raise ValueError(f"`init_from` {path}: does not exist")
    if path.is_dir():
        found = checkpoint.commits(path)
        best = checkpoint.best(found) or (found[-1] if found else None)
        if best is None:
            raise ValueError(f"`init_from` {path}: no run folder with a checkpoint")
        return best.digest
    return files.digest(path).hex()


def first_weights(run: Run, plan: experiment.Experiment) -> tuple[tuple[dict, dict] | None, list[str]]:
    """(params, stats) that a run begins with, None where it draws them itself; and what a person should know, a line each.

    Raises ValueError in one line where they do not fit, or are not those that the run began with.
    """
    config = run.config
    if not config.init_from:
        return None, []
    if origin(config) != run.origin:
        raise ValueError(f"`init_from` {config.init_from}: not the weights that {run.root} began with")
    path, notes = Path(config.init_from), []
    if path.is_dir():
        other = load(path)
        if other.run.config.model != config.model:
            raise ValueError(f"{path} is a {other.run.config.model}: give `model` {other.run.config.model}")
        if other.run.config.size != config.size:
            notes.append(f"{path} was trained at {other.run.config.size} px, this run at {config.size}")
        given = state.judged(other.state)
    else:
        given = _published(config.model, path)
    weights, more = models.adopt(plan.model.init(plan.first_key, config.size), given)
    return weights, [f"begins with the weights of {path}", *notes, *more]


def _published(model: str, path: Path) -> tuple[dict, dict]:
    named = state_dicts.read(path)
    for name, values in named.items():
        if wrong := int(np.sum(~np.isfinite(values))):
            raise ValueError(f"`init_from` {path}: {name} has {wrong} values that are not finite")
    try:
        return torchvision.backbone(model, named)
    except ValueError as error:
        raise ValueError(f"`init_from` {path}: {error}") from None


def check(planned: Run) -> list[str]:
    """What a person should know of the weights that a run would begin with, a line each. Raises ValueError, before
    anything is written, where a run cannot be: its settings, or those weights."""
    plan = experiment.assemble(planned.config, planned.key, planned.scheme, len(planned.parts["train"]))
    return first_weights(planned._replace(origin=origin(planned.config)), plan)[1]


def fork(parent: Path, root: Path, flags: dict, which: str | None, *, dry: bool = False) -> tuple[Run, int]:
    """A new run folder that goes on from a checkpoint of `parent` under other settings; (the run, its step). The run that
    is there, where the same command made it. dry: the run as it would be, and nothing is written.

    flags: the fields to change. which: best, newest or a step; None: newest. Key, split, data and the log until then are
    the parent's; config.json names it. Raises ValueError in one line for a setting that a fork must keep, where
    the network or optimiser no longer fits, and where no step would be left to train.
    """
    old = run_folder.load(parent)
    known = {**configs.to_dict(old.config), "review": "", "weights": "", "scheme": "", "point_map": ""}
    config = run_folder.settings(recipes.over(known, flags))
    kept_files = {
        "review": "labels",
        "weights": "sampling weights",
        "scheme": "scheme of points",
        "point_map": "points",
    }
    for name, what in kept_files.items():
        if given := getattr(config, name):
            raise ValueError(f"`{name}` {given}: a fork keeps its parent's {what}; train anew with this file")
    if run_folder.exists(root):
        known = run_folder.parent_of(root)
        asked = known is not None and known["run"] == str(parent) and which in (None, "best", str(known["step"]))
        other = known and not asked and f"began at step {known['step']} of {known['run']}"
        if not known or not asked or configs.differences(run_folder.load(root).config, config):
            raise ValueError(f"`fork`: {root} already exists {other or 'with different settings'}; take another name")
        return run_folder.load(root)._replace(config=config), known["step"]
    if kept := [f"`{n}`" for n in _KEPT if getattr(config, n) != getattr(old.config, n)]:
        raise ValueError(f"a fork keeps {', '.join(kept)} of {parent}, whose draws and log it continues")
    plan = experiment.assemble(config, old.key, old.scheme, len(old.parts["train"]))
    saved, commit = checkpoint.require(parent, plan.template(), which or "newest")
    if plan.steps <= commit.step:
        raise ValueError(
            f"`fork`: {parent} is at step {commit.step}, where a run of {plan.steps} steps ends: give `steps` above"
            f" {commit.step}, or an earlier `step`"
        )
    if dry:
        return old._replace(root=root, config=config), commit.step
    building = root.with_name(f".{root.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    log.check(parent, [commit])
    run_folder.write_fork(old, building, config, {"run": str(parent), "step": commit.step, "digest": commit.digest})
    for name in log.FILES:
        with open(parent / name, "rb") as source:
            (building / name).write_bytes(source.read(commit.offsets[name]))
    checkpoint.save(building, saved, commit.nme, commit.offsets, commit.digests, anchor=True)
    building.rename(root)
    return run_folder.load(root), commit.step


def best_line(run: Run) -> list[str]:
    """The best validation of a run, a line; none where nothing was validated."""
    best = checkpoint.best(checkpoint.commits(run.root))
    if best is None or best.nme is None:
        return []
    return [f"best validation: NME {best.nme:.4f} at step {best.step}, on the selection half of the validation split"]


def _seen(run: Run, part: Source) -> history.Seen:
    counted = checkpoint.commits(run.root)
    log.check(run.root, counted, ["examples.bin"])
    rows = log.read_examples(run.root, run.config.batch)[: counted[-1].step if counted else 0]
    return history.seen(rows, keys.ordering(run.key, len(part), run_folder.weights(run)), len(part))


def outcomes(run: Run, part: Source) -> dict[str, np.ndarray]:
    """Return the history of each image of the training split, as `history.per_image` gives it."""
    return history.per_image(_seen(run, part), len(part))


def story(run: Run, part: Source, name: str) -> list[str]:
    """Return the history of one image of the training split, a line for each step that saw it."""
    found, config, lines = _seen(run, part), run.config, []
    settings = augment.configure(config.augment, run.scheme.mirror is not None)
    for at in np.flatnonzero(found.index == list(part.names).index(name)):
        drawn = rendering.augmentation(run.key, settings, config.size, found.draw[at])
        outcome = (
            "" if found.kept[at] else ", left out as one of the worst" if found.worst[at] else ", left out as easy"
        )
        where = f"step {found.step[at]}, place {found.place[at]}, epoch {found.draw[at, 0]}"
        lines.append(f"{where}: {augment.describe(drawn, config.size)}: loss {found.loss[at]:.4g}{outcome}")
    return lines


def metrics(root: Path) -> list[dict]:
    """The lines of a run's metrics.jsonl. Raises ValueError where they are not what its checkpoints counted."""
    path = root / "metrics.jsonl"
    log.check(root, checkpoint.commits(root), [path.name])
    return [files.parse_json(line, path) for line in files.read_text(path).splitlines()]


def where_is(run: Run, name: str) -> str:
    """Why a name is not among the images that a run trains on, and what to do."""
    if name in run.parts["val"]:
        return "it was held out for validation, and never trained on"
    near = difflib.get_close_matches(name, run.parts["train"], 1)
    return f"not in {run.root / 'split.json'}{f'; did you mean {near[0]}?' if near else ''}"


def write_history(run: Run, part: Source) -> list[str]:
    """Write history.csv, what the run did to each image of its training split, and say what stands out.

    Columns: file_name, seen, worst and easy (how often it was trimmed, as too hard or too easy), mean_loss, last_loss;
    the most often trimmed as too hard first, then by last loss.
    """
    found = outcomes(run, part)
    share = found["worst"] / np.maximum(found["seen"], 1)
    ranked = np.lexsort((-np.nan_to_num(found["last_loss"]), -share))
    with files.whole(run.root / "history.csv") as file:
        csv_text.write_table(
            file, [str(part.names[int(i)]) for i in ranked], {n: column[ranked] for n, column in found.items()}
        )
    often = [i for i in ranked[:5] if found["worst"][i] > 1]
    if not often:
        return []
    named = ", ".join(f"{part.names[i]} ({found['worst'][i]} of {found['seen'][i]})" for i in often)
    return [f"trimmed again and again as the worst of its batch: {named}; all in {run.root / 'history.csv'}"]
