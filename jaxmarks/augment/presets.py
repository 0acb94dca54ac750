"""Augmentation presets: configurations by name.

`recipe` is the 2020 entry's table exactly; `contest` follows what its author saw in two thousand images; `light` is
what a short training gains most from; `strong` is for long ones.
"""

from jaxmarks import choices
from jaxmarks.augment.samplers import (
    Bars,
    Blur,
    Caption,
    Chain,
    Colour,
    Config,
    CutOut,
    Geometry,
    Identity,
    OneOf,
    sometimes,
)

# Effective variances of OpenCV's truncated kernels of 1, 3 and 5 taps with sigma = kernel // 2.
_KERNEL_VARIANCES = (0.0, 0.5480, 1.6635)


def _equally(*parts: Config) -> OneOf:
    return OneOf(parts, (1 / len(parts),) * len(parts))


NONE = Identity()

RECIPE = _equally(
    Geometry(rotation=(-45, 45), scale=(0.9, 1.1), shift_x=(-0.1, 0.1), shift_y=(-0.1, 0.1)),
    Geometry(crop=(0.8, 1.0)),
    Colour(brightness=(-0.3, 0.3), contrast=(0.7, 1.3)),
    _equally(*(Blur(variance) for variance in _KERNEL_VARIANCES)),
    Identity(),
)

LIGHT = Chain(
    (
        Geometry(rotation=(-15, 15), scale=(0.9, 1.1), shift_x=(-0.05, 0.05), shift_y=(-0.05, 0.05), mirror=0.5),
        Colour(brightness=(-0.1, 0.1), contrast=(0.8, 1.2)),
    )
)

CONTEST = Chain(
    (
        Geometry(
            rotation=(-20, 20),
            scale=(0.88, 1.12),
            stretch=(0.9, 1.1),
            shift_x=(-0.05, 0.05),
            shift_y=(-0.05, 0.05),
            side_view=(0, 18),
            mirror=0.5,
        ),
        sometimes(Colour(brightness=(-0.15, 0.15), contrast=(0.7, 1.3), saturation=(0.6, 1.2), grey=0.15), 0.5),
        sometimes(Blur((0.0, 1.6)), 0.15),
        sometimes(Bars(chance=0.4, depth=(0.02, 0.1)), 0.1),
        sometimes(Caption(height=(0.06, 0.12)), 0.05),
    )
)

STRONG = Chain(
    (
        Geometry(
            rotation=(-45, 45),
            scale=(0.7, 1.3),
            stretch=(0.75, 1.33),
            shear=(-0.15, 0.15),
            shift_x=(-0.12, 0.12),
            shift_y=(-0.12, 0.12),
            side_view=(0, 40),
            mirror=0.5,
        ),
        Colour(brightness=(-0.3, 0.3), contrast=(0.5, 1.5), saturation=(0, 1.5), grey=0.2, tint=(-0.2, 0.2)),
        sometimes(Blur((0.0, 4.0)), 0.3),
        sometimes(Bars(chance=0.5, depth=(0.02, 0.2)), 0.2),
        sometimes(Caption(), 0.15),
        sometimes(CutOut(), 0.3),
    )
)

PRESETS: dict[str, Config] = {name: globals()[name.upper()] for name in choices.PRESETS}


def preset(name: str) -> Config:
    """Return the configuration of a preset.

    Args:
        name: one of PRESETS.

    Returns:
        what `sample` takes.

    Raises:
        ValueError: for another name; it names the known ones.
    """
    if name not in PRESETS:
        raise ValueError(f"augmentation {name!r} is not known: choose auto, {', '.join(PRESETS)}, or a .json file")
    return PRESETS[name]
