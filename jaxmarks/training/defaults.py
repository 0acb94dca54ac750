"""Defaults for the length of a run and its validation share, by the number of images.

A share and a number of passes that suit a large set leave a small one with 7 images to validate on and 41 steps.
"""

import dataclasses
import math

from jaxmarks import data_sets
from jaxmarks.config import AUTO_EPOCHS, AUTO_SHARE, Config

EPOCHS, LEAST_STEPS = 10.0, 600  # passes over the training split, and never fewer steps
SHARE, LEAST_HELD, MOST_SHARE = 0.05, 40, 0.2  # of the images, but so many at least, and no more than this share


def val_fraction(config: Config, images: int) -> float:
    """Return the share of the images to hold out, as configured or by their number.

    Args:
        config: the configuration.
        images: of the data set.

    Returns:
        0..0.9.
    """
    if config.val_fraction != AUTO_SHARE:
        return config.val_fraction
    if config.fold or not images:
        return SHARE
    return max(SHARE, min(round(LEAST_HELD / images, 4), MOST_SHARE))


def steps(config: Config, training: int) -> int:
    """Return the steps of a run, as configured or by the number of images.

    Args:
        config: the configuration.
        training: images of the training split.

    Returns:
        a number of steps.
    """
    if config.steps:
        return config.steps
    if config.epochs != AUTO_EPOCHS:
        return math.ceil(config.epochs * training / config.batch)
    return max(LEAST_STEPS, math.ceil(EPOCHS * training / config.batch))


def settled(config: Config, images: int, training: int) -> Config:
    """Return the configuration with numbers for what it leaves to the number of images.

    Of several data sets each has its own share held out, so that it stays open.

    Args:
        config: the configuration.
        images: of the data set.
        training: how many are trained on.

    Returns:
        the configuration.
    """
    if len(data_sets.paths(config.data)) == 1:
        config = dataclasses.replace(config, val_fraction=val_fraction(config, images))
    if config.steps or config.epochs != AUTO_EPOCHS:
        return config
    if EPOCHS * training / config.batch >= LEAST_STEPS:
        return dataclasses.replace(config, epochs=EPOCHS)
    return dataclasses.replace(config, steps=LEAST_STEPS)


def adopted(config: Config, known: Config, images: int, training: int) -> Config:
    """Return `settled` for a run that exists: what earlier versions chose is kept as well.

    Args:
        config: the configuration.
        known: the settings that the run has.
        images: of the data set.
        training: how many are trained on.

    Returns:
        the configuration.
    """
    found = settled(config, images, training)
    if config.val_fraction == AUTO_SHARE and known.val_fraction == SHARE:
        found = dataclasses.replace(found, val_fraction=SHARE)
    if not config.steps and config.epochs == AUTO_EPOCHS and (known.steps, known.epochs) == (0, EPOCHS):
        found = dataclasses.replace(found, steps=0, epochs=EPOCHS)
    return found


def unsettled(config: Config, images: int, training: int) -> Config:
    """Return the shortest configuration that `adopted` makes into a run's: without the numbers that follow by themselves.

    Args:
        config: the settings of a run.
        images: of the data set.
        training: how many are trained on.

    Returns:
        the configuration.
    """
    found = config
    for left in ({"val_fraction": AUTO_SHARE}, {"steps": 0, "epochs": AUTO_EPOCHS}):
        shorter = dataclasses.replace(found, **left)
        found = shorter if adopted(shorter, config, images, training) == config else found
    return found
