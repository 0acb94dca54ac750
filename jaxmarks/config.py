"""Configuration of a run: a frozen record, its command line, and its form on disk.

Each field is `defining` (a resumed run with another value is rejected) or operational (it may change between sessions).
"""

import argparse
import dataclasses
import math
import os
import shlex
import typing
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxmarks import choices, data_sets

SCHEDULES = ("cosine", "plateau", "onecycle", "constant")
PRECISIONS = ("float32", "bfloat16", "tf32")
STORES = ("auto", "device", "host", "disk", "none")
LOSS_UNITS = ("crop", "photo", "face")
GROUPS = {  # of the fields, as --help shows them
    "data": "data shares point_map pictures boxes category box_margin weights review cache max_faults size canvas batch"
    " shards workers store",
    "split": "val_fraction near_duplicates split_by fold split_seed",
    "model": "model init_from precision deterministic accumulate freeze ema",
    "augment": "augment scheme",
    "loss": "loss loss_unit trim_top trim_keep",
    "optimizer": "lr warmup backbone_lr thaw_lr weight_decay clip schedule plateau_factor plateau_patience",
    "run": "seed epochs steps val_every log_every save_minutes",
}
MAX_WORKERS = 256
AUTO_EPOCHS, AUTO_SHARE = 0.0, -1.0  # of --epochs and --val-fraction: by the number of images, see `defaults`


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _defining(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help, "defining": True})


def _operational(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help, "defining": False})


