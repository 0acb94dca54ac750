"""Python interface to trained runs: one object that takes images and returns points.

```python
from pipelines import predictor
net = predictor.load("runs/mine")
points, spread = net.predict([image, another])      # u8 RGB of any size; both in pixels of each image
```
"""

import argparse
import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import experiment, inference, landmarks, tta, words
from jaxmarks.evaluation import calibration, metrics
from jaxmarks.inference import Predicted
from jaxmarks.landmarks import Scheme
from pipelines import loader
from pipelines.example import Source
from pipelines.inference import ensemble, fitted, fitting, predictions, settings
from pipelines.inference.ensemble import Batches, Ensemble
from pipelines.inference.fitted import Fitted
from pipelines.inference.fitting import Watch
from pipelines.inference.settings import Settings
from pipelines.runs import boxed, restore
from pipelines.runs.run_folder import Run
from pipelines.sources.arrays import Arrays


class Landmarks(NamedTuple):
    """The result of `Predictor.predict`, in pixels of each image."""

    points: np.ndarray  # f64[n, points, 2]
    spread: np.ndarray  # f64[n, points]  the expected error of each point; NaN where the run is not calibrated


@dataclass(frozen=True, repr=False)
class Predictor:
    """An ensemble, how it predicts, and what was fitted for that; made by `load` or `open_runs`."""

    ensemble: Ensemble
    settings: Settings
    fit: Fitted
    remarks: list[str]  # what a person should know, a line each

    def __repr__(self) -> str:
        runs = ", ".join(f"{t.run.root} at step {t.commit.step}" for t in self.ensemble.runs)
        points, views = words.counted(self.scheme.num_points, "point"), words.counted(self.ensemble.views, "view")
        return f"<Predictor of {runs}: {points}, {views} ({self.settings.tta[:60]})>"

    @property
    def run(self) -> Run:
        """The first member's run."""
        return self.ensemble.runs[0].run

    @property
    def plan(self) -> experiment.Experiment:
        """The first member's experiment."""
        return self.ensemble.runs[0].plan

    @property
    def steps(self) -> list[int]:
        """The step of each member's checkpoint."""
        return [t.commit.step for t in self.ensemble.runs]

    @property
    def purpose(self) -> dict:
        """All that predictions depend on beside the images, as plain data."""
        return settings.purpose(self.ensemble, self.settings)

    @property
    def about(self) -> dict:
        """The `purpose` and the fit itself, as plain data."""
        return {"purpose": self.purpose, "fit": fitted.to_data(self.fit)}

    @property
    def scheme(self) -> Scheme:
        """The scheme of the points: how many, how they mirror, their regions, the norm of NME."""
        return self.run.scheme

    def predict(
        self, images: Iterable[np.ndarray] | np.ndarray, boxes: Sequence[Sequence[float]] | np.ndarray | None = None
    ) -> Landmarks:
        """Return the landmarks of images.

        Args:
            images: u8[h, w, 3], RGB, each of any size.
            boxes: f[n, 4], x, y, width, height of the region to crop from each, in its pixels; a run that was trained
                on boxes needs them. None: whole images.

        Returns:
            points and their expected errors, in pixels of each image.

        Raises:
            ValueError: for any other image or box, with the number of the image, and where boxes are needed and
                missing.
        """
        if self.run.boxed and boxes is None:
            raise ValueError(
                f"{self.run.root} was trained on bounding boxes: give boxes, [x, y, width, height] of each image"
            )
        images = _images(images)
        if not len(images):
            nothing = np.zeros((0, self.scheme.num_points))
            return Landmarks(np.zeros((*nothing.shape, 2)), nothing)
        source, faults = Arrays(images, self.scheme.num_points, boxes), loader.Faults()
        small = dataclasses.replace(self, ensemble=_for_count(self.ensemble, len(source)))
        found = inference.gather(small.predictions(source, faults))
        if len(faults):
            raise ValueError(f"image {faults.report()[0]}")
        return Landmarks(found.points, found.expected)

    def predictions(
        self, source: Source, faults: loader.Faults | None = None, batches: Batches | None = None
    ) -> Iterator[Predicted]:
        """Return predictions of every decodable image of a source, in order, some at a time.

        Args:
            source: the data set.
            faults: where images that cannot be decoded are added; None: nowhere.
            batches: those of the source, where they are loaded already; None: they are loaded.

        Returns:
            an iterator of predictions in pixels of the images.

        Raises:
            ValueError: where the run was trained on bounding boxes and the source has none.
        """
        boxed.check(self.run, source)
        how = self.fit, self.settings.merge, source, faults, batches
        return map(inference.to_images, predictions.of(self.ensemble, *how))

    def expected_nme(self, found: Predicted) -> np.ndarray:
        """Return the expected NME of each image, by the scheme's norm of its predicted points.

        Args:
            found: of `predictions`.

        Returns:
            f64[n]; NaN: not calibrated.
        """
        norm = metrics.norm(found.points, np.ones(found.points.shape[:2], bool), self.scheme, found.diagonal)
        return found.expected.mean(1) / norm

    def radii(self, found: Predicted) -> dict[float, np.ndarray]:
        """Return within how many pixels of each predicted point the truth lies, for several levels.

        Args:
            found: of `predictions`.

        Returns:
            for each level of `calibration.LEVELS` f64[n, points], within which the truth lies that often; empty: not
            calibrated.
        """
        known = self.fit.calibration
        return (
            {}
            if known is None
            else {lev: r * found.expected for lev, r in zip(calibration.LEVELS, known.ratios, strict=True)}
        )

    def confidence(self, found: Predicted, limit: float = 0.1) -> np.ndarray:
        """Return how likely it is that each image's NME is a limit at most.

        Args:
            found: of `predictions`.
            limit: an NME.

        Returns:
            f64[n] in 0..1; NaN: not calibrated.
        """
        if self.fit.calibration is None:
            return np.full(len(found.index), np.nan)
        return calibration.confidence(self.fit.calibration, self.expected_nme(found), limit)


