"""Recipes: named settings for training, which given flags override.

The first seven are the 2020 entry's own experiments, the last two ours: `small` is the row `baseline` of the table in
docs/training.md; `large` carries its settings to what the contest's best entries trained on, and was never trained.
"""

from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """A line about it, the fields of `Config` that it sets, and whether it must be given weights to start from."""

    about: str
    settings: dict[str, Any]
    needs_weights: bool = False


_ENTRY = {
    "model": "resnet50", "size": 128, "augment": "recipe", "loss": "smooth_l1", "trim_top": 0.01, "trim_keep": 0.3,
    "schedule": "plateau", "plateau_factor": 0.8, "plateau_patience": 0.25, "lr": 1e-2, "weight_decay": 1e-2,
}  # fmt: skip
_PLAIN = {"augment": "none", "loss": "l2", "weight_decay": 0.0, "clip": 0.0, "warmup": 0}
_OURS = {"augment": "auto", "loss": "smooth_l1", "schedule": "cosine", "lr": 1e-3, "weight_decay": 1e-2, "clip": 1.0}

NAMES: dict[str, Recipe] = {
    "baseline": Recipe(
        "the organisers': ResNet18, squared error, Adam at 1e-3, nothing else",
        {"model": "resnet18", **_PLAIN, "schedule": "constant", "lr": 1e-3},
    ),
    "resnet18-epoch": Recipe(
        "the entry's first: ResNet18 for one epoch", {**_ENTRY, "model": "resnet18", "epochs": 1.0}
    ),
    "inception-v3": Recipe(
        "Inception v3 at its own size, auxiliary head", {**_ENTRY, "model": "inception_v3", "size": 299}
    ),
    "resnet50": Recipe("the entry's main line: ResNet50, augmenters, trim band, plateau", _ENTRY),
    "undecayed": Recipe(
        "the same without weight decay, which overfitted with huge weights", {**_ENTRY, "weight_decay": 0.0}
    ),
    "freeze-thaw": Recipe(
        "head first, for an epoch, then all at a tenth of the rate",
        {**_ENTRY, "lr": 1e-3, "freeze": 1.0, "thaw_lr": 0.1},
        needs_weights=True,
    ),
    "finetune-enme": Recipe(
        "a trained run taken further with ENME at 1e-4",
        {**_ENTRY, "loss": "enme", "loss_unit": "face", "lr": 1e-4, "trim_top": 0.0, "trim_keep": 1.0},
        needs_weights=True,
    ),
    "small": Recipe(
        "ours for minutes on a laptop: ResNet18 at 64 px, 600 steps, mirrored light augmentation, cosine",
        {**_OURS, "model": "resnet18", "size": 64, "steps": 600},
    ),
    "large": Recipe(
        "ours for a GPU: ResNet50 at 224 px, augmented after the contest, long; never trained",
        {**_OURS, "model": "resnet50", "size": 224, "epochs": 60.0, "ema": 0.999, "augment": "contest", "warmup": 1000},
    ),
}


def settings(name: str, flags: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a recipe sets, with those that were given in their place.

    Args:
        name: one of NAMES.
        flags: values by field that were given.

    Returns:
        values by field.

    Raises:
        ValueError: in one line, for an unknown name, and where a recipe that starts from weights is given none.
    """
    if name not in NAMES:
        raise ValueError(f"`recipe` {name!r} is not known: choose one of {', '.join(NAMES)}")
    if NAMES[name].needs_weights and not flags.get("init_from"):
        raise ValueError(f"`recipe` {name} starts from weights: give them as `init_from`, a run or a file")
    return over(NAMES[name].settings, flags)


def over(settings: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Return settings with given flags in their place.

    Of the two that say how long a run is, epochs and steps, what the flags leave out no longer counts where they give
    the other.

    Args:
        settings: values by field.
        flags: values by field that were given.

    Returns:
        values by field.
    """
    longs = {"epochs", "steps"}
    kept = {n: v for n, v in settings.items() if n not in longs or not longs & flags.keys()}
    return {**kept, **flags}
