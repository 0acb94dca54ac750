"""Predictions as files: which layout the points are written in, and that others' readers take them as they are."""

import io
import json

import numpy as np
import pandas
import pytest

from jaxmarks.inference import Predicted
from pipelines import example
from pipelines import open as opening
from pipelines.inference import results
from pipelines.sources import mixed
from pipelines.sources.formats import cvat, labelme
from tests.pipelines.sources.formats import tools
from tests.pipelines.sources.formats.test_contest import small_folder
from tests.pipelines.sources.formats.test_formats import put


def predicted(source: example.Source) -> Predicted:
    count, points = len(source), source.num_points
    pairs = np.arange(2.0 * count * points).reshape(count, points, 2) / 8
    single = np.ones((count, points))
    return Predicted(
        np.arange(count), pairs, single, pairs, single > 0, np.zeros((count, 2, 3)), single, np.ones(count)
    )


def test_points_of_plain_images_are_columns_for_pandas_whatever_their_names(tmp_path):
    small_folder(tmp_path / "data")
    images = tmp_path / "data/train/images"
    (images / "a.png").rename(images / 'a, "b".png')
    source = opening.open_images(str(images), 2)
    results.write_points(tmp_path / "p.csv", results.layout(source, None), source, [predicted(source)], None)
    frame = pandas.read_csv(tmp_path / "p.csv")
    assert list(frame) == ["file_name", "x_0", "y_0", "x_1", "y_1"] and list(frame["file_name"]) == source.names
    assert np.array_equal(frame.to_numpy()[:, 1:].astype(float).reshape(-1, 2, 2), predicted(source).points)


@pytest.mark.parametrize(("path", "kind"), [("drawn:8:5", "contest"), ("{contest}", "contest"), ("{plain}", "plain")])
def test_the_layout_follows_the_data(tmp_path, path, kind):
    small_folder(tmp_path / "data")
    table = tmp_path / "data/train/images/labels.csv"
    table.write_text("file_name,x_0,y_0\na.png,1,2\n")
    path = path.format(contest=tmp_path / "data", plain=table)
    assert results.layout(opening.open_source(path, "test"), path) == kind


@pytest.mark.parametrize("kind", ["cvat", "labelstudio", "labelme", "yolo"])
def test_predictions_are_files_that_tools_open_with_the_names_of_the_points(tmp_path, kind):
    put(tmp_path / "data", "a.png", "b.png", "d/c.png")
    names = ["beak", "eye", "tail"]
    labelme.write(tmp_path / "data", tools.rows(True), 3, names)
    source = opening.open_source(str(tmp_path / "data"))
    out = tmp_path / {"cvat": "p.xml", "labelstudio": "p.json"}.get(kind, "p")
    results.write_points(out, kind, source, [predicted(source)], str(tmp_path / "data"))
    table = opening.open_table(str(out), "train", pictures=str(tmp_path / "data"))
    if kind == "labelme":  # which looks for the image from the file on
        assert json.loads((out / "d" / "c.json").read_text())["imagePath"] == "../../data/d/c.png"
    assert list(table.points) == names and len(table.names) == 4 and table.boxes is None and table.label is not None
    assert np.array_equal([table.label(i)[0] for i in range(4)], predicted(source).points)


def test_points_in_the_order_of_a_run_lead_to_the_images_as_well(tmp_path):
    put(tmp_path / "data", "a.png", "b.png", "d/c.png")
    labelme.write(tmp_path / "data", tools.rows(True), 3, ["beak", "eye", "tail"])
    source = mixed.Reordered(opening.open_source(str(tmp_path / "data")), [2, 0, 1])
    results.write_points(tmp_path / "p", "labelme", source, [predicted(source)], str(tmp_path / "data"))
    said = json.loads((tmp_path / "p" / "d" / "c.json").read_text())
    assert said["imagePath"] == "../../data/d/c.png" and said["shapes"][0]["label"] == "tail"


def test_points_keep_the_order_of_their_list_from_tool_to_tool(tmp_path):
    names = ["tail", "beak", "eye"]
    put(tmp_path, "a.png", "b.png", "d/c.png")
    cvat.write(tmp_path / "a.xml", tools.rows(False), 3, names)
    source = opening.open_source(str(tmp_path / "a.xml"))
    results.write_points(tmp_path / "b.xml", "cvat", source, [predicted(source)], None)
    assert list(opening.open_table(str(tmp_path / "b.xml"), "train").points) == names


def test_expected_errors_are_columns_for_pandas(tmp_path):
    source = opening.open_source(str(small_folder(tmp_path / "data")))
    results.write_spread(tmp_path / "e.csv", source, [predicted(source)])
    frame = pandas.read_csv(io.BytesIO((tmp_path / "e.csv").read_bytes()))
    assert list(frame) == ["file_name", "error_0", "error_1"] and list(frame["file_name"]) == source.names
