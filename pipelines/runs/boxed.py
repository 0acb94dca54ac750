"""Bounding boxes of a run, checked against those of the data and of other runs."""

import logging

from jaxmarks import words
from pipelines.example import Source
from pipelines.runs.run_folder import Run

_log = logging.getLogger("jaxmarks")


def check(run: Run, source: Source) -> None:
    """Raise ValueError where a run was trained on bounding boxes and the source has none. One of several data sets, some
    of which may have none, takes both."""
    if run.boxed and not source.boxed and len(run.sets) < 2:
        raise ValueError(
            f"{run.root} was trained on bounding boxes, and these images have none: give `boxes` (file_name, x, y,"
            " width, height; for a packed set to prepare.py), or train a run on whole images"
        )


def cropped(run: Run, source: Source) -> Source:
    """The source, whose images are cropped as those that the run was trained on. Raises as `check`; says so where
    the run is one on whole images and the source has boxes, to which they are cropped all the same."""
    check(run, source)
    if run.boxed and not source.boxed:
        _log.warning(
            "%s was trained on several data sets, some with bounding boxes; these images have none and are seen whole, as"
            " those of its sets without: if all of them had boxes, give `boxes`",
            run.root,
        )
    if source.boxed and not run.boxed:
        _log.warning(
            "%s is a run on whole images, by its config.json; bounding boxes are given (%s), and images are cropped to them,"
            " which is not what it was trained on",
            run.root,
            words.counted(len(source), "image"),
        )
    return source


def check_same(one: Run, other: Run) -> None:
    """Raise ValueError where of two runs one was trained on bounding boxes and the other not, or with another margin."""
    if one.boxed != other.boxed:
        whole, boxed = sorted((one, other), key=lambda run: run.boxed)
        raise ValueError(
            f"{boxed.root} was trained on bounding boxes, {whole.root} on whole images: they cannot be combined"
        )
    if (ours := one.config.box_margin) != (theirs := other.config.box_margin):
        raise ValueError(f"{other.root} has `box_margin` {theirs:g}, {one.root} {ours:g}: they cannot be combined")
