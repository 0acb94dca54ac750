"""Python interface to trained runs: one object that takes images and returns points.

from pipelines import predictor
net = predictor.load("runs/mine")
points, spread = net.predict([image, another])      # u8 RGB of any size; both in pixels of each image
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
from pipelines.example import Example, Source
from pipelines.inference import ensemble, fitted, fitting
from pipelines.inference.ensemble import Net
from pipelines.inference.fitted import Fitted
from pipelines.inference.fitting import Settings, Watch
from pipelines.io import files
from pipelines.runs import boxed, restore
from pipelines.runs.run_folder import Run


class Landmarks(NamedTuple):
    """What `Predictor.predict` gives, in pixels of each image."""

    points: np.ndarray  # f64[n, points, 2]
    spread: np.ndarray  # f64[n, points]  the expected error of each point; NaN where the run is not calibrated


@dataclass(frozen=True, repr=False)
class Predictor:
    """Networks, how they are asked, and what was fitted for that; made by `load` or `open_runs`."""

    nets: list[Net]
    settings: Settings
    fit: Fitted
    remarks: list[str]  # what a person should know, a line each

    def __repr__(self) -> str:
        runs = ", ".join(f"{net.trained.run.root} at step {net.trained.commit.step}" for net in self.nets)
        points, views = words.counted(self.scheme.num_points, "point"), words.counted(self.views, "view")
        return f"<Predictor of {runs}: {points}, {views} ({self.settings.tta[:60]})>"

    @property
    def run(self) -> Run:
        """The first network's, in whose input frame all meet."""
        return self.nets[0].trained.run

    @property
    def plan(self) -> experiment.Experiment:
        """The first network's."""
        return self.nets[0].trained.plan

    @property
    def steps(self) -> list[int]:
        """Of each network's checkpoint."""
        return [net.trained.commit.step for net in self.nets]

    @property
    def views(self) -> int:
        """Of an image, over all networks."""
        return sum(net.views for net in self.nets)

    @property
    def purpose(self) -> dict:
        """All that predictions depend on beside the images, as plain data."""
        return fitting.purpose_of(self.nets, self.settings)

    @property
    def about(self) -> dict:
        """Who is asked, and with what: `purpose` and the fit itself, as plain data."""
        return {"purpose": self.purpose, "fit": fitted.to_data(self.fit)}

    @property
    def scheme(self) -> Scheme:
        """Of the points: how many, how they mirror, their regions, the norm of NME."""
        return self.run.scheme

    def predict(
        self, images: Iterable[np.ndarray] | np.ndarray, boxes: Sequence[Sequence[float]] | np.ndarray | None = None
    ) -> Landmarks:
        """Landmarks of images u8[h, w, 3], RGB, each of any size.

        boxes f[n, 4]: x, y, width, height of what to look at in each; a run that was trained on boxes needs them, any other
        looks at that part alone if they are given. Raises ValueError, with the number of the image, for anything else.
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
        found = inference.gather(
            dataclasses.replace(self, nets=self._nets_for(len(source))).predictions(source, faults)
        )
        if len(faults):
            raise ValueError(f"image {faults.report()[0]}")
        return Landmarks(found.points, found.expected)

    def _nets_for(self, count: int) -> list[Net]:
        """The networks with batches no larger than `count` images need; a few sizes, each compiled once."""
        devices = math.lcm(*(n.trained.plan.mesh.size for n in self.nets))
        batch = min(self.nets[0].config.batch, devices * 2 ** math.ceil(math.log2(-(-count // devices))))
        return [n._replace(config=dataclasses.replace(n.config, batch=batch)) for n in self.nets]

    def predictions(self, source: Source, faults: loader.Faults | None = None) -> Iterator[Predicted]:
        """Predictions of every decodable image of a source, in order, some at a time. Raises ValueError where the run
        was trained on bounding boxes and the source has none."""
        boxed.check(self.run, source)
        return fitting.predictions(self.nets, self.fit, self.settings, source, faults)

    def expected_nme(self, found: Predicted) -> np.ndarray:
        """f64[n]: the expected NME of each image, by the scheme's norm of its predicted points; NaN: not calibrated."""
        norm = metrics.norm(found.points, np.ones(found.points.shape[:2], bool), self.scheme, found.diagonal)
        return found.expected.mean(1) / norm

    def radii(self, found: Predicted) -> dict[float, np.ndarray]:
        """For each level of `calibration.LEVELS`, f64[n, points]: within so many pixels the truth lies that often; empty: not
        calibrated."""
        known = self.fit.calibration
        return (
            {}
            if known is None
            else {lev: r * found.expected for lev, r in zip(calibration.LEVELS, known.ratios, strict=True)}
        )

    def confidence(self, found: Predicted, limit: float = 0.1) -> np.ndarray:
        """f64[n]: how likely it is that each image's NME is `limit` at most; NaN: not calibrated."""
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
    """The predictor that `prediction_flags` ask for; data: as `load` has it; dry, watch: as `fitting.for_nets`
    has them. Raises ValueError in one line."""
    roots = [Path(r) for r in flags.run]
    return open_runs(roots, asked(flags), flags.checkpoint, data, dry, watch=watch)


