"""Run folder: configuration, key, split and versions, written before the first step and binding afterwards."""

import json
import os
import platform
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmarks import backend, keys, landmarks, processes, words
from jaxmarks import config as configs
from jaxmarks.config import Config
from jaxmarks.landmarks import Scheme
from jaxmarks.training import defaults, recipes
from pipelines import open as opening
from pipelines.example import Source, identity
from pipelines.io import files, guesses
from pipelines.runs import split
from pipelines.shapes import schemes
from pipelines.sources import sampling_weights

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "grain", "orbax-checkpoint", "numpy", "opencv-python-headless")
_WEIGHTS = "weights.csv"
_DECISIONS = "decisions.csv"


class Run(NamedTuple):
    """An opened run."""

    root: Path
    config: Config
    key: jax.Array
    scheme: Scheme
    parts: dict[str, list[str]]
    data_identity: str
    weights: str = ""  # digest of weights.csv; empty: every image once an epoch
    origin: str = ""  # digest of the weights that it began with; empty: drawn from its key
    review: str = ""  # digest of decisions.csv; empty: every label as it is
    boxed: bool = False  # its data has bounding boxes, which it is cropped to
    sets: Sequence[Sequence[int]] = ()  # of several data sets the points of each, as `Source` has them
    point_names: Sequence[str] = ()  # of its data; empty: they have none, or it is of an older version


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: missing; is {path.parent} a run folder?")
    return files.read_sealed(path)


