"""The run folder: its configuration, key, split and versions, written before the first step and obeyed ever after."""

import fcntl
import hashlib
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxmarks import config as configs
from jaxmarks import keys, landmarks
from jaxmarks.config import Config
from jaxmarks.landmarks import Scheme
from pipelines import files, schemes, split
from pipelines.sources import Source, Subset, identity

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "grain", "orbax-checkpoint", "numpy", "opencv-python-headless")


class Run(NamedTuple):
    """An opened run."""

    root: Path
    config: Config
    key: jax.Array
    scheme: Scheme
    parts: dict[str, list[str]]
    data_identity: str


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _write(path: Path, data: dict[str, Any]) -> None:
    files.write_json(path, {**data, "digest": _digest(data)})


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: missing; is {path.parent} a run folder?")
    data = files.read_json(path)
    if data.pop("digest", None) != _digest(data):
        raise ValueError(f"{path}: its digest does not fit its content; it was changed or damaged")
    return data


def versions() -> dict[str, Any]:
    """What the same bits depend on: packages, device kind and count, visible cores, flags."""
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def key_of(config: Config) -> jax.Array:
    """The root key of a run with this configuration."""
    return keys.root(config.seed)


def plan(root: Path, config: Config, source: Source) -> Run:
    """What a run of this configuration would be; nothing is written and no picture read."""
    key = key_of(config)
    parts = split.split(source.names, config.split_by, config.val_fraction, key)
    return Run(root, config, key, scheme_of(config, source.num_points), parts, "")


def create(root: Path, config: Config, source: Source) -> Run:
    """A new run folder: config.json last, as the sign that it is whole."""
    _, _, key, scheme, parts, _ = plan(root, config, source)
    root.mkdir(parents=True, exist_ok=True)
    _write(root / "key.json", {"seed": config.seed, "key": keys.to_json(key)})
    _write(root / "split.json", {**parts, "names_digest": split.digest(parts)})
    _write(root / "versions.json", versions())
    described = {"config": configs.to_dict(config), "scheme": landmarks.to_data(scheme)}
    _write(root / "config.json", {**described, "data_identity": identity(source)})
    return load(root)


def scheme_of(config: Config, num_points: int) -> Scheme:
    """The scheme of a configuration's file, or the known one for so many points."""
    return schemes.load_scheme(config.scheme, num_points) if config.scheme else landmarks.scheme(num_points)


def settings(flags: dict[str, Any]) -> Config:
    """The configuration of a command line, checked; an augmentation given as a .json file is taken in as text, so that a
    run does not depend on the file afterwards."""
    if flags.get("augment", "").endswith(".json"):
        path = Path(flags["augment"])
        try:
            text = json.dumps(json.loads(path.read_text()))
        except json.JSONDecodeError as error:
            raise ValueError(f"--augment {path}: not JSON ({error})") from None
        flags = {**flags, "augment": text}
    if "data" in flags and "://" not in flags["data"] and not flags["data"].startswith("drawn:"):
        flags = {**flags, "data": os.path.abspath(os.path.expanduser(flags["data"]))}
    return Config(**flags).check()


def folder(parent: str, name: str) -> Path:
    """The run folder of a plain name. Raises ValueError for a name that leads elsewhere."""
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"--name {name!r} is not a plain name; --runs says where run folders lie")
    return Path(parent) / name


def exists(root: Path) -> bool:
    """Whether a run began here."""
    return (root / "config.json").is_file()


def load(root: Path) -> Run:
    """The run in a folder. Raises ValueError, naming the file, where it is missing or damaged."""
    stored, parts = _read(root / "config.json"), _read(root / "split.json")
    if parts.pop("names_digest") != split.digest(parts):
        raise ValueError(f"{root / 'split.json'}: the digest of the names does not fit")
    key = keys.from_json(_read(root / "key.json")["key"])
    config = configs.from_dict(stored["config"])
    scheme = landmarks.from_data(stored["scheme"])
    return Run(root, config, key, scheme, parts, stored["data_identity"])


def resume(run: Run, asked: Config, source: Source) -> tuple[Run, list[str]]:
    """The run under operational settings as asked, and notes on what differs from before.

    Raises ValueError, with the list, where a defining setting differs or the data is not the same.
    """
    if changed := configs.differences(run.config, asked):
        raise ValueError(f"{run.root} is a run with other settings: {'; '.join(changed)}. Take another --name")
    check_identity(run, source, asked.data)
    if asked.scheme and landmarks.to_data(scheme_of(asked, source.num_points)) != landmarks.to_data(run.scheme):
        raise ValueError(
            f"--scheme {asked.scheme}: not the scheme that {run.root} was trained with. Take another --name"
        )
    known, now = _read(run.root / "versions.json"), versions()
    notes = [f"{k}: was {known.get(k)}, is {now[k]}" for k in now if known.get(k) != now[k]]
    return run._replace(config=asked), notes


def check_identity(run: Run, source: Source, path: str) -> None:
    """Raises ValueError unless the source holds the very records that the run was trained on."""
    if identity(source) != run.data_identity:
        raise ValueError(f"--data {path}: not the data that {run.root} was trained on, or it was changed since")


def check_points(run: Run, source: Source) -> None:
    """Raises ValueError unless the source has as many points as the run's network."""
    if source.num_points != run.scheme.num_points:
        raise ValueError(f"the data has {source.num_points} points, {run.root} was trained on {run.scheme.num_points}")


def part(run: Run, source: Source, name: str) -> Subset:
    """The photographs of `train` or `val` as split.json has them. Raises ValueError where one is gone."""
    places = {n: i for i, n in enumerate(source.names)}
    if gone := [n for n in run.parts[name] if n not in places]:
        raise ValueError(
            f"{run.root / 'split.json'} names {gone[0]}, which the data does not have ({len(gone)} in all)"
        )
    return Subset(source, [places[n] for n in run.parts[name]])


def lock(root: Path) -> Any:
    """One run, one writer: an open file that holds the lock. Raises ValueError where another process has it."""
    root.mkdir(parents=True, exist_ok=True)
    file = open(root / ".lock", "w")  # noqa: SIM115  held until the process ends
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ValueError(f"{root} is being trained by another process; wait for it, or take another --name") from None
    return file