def asked(flags: argparse.Namespace) -> Settings:
    """The settings that `prediction_flags` ask for. Raises ValueError in one line, before anything is opened."""
    named = (flags.weights[:1].isalpha() and "," not in flags.weights) or flags.weights.endswith(".json")
    weights = _text(flags.weights, "--weights") if named else json.dumps(_numbers(flags.weights))
    found = Settings(
        _text(flags.tta, "--tta"),
        flags.merge,
        weights,
        flags.refine,
        flags.at_once,
    )
    try:
        tta.view_configs(found.tta, True)
    except ValueError as error:
        raise ValueError(f"--tta {flags.tta}: {error}") from None
    return found


def _numbers(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--weights {text[:60]}: expected auto, equal, fitted, one number a view, as 1,1,2 for three, or a .json list"
        ) from None
    if odd := [part for part, value in zip(text.split(","), found, strict=True) if not 0 <= value < math.inf]:
        raise ValueError(f"--weights {text[:60]}: {odd[0]} is no weight; 0 or more")
    return found


def _text(value: str, flag: str) -> str:
    """A value, or what stands in the .json file that it names."""
    if not value.endswith(".json"):
        return value
    try:
        return json.dumps(files.parse_json(files.read_bytes(Path(value)), f"{flag} {value}"))
    except FileNotFoundError:
        raise ValueError(f"{flag} {value}: does not exist") from None


def _images(given: Iterable[np.ndarray] | np.ndarray) -> Sequence[np.ndarray] | np.ndarray:
    """Several images; what is likely to be meant as one is rejected."""
    if isinstance(given, np.ndarray) and given.ndim == 3:
        raise ValueError(f"images: one array of three axes, {list(given.shape)}; of a single image give [image]")
    if isinstance(given, str | Path):
        raise ValueError(f"images: {str(given)[:80]!r} is no array; read the file first, as uint8 RGB")
    return given if isinstance(given, np.ndarray | Sequence) else list(given)


def load(
    run: str | Path, *more: str | Path, checkpoint: str = "best", data: str | None = None, **settings
) -> Predictor:
    """The predictor of a run, or of several whose answers are mixed; settings: the fields of `fitting.Settings`, where
    `tta` may be a list of augmenter configurations and `weights` numbers, [views] or [views, points].

    Weights and expected errors that are not fitted yet are fitted first, on the run's validation split, and kept beside it;
    data: where that data lies now, if not where it was. Raises ValueError in one line.
    """
    for name in {"tta", "weights"} & settings.keys():
        if not isinstance(settings[name], str):
            settings[name] = json.dumps(np.asarray(settings[name]).tolist() if name == "weights" else settings[name])
    return open_runs([Path(r) for r in (run, *more)], Settings(**settings), checkpoint, data)


def open_runs(
    roots: Sequence[Path],
    asked: Settings,
    checkpoint: str = "best",
    data: str | None = None,
    dry: bool = False,
    *,
    watch: Watch = fitting.unwatched,
) -> Predictor:
    """As `load`, with the settings as one record; dry, watch: as `fitting.for_nets` has them."""
    if asked.merge not in tta.MERGES:
        raise ValueError(f"--merge {asked.merge!r} is not known: choose {', '.join(tta.MERGES)}")
    if asked.at_once is not None and asked.at_once < 1:
        raise ValueError(f"--at-once must be 1 or more, got {asked.at_once}")
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
        raise ValueError("the same network is named twice: give each --run once")
    nets = ensemble.nets(found, asked.tta, asked.at_once)
    fit, remarks = fitting.for_nets(nets, asked, data, dry, watch=watch)
    untrained = [
        f"{t.run.root}: its checkpoint is that of step 0, before any training" for t in found if not t.commit.step
    ]
    return Predictor(nets, asked, fit, [*remarks, *untrained])


class Arrays(Source):
    """Images in memory as a source, named by their numbers."""

    labelled = False

    def __init__(
        self,
        images: Sequence[np.ndarray] | np.ndarray,
        num_points: int,
        boxes: Sequence[Sequence[float]] | np.ndarray | None = None,
    ):
        for n, picture in enumerate(images):
            shape, kind = np.shape(picture), getattr(picture, "dtype", type(picture).__name__)
            if len(shape) != 3 or shape[2] != 3 or 0 in shape or kind != np.uint8:
                raise ValueError(
                    f"image {n}: expected a uint8 array [height, width, 3] in RGB, got {kind} {list(shape)}"
                )
        self.boxed, self._boxes = boxes is not None, None if boxes is None else np.asarray(boxes, np.float64)
        if self._boxes is not None and self._boxes.shape != (len(images), 4):
            raise ValueError(f"boxes: expected [{len(images)}, 4], got {list(self._boxes.shape)}")
        self._images, self.num_points = images, num_points
        self.names = [str(n) for n in range(len(images))]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        picture, nothing = np.ascontiguousarray(self._images[index]), np.zeros((self.num_points, 2))
        box = None if self._boxes is None else self._boxes[index]
        return Example(picture, nothing, np.zeros(self.num_points, bool), box)
