"""Point maps: indices and names of each set's points, and what is no map."""

import json

import pytest

from pipelines.sources import point_maps, tables
from pipelines.sources.formats import FORMATS
from tests.pipelines.runs.test_run_folder import rejection
from tests.pipelines.sources.formats.test_contest import picture

NAMES = (["eye", "nose", "ear"], ["nose", "tail", "eye", "paw"])


def read(tmp_path, content):
    (tmp_path / "map.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return point_maps.read(tmp_path / "map.json", [3, 4], NAMES)


def test_points_are_given_by_index_by_name_or_not_at_all(tmp_path):
    by_index = {"points": 3, "sets": [[0, 1, 2], [2, 0, None]]}
    by_name = {"points": ["the eye", "the nose", "the ear"], "sets": [["eye", "nose", 2], ["eye", "nose", None]]}
    assert read(tmp_path, by_index) == read(tmp_path, by_name) == [[0, 1, 2], [2, 0, -1]]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        [],
        {"points": 2},
        {"points": True, "sets": [[0], [0]]},
        {"points": 0, "sets": [[], []]},
        {"points": 2, "sets": [[0, 1]]},
        {"points": 2, "sets": [[0, 1], [0]]},
        {"points": 2, "sets": [[0, 1], 5]},
        {"points": 2, "sets": [[0, 1], [0, 4]]},
        {"points": 2, "sets": [[0, 1], [0, -1]]},
        {"points": 2, "sets": [[0, 1], [0, True]]},
        {"points": 2, "sets": [[0, 1], [0, 1.0]]},
        {"points": 2, "sets": [[0, 1], [0, "wing"]]},
        {"points": 2, "sets": [[0, 1], [3, 3]]},
        {"points": 2, "sets": [[0, 1], [None, None]]},
        {"points": 2, "sets": [[0, None], [0, None]]},
    ],
)
def test_what_is_no_map_of_these_sets_is_rejected_in_a_line(tmp_path, content):
    assert "map.json" in rejection(read, tmp_path, content)


def test_names_where_a_set_has_none_are_rejected(tmp_path):
    (tmp_path / "map.json").write_text('{"points": 1, "sets": [["eye"]]}')
    assert "'eye'" in rejection(point_maps.read, tmp_path / "map.json", [1], [()])


def test_sets_of_as_many_points_need_no_map():
    assert point_maps.equal(["a", "b"], [2, 2], [(), ()]) == [[0, 1], [0, 1]]
    assert point_maps.equal(["a", "b"], [2, 2], [("eye", "nose"), ("nose", "eye")]) == [[0, 1], [1, 0]]
    assert point_maps.equal(["a", "b"], [2, 2], [("eye", "nose"), ("nose", "mouth")]) == [[0, 1], [0, 1]]
    told = rejection(point_maps.equal, ["a", "b"], [2, 3], [(), ()])
    assert "`point_map`" in told and '"sets"' in told


def table_of(tmp_path, kind, path, content):
    (tmp_path / "a.png").write_bytes(picture(0))
    (tmp_path / path).write_text(content)
    return FORMATS[kind].read(tmp_path / path, "train", tmp_path)


def test_points_are_called_what_their_format_or_table_calls_them(tmp_path):
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "keypoints": [1, 2, 2, 3, 4, 2]}],
        "categories": [{"id": [], "keypoints": "odd"}, {"id": 7, "name": "cat", "keypoints": ["eye", "nose"]}],
    }
    header = "scorer,me,me,me,me\nbodyparts,eye,eye,nose,nose\ncoords,x,y,x,y\n"
    for found in (
        table_of(tmp_path, "coco", "c.json", json.dumps(coco)),
        table_of(tmp_path, "plain", "t.csv", "file_name,eye_x,eye_y,nose_x,nose_y\na.png,1,2,3,4\n"),
        table_of(tmp_path, "deeplabcut", "d.csv", header + "a.png,1,2,3,4\n"),
    ):
        assert list(tables.point_names(found)) == ["eye", "nose"]
    for header in ("x_0,y_0,x_1,y_1", "x_0,y_0"):
        unnamed = table_of(tmp_path, "plain", "u.csv", f"file_name,{header}\na.png{',1' * (header.count(',') + 1)}\n")
        assert not tables.point_names(unnamed)


def test_other_names_are_matched_by_order_with_a_line(caplog):
    point_maps.equal(["a", "b"], [2, 2], [("eye", "nose"), ("nose", "eye")])
    point_maps.equal(["a", "b"], [2, 2], [("eye", "nose"), ()])
    assert not caplog.messages
    point_maps.equal(["a", "b"], [2, 2], [("eye", "nose"), ("eye", "noze")])
    (line,) = caplog.messages
    assert line.startswith("set2: ") and "point 1 is noze, there nose" in line and "`point_map`" in line
