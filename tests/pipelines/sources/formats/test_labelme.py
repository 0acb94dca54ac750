"""LabelMe: a folder as the tool writes it, what is rejected, and the way back."""

import json
import sys

import pytest

from pipelines.sources.formats import labelme
from tests.pipelines.sources.formats import tools
from tests.pipelines.sources.formats.test_formats import held, put, reasons, rejection, table_at


def shape(label, *points, kind="point", group=None, **more):
    found = {
        "label": label,
        "points": [list(p) for p in points],
        "group_id": group,
        "description": "",
        "shape_type": kind,
    }
    return {**found, "flags": {}, "mask": None, **more}


def file_of(root, name, *shapes, image="", **more):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    data = {"version": "5.5.0", "flags": {}, "shapes": list(shapes)}
    data |= {
        "imagePath": image or f"{name.rpartition('/')[2][:-5]}.png",
        "imageData": None,
        "imageHeight": 40,
        "imageWidth": 50,
    }
    (root / name).write_text(json.dumps({**data, **more}, indent=2))
    return root


def folder(root):
    put(root, "a.png", "sub/b.png", "pictures/c.png")
    polygon = shape("bird", (1, 2), (3, 4), (5, 6), kind="polygon")
    file_of(root, "a.json", shape("nose", (471.7647058823529, -1.5)), shape("eye", (3, 4)), polygon)
    box = shape("bird", (40.12, 30), (1.02, 2.5), kind="rectangle", group=7)
    first = [shape("eye", (1, 2), group=0), shape("nose", (3, 4), group=0)]
    file_of(root, "sub/b.json", *first, shape("nose", (5, 6), group=7), box)
    file_of(root, "json/c.json", shape("eye", (9, 9.5)), image="..\\pictures\\c.png")
    return root


def test_points_by_their_labels_and_objects_by_their_groups(tmp_path):
    table = table_at(folder(tmp_path))
    assert list(table.points) == ["eye", "nose"] and not table.rejected
    assert held(table) == {
        "a.png": [[3, 4], [471.76470947265625, -1.5]],
        "pictures/c.png": [[9, 9.5], None],
        "sub/b.png#0": [[1, 2], [3, 4]],
        "sub/b.png#7": [None, [5, 6]],
    }
    assert table.sizes is not None and table.sizes.tolist() == [[50, 40]] * 4 and len(table.files) == 3
    assert table.boxes is None and any("1 of 4 objects have a box" in n for n in table.notes)
    assert any("1 'polygon'" in n for n in table.notes)


def test_rectangles_of_a_group_are_boxes(tmp_path):
    put(tmp_path, "a.png")
    ring = shape("b", (0, 0), (0, 9), (9, 9), (9, 0), kind="rectangle", group=2)
    lone = shape("b", (40.12, 30), (1.02, 2.5), kind="rectangle")
    file_of(tmp_path, "a.json", shape("eye", (1, 2)), lone, shape("eye", (2, 3), group=2), ring)
    table = table_at(tmp_path)
    assert table.boxes is not None and table.boxes.tolist() == [[1.02, 2.5, 39.1, 27.5], [0, 0, 9, 9]]


@pytest.mark.parametrize(
    ("shapes", "more", "file", "kind"),
    [
        ([shape("eye", (1, "2"))], {}, "d.png", "not a finite number"),
        ([shape("eye", (1, 10**400))], {}, "d.png", "not a finite number"),
        ([shape("eye", (1, float("nan")))], {}, "d.png", "not a finite number"),
        ([shape("eye", (1, 2), (3, 4))], {}, "d.png", "not a finite number"),
        ([shape("eye")], {}, "d.png", "not a finite number"),
        ([shape("", (1, 2))], {}, "d.png", "no name"),
        ([shape("e\ny", (1, 2))], {}, "d.png", "no name"),
        ([shape("eye", (1, 2)), shape("eye", (1, 3))], {}, "d.png", "point twice"),
        ([shape("eye", (1, 2)), shape("x", (1, 2), kind="rectangle")], {}, "d.png", "not a box"),
        ([shape("eye", (1, 2))], {"imagePath": "gone.png"}, "d.json", "no image"),
        ([shape("eye", (1, 2))], {"imagePath": "../../etc/gone.png"}, "d.json", "no image"),
        ([shape("eye", (1, 2))], {"imagePath": "x/" * 4000 + "gone.png"}, "d.json", "no image"),
        ([shape("eye", (1, 2))], {"imagePath": "a.png"}, "a.png", "name twice"),
        ([shape("eye", (1, 2))], {"imagePath": "d\x1b.png"}, "d.json", "bad file name"),
        ([shape("eye", (1, 2))], {"imagePath": 5}, "d.json", "not LabelMe's"),
        ([], {"shapes": {}}, "d.json", "not LabelMe's"),
    ],
)
def test_a_bad_file_is_rejected_and_nothing_else(tmp_path, shapes, more, file, kind):
    put(folder(tmp_path), "d.png")
    file_of(tmp_path, "d.json", *shapes, **more)
    table = table_at(tmp_path)
    assert reasons(table) == [(file, None, kind)] and len(table.names) == 4


@pytest.mark.parametrize("text", ["", "{", "[" * 99999, "[]", '{"a": 1', '{"shapes": [5, null], "imagePath": "a.png"}'])
def test_what_is_no_such_file_is_rejected_or_counted(tmp_path, text):
    (folder(tmp_path) / "d.json").write_text(text)
    table = table_at(tmp_path)
    assert len(table.names) == 4 and (len(table.rejected) == 1 or any("shape without a type" in n for n in table.notes))