@dataclass(frozen=True)
class Config:
    """Everything that makes a run what it is. `check` raises ValueError in one line."""

    data: str = _operational(
        "drawn:4000",
        "a data set's folder or file, or drawn:COUNT[:POINTS]; its content, not its path, defines the run; several: once each",
    )
    shares: str = _defining(
        "", "of several data sets the share of each in the draws of an epoch, as 0.7,0.3; none: by their images"
    )
    point_map: str = _operational("", "of several data sets which points are the same: JSON, see docs/data.md")
    pictures: str = _operational("", "image folder, if it is not the format's own")
    boxes: str = _operational("", "CSV of bounding boxes: file_name,x,y,width,height")
    category: str = _operational("", "COCO: the category to read, by name or id, if several have keypoints")
    box_margin: float = _defining(0.25, "margin on each side of a box, as a share of its longer side")
    weights: str = _operational("", "CSV of sampling weights: file_name,weight; a run keeps a copy")
    review: str = _operational("", "decisions.csv of the review page: labels excluded or replaced; a run keeps a copy")
    cache: bool = _operational(True, "pack a data set into the cache on first use")
    max_faults: int = _operational(100, "undecodable images before the run stops")
    seed: int = _defining(0, "seed of the root key, from which every random number derives")
    model: str = _defining("resnet50", f"backbone: {', '.join(choices.MODELS)}")
    init_from: str = _operational(
        "", "weights to start from: a run's folder, or torchvision's .pth or .safetensors; its content defines the run"
    )
    precision: str = _defining(
        "float32", f"precision of the backbone: {', '.join(PRECISIONS)}; parameters, losses, points stay float32"
    )
    deterministic: bool = _operational(False, "bitwise reproducible on a GPU too, at some cost; a CPU always is")
    size: int = _defining(128, "side of the network's input in pixels")
    canvas: float = _defining(1.25, "side of the canvas relative to the input's; augmentation may show the rest")
    batch: int = _defining(32, "images a step, over all devices")
    accumulate: int = _defining(
        1, "micro-batches in which a batch passes through the network, one after the other, to save memory"
    )
    shards: int = _defining(
        1, "equal parts of a batch, a power of two; above 1 a run is the same on any number of devices that share them"
    )
    epochs: float = _defining(AUTO_EPOCHS, "epochs, if `steps` is 0; 0: 10 epochs, but at least 600 steps")
    steps: int = _defining(0, "training steps; 0: by `epochs`")
    augment: str = _defining(
        "auto", f"auto, {', '.join(choices.PRESETS)}, or a JSON file; auto: light, mirrored where known"
    )
    scheme: str = _operational(
        "", "scheme file with the mirror permutation (scripts/symmetry.py); 971, 68 and 5 are built in"
    )
    loss: str = _defining("smooth_l1", f"loss: {', '.join(choices.LOSSES)}")
    loss_unit: str = _defining("crop", f"unit of the residuals: {', '.join(LOSS_UNITS)}")
    trim_top: float = _defining(0.0, "share of the batch with the largest losses that is left out")
    trim_keep: float = _defining(1.0, "end of the trim band: 0.3 leaves out the easiest 70 percent")
    lr: float = _defining(1e-3, "learning rate of AdamW after warm-up")
    warmup: int = _defining(50, "warm-up steps from rate 0; onecycle has its own")
    backbone_lr: float = _defining(1.0, "factor on the backbone's rate; the head's is `lr`")
    freeze: float = _defining(0.0, "epochs for which the backbone, its running statistics too, is frozen")
    thaw_lr: float = _defining(1.0, "factor on every rate once the backbone is thawed")
    ema: float = _defining(0.0, "decay of the moving average of the weights, used to validate and predict; 0: none")
    weight_decay: float = _defining(1e-2, "AdamW's decay, on kernels only")
    clip: float = _defining(1.0, "gradient clipping norm, in head units; 0: none")
    schedule: str = _defining("cosine", f"schedule of the rate: {', '.join(SCHEDULES)}")
    plateau_factor: float = _defining(0.8, "factor on the rate when the smoothed batch loss stops falling")
    plateau_patience: float = _defining(0.25, "patience of the plateau schedule, in epochs")
    val_fraction: float = _defining(
        AUTO_SHARE, "share of the images held out for validation; -1: 0.05, but 40 images at least, and 0.2 at most"
    )
    near_duplicates: bool = _defining(True, "keep near-duplicate images on one side of the split")
    split_by: str = _defining("", "regular expression whose match in a file name is a group, kept on one side")
    fold: str = _defining("", "K/N: the groups are cut into N parts, and the K-th is the validation split")
    split_seed: int = _defining(
        -1,
        "seed of the split; runs that share it hold out the same images, as ensembles with fitted weights need; -1: `seed`",
    )
    val_every: int = _operational(0, "steps between validations; 0: after each epoch")
    log_every: int = _operational(20, "steps between lines of the log")
    save_minutes: float = _operational(5.0, "minutes between checkpoints")
    workers: int = _operational(0, "decoding threads; 0: the cores that this process may use")
    store: str = _operational(
        "auto",
        f"where canvases stay once they were decoded: {', '.join(STORES)}; auto: the first of which half has room for them",
    )

    @property
    def threads(self) -> int:
        """Decoding threads: `workers`, or as many as there are cores for this process."""
        return self.workers or min(cores(), MAX_WORKERS)

    @property
    def divisible(self) -> int:
        """Count that the number of devices must divide: the shards, or else the images of a micro-batch."""
        return self.shards if self.shards > 1 else self.batch // self.accumulate

    @property
    def fold_of(self) -> tuple[int, int] | None:
        """The part of the groups that validates, from 1, and of how many; None where `val_fraction` says what does.

        Raises:
            ValueError: for a `fold` that is not K/N.
        """
        which, _, of = self.fold.partition("/")
        digits = which.isascii() and which.isdigit() and of.isascii() and of.isdigit()
        if self.fold and not (digits and 1 <= int(which) <= int(of) <= 1000 and int(of) > 1):
            raise ValueError(f"`fold` {self.fold!r}: expected K/N with K in 1..N and N in 2..1000, as 1/3")
        return (int(which), int(of)) if self.fold else None

    def check(self) -> "Config":
        """Return the configuration itself, if every value is one that a run can have.

        Raises:
            ValueError: in one line that names the field.
        """
        from jaxmarks import augment, losses  # JAX, which a command line is read without

        _choice("model", self.model, choices.MODELS)
        _choice("loss", self.loss, choices.LOSSES)
        augment.check(self.augment)
        _choice("schedule", self.schedule, SCHEDULES)
        _choice("store", self.store, STORES)
        _choice("precision", self.precision, PRECISIONS)
        _choice("loss_unit", self.loss_unit, LOSS_UNITS)
        _ = self.fold_of  # raises if invalid
        of_one = {name: getattr(self, name) for name in ("pictures", "boxes", "category")}
        data_sets.check(self.data, self.shares, self.point_map, of_one)
        losses.check_band(self.trim_top, self.trim_keep)
        limits = {
            "size": (32, 1024), "canvas": (1, 4), "batch": (1, 65536), "epochs": (0, 1e6), "steps": (0, 10**9),
            "lr": (1e-9, 10), "warmup": (0, 10**6), "weight_decay": (0, 10), "clip": (0, 1e9), "seed": (0, 2**32 - 1),
            "plateau_factor": (0.01, 0.99), "plateau_patience": (1e-6, 1e6), "val_fraction": (AUTO_SHARE, 0.9),
            "val_every": (0, 10**9), "log_every": (1, 10**6), "save_minutes": (0.01, 1e6), "workers": (0, MAX_WORKERS),
            "box_margin": (0, 4), "max_faults": (0, 10**9), "accumulate": (1, 4096), "backbone_lr": (0, 1e3),
            "freeze": (0, 1e6), "thaw_lr": (1e-9, 1e3), "ema": (0, 0.999999), "split_seed": (-1, 2**32 - 1), "shards": (1, 4096),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"`{name}` must lie in {_bound(low)}..{_bound(high)}, got {value}")
        if AUTO_SHARE < self.val_fraction < 0:
            raise ValueError(f"`val_fraction` must lie in 0..0.9, or be -1 (by the number), got {self.val_fraction}")
        if self.accumulate > 1 and (self.trim_top, self.trim_keep) != (0, 1):
            raise ValueError(
                "`accumulate` with a trim band is rejected: the band is of the whole batch, seen in micro-batches"
            )
        if self.accumulate > 1 and self.shards > 1:
            raise ValueError(
                "`accumulate` with `shards` is rejected: a device takes its shards one after the other, as micro-batches"
            )
        if self.accumulate > 1 and self.batch // self.accumulate < 2:
            raise ValueError(
                f"`accumulate` {self.accumulate} leaves micro-batches of one image, too few for batch norm"
            )
        if self.batch % self.accumulate:
            raise ValueError(f"`accumulate` {self.accumulate} does not divide `batch` {self.batch}")
        return self


