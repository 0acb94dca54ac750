"""Points of data and run are matched by their names; where these differ it is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxmarks import keys, landmarks
from jaxmarks.config import Config
from jaxmarks.inference import Predicted
from pipelines import open as opening
from pipelines.images import decode
from pipelines.inference import results
from pipelines.packing import dataset
from pipelines.runs import run_data
from pipelines.runs.run_folder import Run
from pipelines.sources.tables import label_of

NAMES = ["left_eye", "right_eye", "nose"]


def coco(root: Path, names: list[str]) -> Path:
    """Four images, the x of a point being its place in NAMES."""
    root.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(4):
        (root / f"{i}.png").write_bytes(decode.encode_png(np.full((40, 50, 3), i, np.uint8)))
        images.append({"id": i, "file_name": f"{i}.png", "width": 50, "height": 40})
        points = [v for name in names for v in (NAMES.index(name) if name in NAMES else 9, i + 1, 2)]
        annotations.append({"id": i, "image_id": i, "category_id": 1, "keypoints": points})
    category = {"id": 1, "name": "face", "keypoints": names}
    (root / "a.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return root / "a.json"


@pytest.fixture
def run(tmp_path) -> Run:
    named = landmarks.scheme(3)
    return Run(tmp_path / "run", Config(), keys.root(0), named, {}, "data", point_names=NAMES)


def test_another_order_is_matched_by_the_names_and_said(run, tmp_path, caplog):
    path = coco(tmp_path / "other", ["nose", "left_eye", "right_eye"])
    found = run_data.test_split(run, str(path))
    assert found[1].points[:, 0].tolist() == [0, 1, 2] and list(found.point_names) == NAMES
    assert "matched by their names" in caplog.text
    predicted = Predicted(*[None] * len(Predicted._fields))._replace(
        index=np.arange(4), points=np.tile(np.array([[10.0, 0], [11, 0], [12, 0]]), (4, 1, 1))
    )
    results.write_points(tmp_path / "out.json", "coco", found, [predicted], str(path))  # in the order of the file
    assert [p["keypoints"][::3] for p in json.loads((tmp_path / "out.json").read_text())] == [[12, 10, 11]] * 4
    results.write_points(tmp_path / "tasks.json", "labelstudio", found, [predicted], None)
    assert json.loads((tmp_path / "tasks.json").read_text())


def test_other_names_are_matched_by_order_and_said(run, tmp_path, caplog):
    found = run_data.test_split(run, str(coco(tmp_path / "other", ["left_eye", "mouth", "nose"])))
    assert found[0].points[:, 0].tolist() == [0, 9, 2]
    assert "other names" in caplog.text and "point 1 is mouth, there right_eye" in caplog.text


@pytest.mark.parametrize("names", [NAMES, None])
def test_the_same_names_or_none_need_no_line(run, tmp_path, caplog, names):
    path = coco(tmp_path / "other", NAMES)
    run_data.test_split(run if names else run._replace(point_names=()), str(path))
    assert "matched by" not in caplog.text


def test_a_packed_set_keeps_the_names(command, tmp_path):
    path = coco(tmp_path / "data", ["nose", "left_eye", "right_eye"])
    assert command("prepare", "--data", path, "--out", tmp_path / "out")[0] == 0
    packed = dataset.Packed(tmp_path / "out", "train")
    assert list(packed.point_names) == ["nose", "left_eye", "right_eye"]
    opened = opening.open_source(str(path))
    assert list(opened.point_names) == list(packed.point_names) and label_of(opened, 0)[0][:, 0].tolist() == [2, 0, 1]
