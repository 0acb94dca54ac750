"""Labels are checked by the set's own points: the mirror permutation that its files say, the names that contradict a known
scheme."""

import json

import numpy as np
import yaml

from pipelines.sources import formats
from pipelines.sources.tables import Row
from tests.pipelines.sources.formats.test_formats import put

SHAPE = np.array([[12, 10], [30, 10], [21, 17], [14, 26], [28, 26], [21, 33]], float)
FLIP = [1, 0, 2, 4, 3, 5]
EXCHANGED = [4, 11]


def rows(points: np.ndarray, mask: np.ndarray) -> list[Row]:
    return [Row(f"{i:02d}.png", p, m, (50, 40), None) for i, (p, m) in enumerate(zip(points, mask, strict=True))]


def of_shape(shape: np.ndarray) -> np.ndarray:
    """20 images of a shape, each a little different."""
    return shape + np.random.default_rng(0).normal(0, 0.5, (20, *shape.shape))


def report_of(command, data, out):
    code, said = command("prepare", "--data", data, "--out", out)
    assert code == 0, said
    return json.loads((out / "report.json").read_text())["parts"]["train"], said.out


def test_images_with_exchanged_points_are_found_by_the_permutation_in_the_files(command, tmp_path):
    points = of_shape(SHAPE)
    points[EXCHANGED] = points[EXCHANGED][:, FLIP]
    put(tmp_path / "set" / "images", *(f"{i:02d}.png" for i in range(20)))
    formats.FORMATS["yolo"].write(tmp_path / "set", rows(points, np.ones((20, 6), bool)), 6, [], FLIP)
    assert yaml.safe_load((tmp_path / "set" / "data.yaml").read_text())["flip_idx"] == FLIP
    about, _ = report_of(command, tmp_path / "set", tmp_path / "out")
    assert [name[:2] for name in about["exchanged_labels"]] == ["04", "11"]


def test_no_norm_is_taken_from_a_scheme_that_the_names_contradict(command, tmp_path):
    names = ["left_eye", "mouth_left", "mouth_right", "nose", "right_eye"]  # the norm of the known five is 0 and 1
    mask = np.ones((20, 5), bool)
    mask[3, 1] = False
    put(tmp_path / "set" / "images", *(f"{i:02d}.png" for i in range(20)))
    formats.FORMATS["labelstudio"].write(tmp_path / "set" / "x.json", rows(of_shape(SHAPE[:5]), mask), 5, names)
    about, text = report_of(command, tmp_path / "set" / "x.json", tmp_path / "out")
    assert about["norm"] == []
    assert about["labels"]["kinds"]["missing"]["images"] == 1
    assert "points 0 and 1" not in text and not about["labels"]["kinds"]["norm_box"]["images"]