def test_a_path_that_leads_out_is_that_of_the_file_beside(tmp_path):
    put(tmp_path / "set", "a.png")
    put(tmp_path, "a.png", "b.png")
    file_of(tmp_path / "set", "a.json", shape("eye", (1, 2)), image="C:\\me\\a.png")
    file_of(tmp_path / "set", "b.json", shape("eye", (1, 2)), image="../b.png")
    table = table_at(tmp_path / "set")
    assert table.names == ["a.png"] and reasons(table) == [("b.json", None, "no image")]


def test_points_of_which_a_built_in_scheme_has_as_many_are_told_with_their_order(tmp_path):
    put(tmp_path, "a.png")
    names = ["eye", "nose", "mouth", "ear", "chin"]
    file_of(tmp_path, "a.json", *(shape(name, (1, i)) for i, name in enumerate(names)))
    [note] = table_at(tmp_path).notes
    assert "chin, ear, eye, mouth, nose" in note and "`scheme`" in note


def test_names_are_sorted_by_their_numbers_and_missing_ones_are_not_labelled(tmp_path):
    put(tmp_path, "a.png", "b.png")
    file_of(tmp_path, "a.json", shape("p10", (1, 2)), shape("p2", (3, 4)))
    file_of(tmp_path, "b.json", shape("p02b", (1, 2)), shape("p2", (5, 6)))
    table = table_at(tmp_path)
    assert list(table.points) == ["p2", "p02b", "p10"]
    assert held(table) == {"a.png": [[3, 4], None, [1, 2]], "b.png": [[5, 6], [1, 2], None]}


def test_names_that_differ_by_case_or_blanks_alone_are_told(tmp_path):
    put(tmp_path, *(f"{i}.png" for i in range(9)))
    for i in range(9):
        nose, eye = ("Nose tip", "eye") if i % 3 else ("nose_tip", "eye ")
        file_of(
            tmp_path, f"{i}.json", shape(nose, (i, 1)), shape(eye, (2, i)), shape("p1", (1, 1)), shape("P1", (2, 2))
        )
    (note,) = [n for n in table_at(tmp_path).notes if "points of their own" in n]
    assert "'eye' (of 6 objects) and 'eye ' (of 3 objects)" in note
    assert (
        "'Nose tip' (of 6 objects) and 'nose_tip' (of 3 objects)" in note and "'p1'" not in note
    )  # which objects have both
    assert not any("points of their own" in n for n in table_at(folder(tmp_path / "sound")).notes)


def test_a_folder_of_which_nothing_can_be_used(tmp_path):
    file_of(tmp_path, "a.json", shape("eye", (1, 2)))
    assert "no image" in rejection(tmp_path)
    assert "does not exist" in rejection(tmp_path, pictures=str(tmp_path / "none"))


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("names", [[], ["beak", 'é"b', "ı"]])
def test_what_is_written_is_read_again(tmp_path, boxed, names):
    assert (tools.again("labelme", tmp_path, boxed, names).boxes is None) is not boxed


def test_two_images_of_one_stem_do_not_share_a_file(tmp_path):
    row = tools.rows(False)[0]
    with pytest.raises(ValueError, match="this stem"):
        labelme.write(tmp_path, [row, row._replace(name="a.jpg")], 3)


def test_labelme_itself_opens_what_is_written(tmp_path, monkeypatch):
    tool = pytest.importorskip("labelme._label_file")
    put(tmp_path, "a.png", "b.png", "d/c.png")
    labelme.write(tmp_path, tools.rows(True), 3)
    data = tool.read_label_file(str(tmp_path / "b.json"))
    assert data.image_path == "b.png"
    assert [(s["label"], s["shape_type"], s["group_id"], s["points"]) for s in data.shapes[:3]] == [
        ("object", "rectangle", 1, [[1, 2.5], [31.12, 35.07]]),
        ("point_0", "point", 1, [[4.5, 5]]),
        ("point_2", "point", 1, [[31.123457, 3101]]),
    ]
    assert "labelme" in sys.modules


def test_a_file_that_is_no_json_is_named_with_its_line(tmp_path):
    file_of(tmp_path, "a.json", shape("eye", (1, 2)))
    put(tmp_path, "a.png")
    (tmp_path / "b.json").write_text('{"shapes":\n')
    assert reasons(table_at(tmp_path)) == [("b.json", 2, "not JSON")]


def test_a_name_that_few_files_have_and_resembles_another_is_told(tmp_path):
    for i in range(20):
        put(tmp_path, f"{i}.png")
        nose = "nsoe" if i < 3 else "nose"
        file_of(tmp_path, f"{i}.json", shape("left eye", (1, 2)), shape("left ear", (3, 4)), shape(nose, (5, 6)))
    (told,) = [n for n in table_at(tmp_path).notes if "misspelt" in n]
    assert "'nsoe' (of 3 objects; 'nose'?)" in told and "ear" not in told


def test_a_point_that_few_have_beside_what_it_resembles_is_no_misspelling(tmp_path):
    for i in range(20):
        put(tmp_path, f"{i}.png")
        seldom = [shape("left ear", (3, 4))] if i < 3 else []
        file_of(tmp_path, f"{i}.json", shape("left eye", (1, 2)), shape("mouth", (5, 6)), *seldom)
    assert not [n for n in table_at(tmp_path).notes if "misspelt" in n]