def from_flags(
    flags: argparse.Namespace,
    data: str | None = None,
    dry: bool = False,
    *,
    watch: Watch = fitting.unwatched,
) -> Predictor:
    """Return the predictor that the flags of `prediction_flags` ask for.

    Args:
        flags: the command line.
        data: as `load` has it.
        dry: as `fitting.for_ensemble` has it.
        watch: as `fitting.for_ensemble` has it.

    Returns:
        the predictor.

    Raises:
        ValueError: in one line, as `load`.
    """
    roots = [Path(r) for r in flags.run]
    return open_runs(roots, settings.from_flags(flags), flags.checkpoint, data, dry, watch=watch)


def _for_count(over: Ensemble, count: int) -> Ensemble:
    """An ensemble with batches no larger than `count` images need; a few sizes, each compiled once."""
    needed = over.devices * 2 ** math.ceil(math.log2(-(-count // over.devices)))
    return over._replace(batch=min(over.batch, needed))


def _images(given: Iterable[np.ndarray] | np.ndarray) -> Sequence[np.ndarray] | np.ndarray:
    """Several images; what is likely to be meant as one is rejected."""
    if isinstance(given, np.ndarray) and given.ndim == 3:
        raise ValueError(f"images: one array of three axes, {list(given.shape)}; of a single image give [image]")
    if isinstance(given, str | Path):
        raise ValueError(f"images: {str(given)[:80]!r} is no array; read the file first, as uint8 RGB")
    return given if isinstance(given, np.ndarray | Sequence) else list(given)


def load(run: str | Path, *more: str | Path, checkpoint: str = "best", data: str | None = None, **options) -> Predictor:
    """Return the predictor of a run, or of several whose answers are mixed.

    Weights and expected errors that are not fitted yet are fitted first, on the run's validation split, and kept beside
    it.

    Args:
        run: the run folder.
        more: further run folders, of networks with the same points.
        checkpoint: of each, `best`, `newest` or the number of a step, as text.
        data: where the validation data lies now, if not where it was.
        options: the fields of `settings.Settings`, where `tta` may be a list of augmenter configurations and
            `view_weights` (or `weights`) numbers, [views] or [views, points].

    Returns:
        the predictor.

    Raises:
        ValueError: in one line, where a run cannot be opened, runs cannot be mixed or a setting is invalid.
    """
    if "weights" in options:
        options["view_weights"] = options.pop("weights")
    for name in {"tta", "view_weights"} & options.keys():
        if not isinstance(options[name], str):
            options[name] = json.dumps(options[name] if name == "tta" else np.asarray(options[name]).tolist())
    return open_runs([Path(r) for r in (run, *more)], Settings(**options), checkpoint, data)


def open_runs(
    roots: Sequence[Path],
    asked: Settings,
    checkpoint: str = "best",
    data: str | None = None,
    dry: bool = False,
    *,
    watch: Watch = fitting.unwatched,
) -> Predictor:
    """Return as `load`, with the settings as one record.

    Args:
        roots: the run folders, one or more.
        asked: how predictions are made.
        checkpoint: as `load` has it.
        data: as `load` has it.
        dry: as `fitting.for_ensemble` has it.
        watch: as `fitting.for_ensemble` has it.

    Returns:
        the predictor.

    Raises:
        ValueError: as `load`.
    """
    if asked.merge not in tta.MERGES:
        raise ValueError(f"`merge` {asked.merge!r} is not known: choose {', '.join(tta.MERGES)}")
    if asked.at_once is not None and asked.at_once < 1:
        raise ValueError(f"`at_once` must be 1 or more, got {asked.at_once}")
    found = [restore.load(root, checkpoint) for root in roots]
    first = found[0].run
    for other in (t.run for t in found[1:]):
        if other.scheme.num_points != first.scheme.num_points:
            raise ValueError(
                f"{other.root} has {other.scheme.num_points} points, {first.root} has {first.scheme.num_points}"
            )
        if landmarks.to_data(other.scheme) != landmarks.to_data(first.scheme):
            raise ValueError(f"{other.root} and {first.root} have points of other schemes, which cannot be mixed")
        boxed.check_same(first, other)
    if len({(t.commit.digest, t.run.config.size) for t in found}) < len(found):
        raise ValueError("the same network is named twice: give each `run` once")
    over = ensemble.of_runs(found, asked.tta, asked.at_once)
    fit, remarks = fitting.for_ensemble(over, asked, data, dry, watch=watch)
    untrained = [
        f"{t.run.root}: its checkpoint is that of step 0, before any training" for t in found if not t.commit.step
    ]
    return Predictor(over, asked, fit, [*remarks, *untrained])