def versions() -> dict[str, Any]:
    """Return what bitwise equality depends on: packages, device kind and count, visible cores, flags, the processor's
    units."""
    devices, several = jax.devices(), f" of {processes.count()} processes" if processes.count() > 1 else ""
    return {
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "devices": f"{len(devices)} x {devices[0].device_kind}{several}",
        "cores": configs.cores(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "compiler_options": backend.compiler_options(),
        "instruction_sets": list(backend.instruction_sets()),
    }


def key_of(config: Config) -> jax.Array:
    """The root key of a run with this configuration."""
    return keys.root(config.seed)


def plan(root: Path, config: Config, source: Source) -> Run:
    """Return what a run of this configuration would be, with numbers for what it leaves to the number of images; writes
    nothing and reads no image. Raises ValueError if there is no such split."""
    key = key_of(config)
    parts = split.of_source(source, config, keys.root(config.split_seed) if config.split_seed >= 0 else key)
    sampling_weights.of(parts["train"], config, config.weights)  # raises what it can
    config = defaults.settled(config, len(source), len(parts["train"]))
    return Run(
        root,
        config,
        key,
        scheme_of(config, source.num_points, source.point_names, source.mirror),
        parts,
        "",
        boxed=source.boxed,
        sets=source.sets,
        point_names=source.point_names,
    )


def create(root: Path, config: Config, source: Source, origin: str = "") -> Run:
    """A new run folder: config.json last, as the sign that it is whole. origin: digest of the weights it begins with.

    Raises ValueError where checkpoints of a run lie there, whose config.json is gone: they may be of other settings.
    """
    if next(root.glob("checkpoints/*/commit.json"), None) is not None:
        raise ValueError(
            f"{root / 'config.json'} is missing, but the folder has checkpoints: restore it from a copy, or take"
            " another `name`"
        )
    _, config, key, scheme, parts, *_ = plan(root, config, source)
    root.mkdir(parents=True, exist_ok=True)
    files.write_sealed(root / "key.json", {"seed": config.seed, "key": keys.to_json(key)})
    files.write_sealed(root / "split.json", {**parts, "names_digest": split.digest(parts)})
    files.write_sealed(root / "versions.json", versions())
    described = {"config": configs.to_dict(config), "scheme": landmarks.to_data(scheme)}
    weights, decided = _kept(config.weights, root / _WEIGHTS), _kept(config.review, root / _DECISIONS)
    rest: dict[str, Any] = {"data_identity": identity(source), "weights": weights, "origin": origin, "review": decided}
    rest |= {"boxed": source.boxed, "sets": source.sets, "point_names": list(source.point_names)}
    files.write_sealed(root / "config.json", {**described, **rest})
    return load(root)


def _kept(path: str, own: Path) -> str:
    """The digest of the run's own copy of a file, made here; empty where does not exist."""
    if not path:
        return ""
    with files.whole(own) as file:
        file.write(Path(path).read_bytes())
    return files.digest(own).hex()


def write_fork(old: Run, root: Path, config: Config, parent: dict[str, Any]) -> None:
    """The files of a run that goes on from `old` under another configuration; parent: where from, kept in config.json."""
    root.mkdir(parents=True)
    stored = _read(old.root / "config.json")
    own = [name for name, known in ((_WEIGHTS, old.weights), (_DECISIONS, old.review)) if known]
    for name in ("key.json", "split.json", *own):
        (root / name).write_bytes((old.root / name).read_bytes())
    files.write_sealed(root / "versions.json", versions())
    files.write_sealed(root / "config.json", {**stored, "config": configs.to_dict(config), "parent": parent})


def scheme_of(config: Config, num_points: int, names: Sequence[str] = (), mirror: Sequence[int] = ()) -> Scheme:
    """The scheme of a configuration's file, else that of the data."""
    return (
        schemes.load_scheme(config.scheme, num_points) if config.scheme else schemes.of_data(num_points, names, mirror)
    )


def settings(flags: dict[str, Any], recipe: str = "") -> Config:
    """The configuration of a command line, checked: a recipe's, with the flags given in its place. An augmentation given as
    a .json file is taken in as text, so that a run does not depend on the file afterwards."""
    flags = recipes.settings(recipe, flags) if recipe else flags
    if flags.get("augment", "").endswith(".json"):
        path = Path(flags["augment"])
        flags = {**flags, "augment": json.dumps(files.parse_json(files.read_bytes(path), f"`augment` {path}"))}
    for name in ("data", "point_map", "pictures", "boxes", "weights", "review", "scheme", "init_from"):
        if path := flags.get(name, ""):
            flags = {**flags, name: opening.absolute(path)}
    config = Config(**flags).check()
    for name in ("scheme", "weights", "review", "boxes", "point_map"):
        if (path := getattr(config, name)) and not Path(path).is_file():
            raise ValueError(f"`{name}` {path}: does not exist")
    if (config.pictures or config.boxes or config.category) and opening.is_packed(config.data):
        raise ValueError(
            f"`data` {config.data} is packed: `pictures`, `boxes` and `category` were for prepare.py, and do nothing here"
        )
    return config


def write_faults(run: Run, lines: list[str]) -> None:
    """Add the images that could not be decoded to the run's faults.txt, one line each, by name."""
    path = run.root / "faults.txt"
    known = path.read_text(errors="replace").splitlines() if path.is_file() else []
    if set(lines) - set(known):
        with files.whole(path) as file:
            file.write("".join(f"{line}\n" for line in sorted({*known, *lines})).encode())


def finish(run: Run, step: int, digest: str) -> list[str]:
    """Write final.json, the step and digest of the last state, and say what to do with a finished run."""
    files.write_json(run.root / "final.json", {"step": step, "digest": digest})
    said, data, held_out = "next:", shlex.quote(run.config.data), "test" not in opening.parts(run.config.data)
    if held_out and not run.parts["val"]:
        said, data, held_out = "nothing of its data is held out; next, with other labelled data:", "OTHER", False
    return [
        f"{run.root} is finished at step {step}; {said}",
        f"python scripts/evaluate.py --run {run.root} --data {data} --out out.json{' --part val' * held_out}",
    ]


def folder(parent: str, name: str) -> Path:
    """The run folder of a plain name. Raises ValueError for a name that leads elsewhere."""
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"`name` {name!r} is not a plain name; `runs` gives the folder of the run folders")
    return Path(parent) / name


def parent_of(root: Path) -> dict[str, Any] | None:
    """Return the origin of a fork: run, step and digest; None for a run that is not a fork."""
    return _read(root / "config.json").get("parent")


def exists(root: Path) -> bool:
    """Return whether a run began here."""
    return (root / "config.json").is_file()


def load(root: Path) -> Run:
    """The run in a folder. Raises ValueError, naming the file, where it is missing or damaged, or of another version."""
    if not exists(root):
        raise ValueError(
            f"{root} is not a run folder ({root / 'config.json'}: missing){guesses.path(root, exists, 'runs')}"
        )
    stored, parts, sealed = (_read(root / f"{name}.json") for name in ("config", "split", "key"))
    known = stored.get("weights", ""), stored.get("origin", ""), stored.get("review", "")
    try:  # all of it is sealed, but another version or hand may have written it, or put it under another's name
        if parts.pop("names_digest") != split.digest(parts):
            raise ValueError("the digest of the names in split.json does not match")
        config, scheme = configs.from_dict(stored["config"]), landmarks.from_data(stored["scheme"])
        boxed = stored.get("boxed", bool(config.boxes))  # older runs did not keep it
        rest = stored["data_identity"], *known, boxed, stored.get("sets") or (), stored.get("point_names") or ()
        return Run(root, config, keys.from_json(sealed["key"]), scheme, parts, *rest)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__} {error}" if isinstance(error, LookupError) else str(error)
        raise ValueError(f"{root}: its files do not match a run of this version ({reason})") from None


