"""The configuration of a run: one frozen record, its command line, and its form on disk.

Each field is `defining` (a resumed run with another value is rejected) or operational (it may change between sessions).
"""

import argparse
import dataclasses
import math
import shlex
import typing
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxmarks import choices

SCHEDULES = ("cosine", "plateau", "onecycle", "constant")
PRECISIONS = ("float32", "bfloat16", "tf32")
LOSS_UNITS = ("crop", "photo", "face")
AUTO_EPOCHS, AUTO_SHARE = 0.0, -1.0  # of --epochs and --val-fraction: by the number of images, see `defaults`


def _defining(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help, "defining": True})


def _operational(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help, "defining": False})


@dataclass(frozen=True)
class Config:
    """Everything that makes a run what it is. `check` raises ValueError in one line."""

    data: str = _operational(
        "drawn:4000", "a data set's folder or file, or drawn:COUNT[:POINTS]; its content defines the run, not its path"
    )
    pictures: str = _operational("", "the folder of the images, where the data's format does not say")
    boxes: str = _operational("", "CSV of file_name,x,y,width,height: what part of each image to look at")
    category: str = _operational("", "COCO: the category to read, by name or id, where several have keypoints")
    box_margin: float = _defining(0.25, "what is added on each side of a box, as a share of its longer side")
    weights: str = _operational("", "CSV of file_name,weight: how often images are drawn; kept in the run folder")
    review: str = _operational(
        "", "decisions.csv of the review page: labels left out or replaced; kept in the run folder"
    )
    cache: bool = _operational(True, "pack a data set into the cache when it is first used")
    max_faults: int = _operational(100, "images that may turn out to be undecodable before the run stops")
    seed: int = _defining(0, "root key of the run: every random number follows from it")
    model: str = _defining("resnet50", f"backbone: {', '.join(choices.MODELS)}")
    init_from: str = _operational(
        "", "weights to start from: a run's folder, or torchvision's .pth or .safetensors; its content defines the run"
    )
    precision: str = _defining(
        "float32", f"of the backbone's computation: {', '.join(PRECISIONS)}; parameters, losses, points stay float32"
    )
    deterministic: bool = _operational(False, "the same bits on a GPU too, at some cost; a CPU gives them anyway")
    size: int = _defining(128, "side of the network's input in pixels")
    canvas: float = _defining(
        1.25, "side of the decoded square over the input's; the rest is what augmentation may show"
    )
    batch: int = _defining(32, "images a step, over all devices")
    accumulate: int = _defining(
        1, "parts in which a batch passes through the network, one after the other, to save memory"
    )
    epochs: float = _defining(
        AUTO_EPOCHS, "passes over the training split, where --steps is 0; 0: 10 passes, and 600 steps at least"
    )
    steps: int = _defining(0, "training steps; 0: by --epochs")
    augment: str = _defining(
        "auto", f"auto, {', '.join(choices.PRESETS)}, or a JSON file; auto: light, mirrored where known"
    )
    scheme: str = _operational(
        "", "file that says how the points mirror (scripts/symmetry.py); 971, 68 and 5 are known"
    )
    loss: str = _defining("smooth_l1", f"loss: {', '.join(choices.LOSSES)}")
    loss_unit: str = _defining("crop", f"unit of the residuals: {', '.join(LOSS_UNITS)}")
    trim_top: float = _defining(0.0, "share of the batch with the largest loss that is left out")
    trim_keep: float = _defining(1.0, "where the trained band ends: 0.3 leaves the easiest 70 percent out")
    lr: float = _defining(1e-3, "learning rate of AdamW, after the warm-up")
    warmup: int = _defining(50, "steps over which the rate rises from 0; onecycle has its own")
    backbone_lr: float = _defining(1.0, "factor on the backbone's rate; the head's is --lr")
    freeze: float = _defining(0.0, "epochs for which the backbone, its running statistics too, stands still")
    thaw_lr: float = _defining(1.0, "factor on every rate once the backbone is thawed")
    ema: float = _defining(0.0, "decay of the moving average of the weights that is validated and predicts; 0: none")
    weight_decay: float = _defining(1e-2, "AdamW's decay, on kernels only")
    clip: float = _defining(1.0, "largest norm of the gradient, in head units; 0: none")
    schedule: str = _defining("cosine", f"of the rate: {', '.join(SCHEDULES)}")
    plateau_factor: float = _defining(0.8, "the rate times this when the smoothed batch loss no longer falls")
    plateau_patience: float = _defining(0.25, "how long that may last, in epochs")
    val_fraction: float = _defining(
        AUTO_SHARE, "share of the images held out for validation; -1: 0.05, but 40 images at least, and 0.2 at most"
    )
    near_duplicates: bool = _defining(True, "images that are nearly the same stay on one side of the split")
    split_by: str = _defining("", "regular expression: what it finds in a file name is a group, kept on one side")
    fold: str = _defining(
        "", "K/N: the groups are cut into N parts, and the K-th validates, whatever --val-fraction says"
    )
    split_seed: int = _defining(
        -1,
        "runs that share it hold out the same images, so that they can be mixed with fitted weights; -1: --seed",
    )
    val_every: int = _operational(0, "steps between validations; 0: after each epoch")
    log_every: int = _operational(20, "steps between lines of the log")
    save_minutes: float = _operational(5.0, "minutes between checkpoints")
    workers: int = _operational(4, "decoding threads")

    @property
    def fold_of(self) -> tuple[int, int] | None:
        """(which part validates, from 1, and of how many), or None where --val-fraction says what does."""
        which, _, of = self.fold.partition("/")
        digits = which.isascii() and which.isdigit() and of.isascii() and of.isdigit()
        if self.fold and not (digits and 1 <= int(which) <= int(of) <= 1000 and int(of) > 1):
            raise ValueError(f"--fold {self.fold!r}: expected K/N with K in 1..N and N in 2..1000, as 1/3")
        return (int(which), int(of)) if self.fold else None

    def check(self) -> "Config":
        """Itself, if every value is one that a run can have."""
        from jaxmarks import augment, losses  # JAX, which a command line is read without

        _choice("model", self.model, choices.MODELS)
        _choice("loss", self.loss, choices.LOSSES)
        augment.check(self.augment)
        _choice("schedule", self.schedule, SCHEDULES)
        _choice("precision", self.precision, PRECISIONS)
        _choice("loss-unit", self.loss_unit, LOSS_UNITS)
        _ = self.fold_of  # raises what is none
        losses.check_band(self.trim_top, self.trim_keep)
        limits = {
            "size": (32, 1024), "canvas": (1, 4), "batch": (1, 65536), "epochs": (0, 1e6), "steps": (0, 10**9),
            "lr": (1e-9, 10), "warmup": (0, 10**6), "weight_decay": (0, 10), "clip": (0, 1e9), "seed": (0, 2**32 - 1),
            "plateau_factor": (0.01, 0.99), "plateau_patience": (1e-6, 1e6), "val_fraction": (AUTO_SHARE, 0.9),
            "val_every": (0, 10**9), "log_every": (1, 10**6), "save_minutes": (0.01, 1e6), "workers": (1, 256),
            "box_margin": (0, 4), "max_faults": (0, 10**9), "accumulate": (1, 4096), "backbone_lr": (0, 1e3),
            "freeze": (0, 1e6), "thaw_lr": (1e-9, 1e3), "ema": (0, 0.999999), "split_seed": (-1, 2**32 - 1),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"--{name.replace('_', '-')} must lie in {_bound(low)}..{_bound(high)}, got {value}")
        if AUTO_SHARE < self.val_fraction < 0:
            raise ValueError(f"--val-fraction must lie in 0..0.9, or be -1 (by the number), got {self.val_fraction}")
        if self.accumulate > 1 and (self.trim_top, self.trim_keep) != (0, 1):
            raise ValueError("--accumulate with a trim band is refused: the band is of the whole batch, seen in parts")
        if self.accumulate > 1 and self.batch // self.accumulate < 2:
            raise ValueError(f"--accumulate {self.accumulate} leaves parts of one image, too few for batch norm")
        if self.batch % self.accumulate:
            raise ValueError(f"--accumulate {self.accumulate} does not divide --batch {self.batch}")
        return self