def _bound(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _choice(name: str, value: str, known) -> None:
    if value not in known:
        raise ValueError(f"`{name}` {value!r} is not known: choose one of {', '.join(known)}")


def flag(name: str) -> str:
    """Return the flag of a field.

    Args:
        name: of a field of Config, as "val_every".

    Returns:
        its flag, as "--val-every".
    """
    return f"--{name.replace('_', '-')}"


def add_arguments(parser: argparse.ArgumentParser, hidden: Collection[str] = ()) -> None:
    """Add a flag for each field of Config, by group; flags that are not given are left out of the namespace.

    Args:
        parser: what the flags are added to.
        hidden: fields that are not shown in the help.
    """
    hints, fields = typing.get_type_hints(Config), {f.name: f for f in dataclasses.fields(Config)}
    for title, names in GROUPS.items():
        group = parser.add_argument_group(title)
        for f in (fields[name] for name in names.split()):
            options: dict[str, Any] = {"type": hints[f.name], "metavar": f.name.upper()}
            if f.name == "data":
                options["action"] = data_sets.Several
            if hints[f.name] is bool:
                options = {"action": argparse.BooleanOptionalAction}
            text = f"{f.metadata['help']} (default: {f.default if f.default != '' else 'none'})"
            text = argparse.SUPPRESS if f.name in hidden else text
            group.add_argument(flag(f.name), default=argparse.SUPPRESS, help=text, **options)


def to_dict(config: Config) -> dict[str, Any]:
    """Return the fields as plain data.

    Args:
        config: the configuration.

    Returns:
        a value for each field.
    """
    return dataclasses.asdict(config)


def from_dict(data: dict[str, Any]) -> Config:
    """Return the configuration that `to_dict` wrote.

    Args:
        data: values by field; those that are missing keep their defaults.

    Returns:
        the configuration, not checked by `Config.check`.

    Raises:
        ValueError: for a field that is not known, or a value of another type.
    """
    known = {f.name for f in dataclasses.fields(Config)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"unknown fields in the configuration: {', '.join(unknown)}")
    for name, kind in typing.get_type_hints(Config).items():
        known = {float: (int, float)}.get(kind, (kind,))
        if name in data and kind in (str, int, float, bool) and type(data[name]) not in known:
            raise ValueError(f"{name} must be of type {kind.__name__}, got {str(data[name])[:40]!r}")
    return Config(**data)


def differences(old: Config, new: Config) -> list[str]:
    """Return the defining fields in which two configurations differ.

    More steps are no difference unless the schedule counts them, nor are epochs beside steps.

    Args:
        old: the run's.
        new: the one that is asked for.

    Returns:
        a line each; empty where none differs.
    """
    counted = {"cosine", "onecycle"} & {old.schedule, new.schedule}
    free = () if counted else ("steps", "epochs")
    if old.steps and new.steps:  # which decide
        free = (*free, "epochs")
    names = [f.name for f in dataclasses.fields(Config) if f.metadata["defining"] and f.name not in free]
    changed = [n for n in names if getattr(old, n) != getattr(new, n)]
    return [f"`{n}`: the run has {getattr(old, n)!r}, got {getattr(new, n)!r}" for n in changed]


def unusual(config: Config) -> list[str]:
    """Return the settings that are not the defaults, for a person.

    Args:
        config: the configuration.

    Returns:
        one line; empty where all are the defaults.
    """
    return [f"settings: {said}"] if (said := as_flags(config)) else []


def as_flags(config: Config) -> str:
    """Return the settings that are not the defaults, as flags that a shell takes.

    Args:
        config: the configuration.

    Returns:
        the flags on one line; empty where all are the defaults.
    """
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changed = {f.name: values[f.name] for f in dataclasses.fields(config) if values[f.name] != f.default}
    return " ".join(
        (flag(name) if value else flag(f"no_{name}"))
        if isinstance(value, bool)
        else f"{flag(name)} {shlex.quote(str(value))}"
        for name, value in changed.items()
    )