def weights(run: Run) -> np.ndarray | None:
    """The sampling weights f64[images] of the run's training split, or None: each once an epoch."""
    own = _own(run.root / _WEIGHTS, run.weights) if run.weights else ""
    return sampling_weights.of(run.parts["train"], run.config, own)


def _own(path: Path, known: str) -> Path:
    """A run's own copy of a file, which must be as it was."""
    if not path.is_file() or files.digest(path).hex() != known:
        raise ValueError(f"{path}: missing, or not the {path.stem} that the run began with")
    return path


def resume(run: Run, asked: Config, source: Source) -> tuple[Run, list[str]]:
    """The run under operational settings as asked, and notes on what differs from before.

    Raises ValueError, with the list, where a defining setting differs or the data is not the same.
    """
    training = len(run.parts["train"])
    counts = training + len(run.parts["val"]), training
    asked = defaults.adopted(asked, run.config, *counts)
    if changed := configs.differences(run.config, asked):
        said = f"{run.root} is a run with other settings: {'; '.join(changed)}"
        raise ValueError(
            f"{said}. Take another `name`, continue from it with `fork` NAME, or give the flags it was started with:"
            f" {configs.as_flags(defaults.unsettled(run.config, *counts))}"
        )
    if asked.review and files.digest(Path(asked.review)).hex() != run.review:
        raise ValueError(f"`review` {asked.review}: not the decisions that {run.root} began with. Take another `name`")
    if asked.point_map and list(source.sets) != list(run.sets):
        raise ValueError(f"`point_map` {asked.point_map}: not the map that {run.root} began with. Take another `name`")
    check_identity(run, source, asked.data)
    if asked.weights and files.digest(Path(asked.weights)).hex() != run.weights:
        raise ValueError(f"`weights` {asked.weights}: not the weights that {run.root} began with. Take another `name`")
    if asked.init_from and asked.init_from != run.config.init_from:
        raise ValueError(f"`init_from`: {run.root} began with {run.config.init_from or 'weights drawn from its key'}")
    if asked.scheme and landmarks.to_data(scheme_of(asked, source.num_points)) != landmarks.to_data(run.scheme):
        raise ValueError(f"`scheme` {asked.scheme}: {run.root} was trained with another one. Take another `name`")
    return run._replace(config=asked, boxed=source.boxed), other_versions(run)


def other_versions(run: Run) -> list[str]:
    """Return what bitwise equality depends on and has changed since the run began, a line each. The number of devices is none
    where the run has `shards`."""
    known, now = _read(run.root / "versions.json"), versions()
    kinds = [str(each.get("devices")).partition(" x ")[2].partition(" of ")[0] for each in (known, now)]
    same = {"devices"} if run.config.shards > 1 and kinds[0] == kinds[1] else set()
    return [f"{k}: was {known.get(k)}, is {now[k]}" for k in now if known.get(k) != now[k] and k not in same]


def check_identity(run: Run, source: Source, path: str) -> None:
    """Raise ValueError unless the source holds the very records that the run was trained on."""
    if identity(source) != run.data_identity:
        raise ValueError(
            f"`data` {path}: not the data that {run.root} was trained on, or it was changed since;"
            " give that data, or train another run (train.py --name) on this"
        )


def check_same_data(one: Run, other: Run) -> None:
    """Raise ValueError unless both runs were trained on the very same records, and as many points."""
    if one.data_identity != other.data_identity or one.scheme.num_points != other.scheme.num_points:
        raise ValueError(f"{other.root} was trained on other data than {one.root}; take runs of one data set")


def check_points(run: Run, source: Source) -> None:
    """Raise ValueError unless the source has as many points as the run's network."""
    if source.num_points != run.scheme.num_points:
        raise ValueError(
            f"the data has {words.counted(source.num_points, 'point')}, {run.root} was trained on {run.scheme.num_points}:"
            f" give data of {run.scheme.num_points} points, or a run that was trained on such as these"
        )


def decided(config: Config, root: Path | None) -> Path | None:
    """The file of decisions that a configuration names, else that of the run in the folder `root`, if there is one."""
    if config.review:
        return Path(config.review)
    known = _read(root / "config.json").get("review") if root and exists(root) else None
    return _own(root / _DECISIONS, known) if root and known else None


def lock(root: Path) -> AbstractContextManager[None]:
    """One run, one writer, as long as the context lasts. Raises ValueError where another process has it."""
    return files.locked(
        root / ".lock", f"{root} is being trained by another process; wait for it, or take another `name`"
    )