def _bound(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _choice(name: str, value: str, known) -> None:
    if value not in known:
        raise ValueError(f"--{name} {value!r} is not known: choose one of {', '.join(known)}")


def add_arguments(parser: argparse.ArgumentParser, hidden: Collection[str] = ()) -> None:
    """A flag for each field, absent ones left out of the namespace; `hidden` fields are not in the help."""
    hints = typing.get_type_hints(Config)
    for f in dataclasses.fields(Config):
        shown = (
            argparse.SUPPRESS
            if f.name in hidden
            else f"{f.metadata['help']} (default: {f.default if f.default != '' else 'none'})"
        )
        if hints[f.name] is bool:
            flag = f"--{f.name.replace('_', '-')}"
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=shown)
            continue
        parser.add_argument(
            f"--{f.name.replace('_', '-')}",
            type=hints[f.name],
            default=argparse.SUPPRESS,
            help=shown,
            metavar=f.name.upper(),
        )


def to_dict(config: Config) -> dict[str, Any]:
    """The fields as plain data."""
    return dataclasses.asdict(config)


def from_dict(data: dict[str, Any]) -> Config:
    """The inverse of `to_dict`; raises ValueError on a field that is not known, or a value of another type."""
    known = {f.name for f in dataclasses.fields(Config)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"unknown fields in the configuration: {', '.join(unknown)}")
    for name, kind in typing.get_type_hints(Config).items():
        known = {float: (int, float)}.get(kind, (kind,))
        if name in data and kind in (str, int, float, bool) and type(data[name]) not in known:
            raise ValueError(f"{name} must be of type {kind.__name__}, got {str(data[name])[:40]!r}")
    return Config(**data)


def differences(old: Config, new: Config) -> list[str]:
    """The defining fields that differ, one line each. More steps are no difference unless the schedule counts them, nor are
    epochs beside steps."""
    counted = {"cosine", "onecycle"} & {old.schedule, new.schedule}
    free = () if counted else ("steps", "epochs")
    if old.steps and new.steps:  # which decide
        free = (*free, "epochs")
    names = [f.name for f in dataclasses.fields(Config) if f.metadata["defining"] and f.name not in free]
    changed = [n for n in names if getattr(old, n) != getattr(new, n)]
    return [f"--{n.replace('_', '-')}: the run has {getattr(old, n)!r}, got {getattr(new, n)!r}" for n in changed]


def unusual(config: Config) -> list[str]:
    """The settings that are not the defaults, on one line; none where all are."""
    return [f"settings: {said}"] if (said := as_flags(config)) else []


def as_flags(config: Config) -> str:
    """The settings that are not the defaults, as flags that a shell takes; empty where all are."""
    changed = {f.name.replace("_", "-"): getattr(config, f.name) for f in dataclasses.fields(config)
               if getattr(config, f.name) != f.default}  # fmt: skip
    return " ".join(
        f"--{'' if value else 'no-'}{name}" if isinstance(value, bool) else f"--{name} {shlex.quote(str(value))}"
        for name, value in changed.items()
    )
