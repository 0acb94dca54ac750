"""The formats of data sets: samples written by hand and what they hold, what is rejected and where, and the way back."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode, sizes
from pipelines.sources import formats
from pipelines.sources.formats import coco, deeplabcut, wflw
from pipelines.sources.formats import pts as pts_files
from pipelines.sources.tables import Images, Row, Table
from pipelines.synthetic import drawn

PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
NAN = float("nan")


def put(root: Path, *names: str) -> Path:
    """Small images of 50 x 40 pixels."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PNG)
    return root


def table_at(path: Path, **options) -> Table:
    """By the front door, as every command opens it."""
    return opening.open_table(str(path), "train", **options)


def held(table: Table) -> dict[str, list]:
    """{name: points, None where not labelled}."""
    assert table.label is not None and len(table.lines) == len(table.names)
    found = {}
    for index, name in enumerate(table.names):
        points, mask = table.label(index)
        assert points.shape == (table.num_points, 2) and mask.dtype == bool and np.isfinite(points).all()
        found[name] = [point if there else None for point, there in zip(points.tolist(), mask, strict=True)]
    return found


def reasons(table: Table) -> list[tuple[str, int | None, str]]:
    """(file, line, kind) of what was rejected."""
    return [(r.file, r.line, r.reason.partition(":")[0]) for r in table.rejected]


def rejection(path: Path, **options) -> str:
    with pytest.raises(ValueError) as caught:
        table_at(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# COCO keypoints

IMAGES = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "sub/b.png"}, {"id": 7, "file_name": "../evil.png"}]
GOOD = [
    {"id": 12, "image_id": 2, "category_id": 4, "keypoints": [9, 9, 1, 0, 0, 0, 5, 5, 0], "bbox": [0, 1, 9, 5]},
    {"id": 10, "image_id": 1, "category_id": 4, "keypoints": [1.5, 2, 2, 7, 7, 0, 3, 4, 1], "bbox": [1, 2, 10, 20.5]},
    {"id": 11, "image_id": 2, "category_id": 4, "keypoints": [5, 6, 2, 7, 8, 2, -22, 1308, 1], "iscrowd": 0},
]
KEYPOINTS = [{"id": 4, "name": "face", "keypoints": ["eye", "nose", "chin"]}]


def coco_file(root: Path, annotations: list = GOOD, images: list = IMAGES, name: str = "faces.json", **more) -> Path:
    put(root, "images/a.png", "images/sub/b.png", "evil.png")
    data = {"images": images, "annotations": annotations, "categories": KEYPOINTS, **more}
    (root / name).write_text(json.dumps(data))
    return root / name


def test_coco_several_faces_masks_and_boxes(tmp_path):
    table = table_at(coco_file(tmp_path))
    assert held(table) == {
        "a.png": [[1.5, 2], None, [3, 4]],
        "sub/b.png#11": [[5, 6], [7, 8], [-22, 1308]],
        "sub/b.png#12": [[9, 9], None, None],
    }
    assert table.names == ["a.png", "sub/b.png#11", "sub/b.png#12"] and table.root == tmp_path / "images"
    assert table.images == ["a.png", "sub/b.png", "sub/b.png"] and table.files == [tmp_path / "faces.json"]
    boxes = [[1, 2, 10, 20.5], [-21.5, 6.5, 29, 1302], [0, 1, 9, 5]]  # the second is that of the points: there is none
    assert table.boxes is not None and table.boxes.tolist() == boxes
    assert table.replaced is not None and table.replaced.tolist() == [False, True, False]
    assert not table.rejected and not table.whole and table.line(0) is None
    source = opening.open_source(str(tmp_path / "faces.json"))
    assert source.boxed and source[2].image == PNG
    assert source[2].mask.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("bad", "file", "kind"),
    [
        ({"image_id": 99}, "faces.json", "unknown image"),
        ({"image_id": [1]}, "faces.json", "unknown image"),
        ({"image_id": 7}, "../evil.png", "bad file name"),
        ({"image_id": 8}, "/etc/passwd", "bad file name"),
        ({"image_id": 9}, "a#1", "bad file name"),
        ({"keypoints": [1, 2, 2]}, "a.png", "wrong number of points"),
        ({"keypoints": 5}, "a.png", "wrong number of points"),
        ({"keypoints": [NAN, 2, 2, 1, 1, 1, 1, 1, 1]}, "a.png", "not a finite number"),
        ({"keypoints": [1e300, 2, 2, 1, 1, 1, 1, 1, 1]}, "a.png", "not a finite number"),
        ({"keypoints": [1, 2, NAN, 1, 1, 1, 1, 1, 1]}, "a.png", "bad visibility"),
        ({"keypoints": [1, 2, 0.5, 1, 1, 1, 1, 1, 1]}, "a.png", "bad visibility"),
        ({"keypoints": [1, 2, -1, 1, 1, 1, 1, 1, 1]}, "a.png", "bad visibility"),
        ({"keypoints": [1, 2, True, 1, 1, 1, 1, 1, 1]}, "a.png", "not a number"),
        ({"keypoints": ["1", 2, 2, 1, 1, 1, 1, 1, 1]}, "a.png", "not a number"),
        ({"keypoints": [[1], 2, 2, 1, 1, 1, 1, 1, 1]}, "a.png", "not a number"),
        ({"keypoints": [10**400, 2, 2, 1, 1, 1, 1, 1, 1]}, "a.png", "not a finite number"),
        ({"keypoints": [1, 2, 0, 1, 1, 0, 1, 1, 0]}, "a.png", "no labelled point"),
        ({"keypoints": []}, "a.png", "no labelled point"),
        ({"iscrowd": 1}, "a.png", "crowd"),
        ({"deleted": True}, "a.png", "flagged as deleted"),
        ({"ignore": 1, "deleted": False}, "a.png", "flagged to be ignored"),
        ({"ignore": True}, "a.png", "flagged to be ignored"),
        ({"image_id": 5}, "sub/b.png", "flagged as deleted"),
        ({"id": 11}, "a.png", "id twice"),
        ({"id": None}, "faces.json", "bad id"),
        ({"id": "../x"}, "faces.json", "bad id"),
    ],
)
def test_coco_a_bad_entry_is_rejected_and_nothing_else(tmp_path, bad, file, kind):
    images = [*IMAGES, {"id": 8, "file_name": "/etc/passwd"}, {"id": 9, "file_name": "a#1"}, 5, {"id": 3}]
    images.append({"id": 5, "file_name": "sub/b.png", "deleted": True})
    entry = {"id": 20, "image_id": 1, "category_id": 4, "keypoints": [1, 1, 1] * 3, **bad}
    table = table_at(coco_file(tmp_path, [*GOOD, entry], images))
    assert reasons(table) == [(file, None, kind)]
    assert table.names == ["a.png", "sub/b.png#11", "sub/b.png#12"] and not any(".." in p for p in table.images or [])


def test_coco_visibility_above_2_is_taken_as_labelled_and_counted(tmp_path):
    odd = {"id": 20, "image_id": 1, "category_id": 4, "keypoints": [1, 2, 3, 5, 6, 0, 7, 8, 9.0]}
    table = table_at(coco_file(tmp_path, [*GOOD, odd, {**odd, "id": 21}]))
    assert held(table)["a.png#20"] == [[1, 2], None, [7, 8]] and not table.rejected
    assert [("20" in n, "9" in n) for n in table.notes if "2 annotations" in n] == [(True, True)]


def test_coco_entries_that_are_none_at_all(tmp_path):
    assert reasons(table_at(coco_file(tmp_path, [*GOOD, 7, []]))) == [("faces.json", None, "not an annotation")] * 2


def test_coco_an_id_of_several_files_is_no_image_and_the_others_are_read(tmp_path):
    twice = [{"id": 1, "file_name": ".\\a.png"}, {"id": 2, "file_name": "c.png"}, {"id": 2, "file_name": "d.png"}]
    table = table_at(coco_file(tmp_path, GOOD, [*IMAGES, *twice]))
    assert table.names == ["a.png"] and reasons(table) == [("faces.json", None, "image id twice")] * 2
    for annotation, rejected in zip((12, 11), table.rejected, strict=True):
        assert f"annotation {annotation}" in rejected.reason
        assert "image id 2 belongs to 3 files: sub/b.png, c.png, d.png" in rejected.reason


def test_coco_ids_written_as_floats_are_the_whole_numbers_that_they_are(tmp_path):
    images = [{"id": 1.0, "file_name": "a.png"}, {"id": 2, "file_name": "sub/b.png"}]
    entries = [{**a, "id": float(a["id"]), "image_id": float(a["image_id"]), "category_id": 4.0} for a in GOOD]
    path = coco_file(tmp_path, [*entries, {**GOOD[1], "id": 20, "image_id": 1.5}], images)
    table = table_at(path, category="4")
    assert table.names == ["a.png", "sub/b.png#11", "sub/b.png#12"]
    assert reasons(table) == [("faces.json", None, "unknown image")] and "1.5" in table.rejected[0].reason
    other = [{**a, "category_id": 4.0 + i} for i, a in enumerate(GOOD)]  # floats never hide that they are several
    assert "`category`" in rejection(coco_file(tmp_path, other, IMAGES))


def test_coco_true_is_no_id(tmp_path):
    table = table_at(coco_file(tmp_path, [*GOOD, {**GOOD[1], "id": 20, "image_id": True}]))
    assert reasons(table) == [("faces.json", None, "unknown image")] and len(table.names) == 3


@pytest.mark.parametrize(
    ("size", "taken", "told"),
    [
        ({}, (0, 0), True),
        ({"width": 0, "height": None}, (0, 0), True),
        ({"width": "50", "height": "40"}, (50, 40), False),
        ({"width": 50.0, "height": 40}, (50, 40), False),
        ({"width": 50}, (0, 0), True),
        ({"width": None, "height": 40}, (0, 0), True),
        ({"width": "50px", "height": "40px"}, (0, 0), True),
        ({"width": 50.5, "height": 40}, (0, 0), True),
        ({"width": [50], "height": 40}, (0, 0), True),
    ],
)
def test_coco_sizes_are_checked_or_it_is_reported_that_they_are_not(tmp_path, size, taken, told):
    table = table_at(coco_file(tmp_path, GOOD[2:], [{"id": 2, "file_name": "a.png", **size}]))
    assert table.sizes is not None and table.sizes.tolist() == [list(taken)]
    assert ["1 of 1 image" in note and "a.png" in note for note in table.notes] == [True] * told


def test_coco_points_that_visibility_0_leaves_out_are_counted(tmp_path):
    lost = {**GOOD[1], "id": 13, "keypoints": [1, 2, 0, 3, 0, 0, 0, 0, 0]}
    table = table_at(coco_file(tmp_path, [*GOOD, lost]))
    [note] = [n for n in table.notes if "visibility" in n]
    assert "2 of 9 points (22%), in 2 images" in note and "'sub/b.png'" in note
    assert "has coordinates" in table.rejected[0].reason


def test_coco_one_file_of_several_image_ids_is_told(tmp_path):
    images = [{**image, "width": 50, "height": 40} for image in [*IMAGES[:2], {"id": 9, "file_name": "sub/b.png"}]]
    twice = [{**GOOD[2], "id": 30, "image_id": 9, "keypoints": [8, 10, 2, 7, 8, 2, -22, 1308, 1]}]
    assert not table_at(coco_file(tmp_path, GOOD[2:], images)).notes
    [note] = table_at(coco_file(tmp_path, [*GOOD[2:], *twice], images)).notes
    assert "1 image file" in note and "5 px" in note and "sub/b.png" in note


def test_coco_flags_that_are_not_set_leave_nothing_out(tmp_path):
    unset = [{**entry, "deleted": no, "ignore": no} for entry, no in zip(GOOD, (False, 0, "0"), strict=True)]
    table = table_at(coco_file(tmp_path, unset, [{**image, "deleted": False} for image in IMAGES]))
    assert len(table.names) == 3 and not table.rejected


def test_coco_an_id_is_free_where_the_one_before_it_is_flagged(tmp_path):
    table = table_at(coco_file(tmp_path, [{**GOOD[1], "keypoints": [1, 1, 2] * 3, "deleted": True}, *GOOD]))
    assert reasons(table) == [("a.png", None, "flagged as deleted")] and held(table)["a.png"][0] == [1.5, 2]


def test_coco_annotations_of_one_id_that_differ_are_told_with_how_far(tmp_path):
    def told(*more: dict) -> list[str]:
        table = table_at(coco_file(tmp_path, [*GOOD, *more]))
        assert [kind for *_, kind in reasons(table)] == ["id twice"] * len(more)
        return [note for note in table.notes if "same id" in note]

    moved = {**GOOD[1], "keypoints": [4.5, 6, 2, 7, 7, 0, 3, 4, 1]}
    assert not told(GOOD[1])
    [note] = told(GOOD[1], moved)
    assert "1 annotation " in note and "5 px" in note and "renumber" in note and "another image" not in note
    [note] = told(moved, {**GOOD[1], "image_id": 2})
    assert "2 annotations" in note and "5 px" in note and "1 of another image" in note


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a COCO"),
        ('{"images": [], "annotations": {}}', "not a COCO"),
        ("[" * 99999, "not JSON"),
    ],
)
def test_what_is_no_coco_file_is_reported_in_one_line(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    message = rejection(tmp_path / "x.json")
    assert message.startswith(f"{tmp_path / 'x.json'}:") and said in message


def test_images_of_coco_are_found_in_the_usual_layout_or_asked_for(tmp_path):
    path = coco_file(tmp_path / "other")
    layout = put(tmp_path / "set", "val2017/a.png") / "annotations" / "person_keypoints_val2017.json"
    layout.parent.mkdir()
    layout.write_bytes(path.read_bytes())
    assert table_at(layout).root == tmp_path / "set" / "val2017"
    lone = tmp_path / "lone.json"
    lone.write_bytes(path.read_bytes())
    assert "`pictures`" in rejection(lone)
    assert table_at(lone, pictures=str(tmp_path / "other" / "images")).names[0] == "a.png"
    assert "none" in rejection(lone, pictures=str(tmp_path / "none"))


def test_pycocotools_loads_our_set_and_our_results(tmp_path, capsys):
    COCO = pytest.importorskip("pycocotools.coco").COCO
    rows = [
        Row("a.png", np.array([[1.25, 2], [30, 4]]), np.array([True, True]), (50, 40), np.array([1, 2, 30, 20.0])),
        Row("b.png#1", np.array([[5, 6], [0, 0.0]]), np.array([True, False]), (60, 30), np.array([4, 4, 2, 3.0])),
        Row("b.png#2", np.array([[7, 8], [17, 28.5]]), np.array([True, True]), (60, 30)),
    ]
    coco.write(tmp_path / "set.json", iter(rows), 2)
    loaded = COCO(tmp_path / "set.json")
    assert [loaded.imgs[i]["file_name"] for i in sorted(loaded.imgs)] == ["a.png", "b.png"]
    assert (loaded.imgs[2]["width"], loaded.imgs[2]["height"]) == (60, 30)
    faces = loaded.loadAnns(loaded.getAnnIds(imgIds=[2]))
    assert [a["keypoints"] for a in faces] == [[5, 6, 2, 0, 0, 0], [7, 8, 2, 17, 28.5, 2]]
    assert [a["num_keypoints"] for a in faces] == [1, 2] and faces[1]["bbox"] == [7.5, 8.5, 10, 20.5]
    assert loaded.anns[1]["bbox"] == [1, 2, 30, 20] and loaded.anns[1]["area"] == 600 and loaded.anns[1]["iscrowd"] == 0
    assert loaded.loadCats([1])[0]["keypoints"] == ["point_0", "point_1"]

    put(tmp_path, "a.png", "b.png")
    names = table_at(tmp_path / "set.json").names
    assert names == ["a.png", "b.png#1", "b.png#2"]
    guesses = [Row(n, np.array([[i, 0.5], [9, 9 + i]]), np.array([True, True]), (0, 0)) for i, n in enumerate(names)]
    coco.write_results(tmp_path / "results.json", iter(guesses), 2, tmp_path / "set.json")
    results = loaded.loadRes(str(tmp_path / "results.json"))
    found = [(a["image_id"], a["category_id"], a["keypoints"], a["score"]) for a in results.anns.values()]
    assert found == [
        (1, 1, [0, 0.5, 1, 9, 9, 1], 1.0),
        (2, 1, [1, 0.5, 1, 9, 10, 1], 1.0),
        (2, 1, [2, 0.5, 1, 9, 11, 1], 1.0),
    ]


def test_coco_results_keep_the_ids_of_the_source(tmp_path):
    path, known = coco_file(tmp_path), np.ones(3, bool)
    rows = [Row(name, np.ones((3, 2)), known, (0, 0)) for name in ("sub/b.png#12", "a.png")]
    coco.write_results(tmp_path / "r.json", rows, 3, path)
    assert [(r["image_id"], r["category_id"]) for r in json.loads((tmp_path / "r.json").read_text())] == [
        (2, 4),
        (1, 4),
    ]
    for other, count in ((rows[0]._replace(name="c.png"), 3), (rows[0], 5)):
        with pytest.raises(ValueError, match=r"faces\.json"):
            coco.write_results(tmp_path / "other.json", [other], count, path)
    assert not (tmp_path / "other.json").exists()


# 300-W


def pts(*points: str, count: int | None = None) -> str:
    return f"version: 1\nn_points:  {len(points) if count is None else count}\n{{\n" + "\n".join(points) + "\n}\n"


def pts_folder(root: Path) -> Path:
    put(root, "indoor/b.png", "a.jpg", "UPPER.PNG")
    (root / "indoor" / "b.pts").write_text(pts("1.0 1.0", "447.5 -20.25"))
    (root / "a.pts").write_text(pts("3 4", "5e0 +6.5").replace("\n", "\r\n"))
    (root / "UPPER.pts").write_text(pts("10 20", "1309 40"))
    return root


def test_pts_counts_pixels_from_one(tmp_path):
    table = table_at(pts_folder(tmp_path))
    assert held(table) == {
        "UPPER.PNG": [[9, 19], [1308, 39]],
        "a.jpg": [[2, 3], [4, 5.5]],
        "indoor/b.png": [[0, 0], [446.5, -21.25]],
    }
    assert not table.rejected and table.files == sorted(tmp_path.rglob("*.pts"))
    pts_files.write(tmp_path / "out", [Row("x/y.png", np.array([[0, 1307.25]]), np.array([True]), (0, 0))], 1)
    written = (tmp_path / "out" / "x" / "y.pts").read_text()
    assert written == "version: 1\nn_points: 1\n{\n1.000000 1308.250000\n}\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty file"),
        ("\0\5\26\7\0\2\0\0Mac OS X", "not labels"),
        ("1 2\n3 4\n", "not a .pts file"),
        (pts("1 2", "3 4")[:-5], "cut off"),
        (pts("1 2", "3 4", "5 6"), "wrong number of points"),
        (pts("1 2", count=2), "wrong number of points"),
        (pts("1 2", "3"), "wrong number of fields"),
        (pts("1 2", "3 4 5"), "wrong number of fields"),
        (pts("1 2", "3 nan"), "half a point"),
        (pts("1 2", "3 1e99"), "not a finite number"),
        (pts("1 2", "3 x"), "not a finite number"),
    ],
)
def test_a_bad_pts_file_is_rejected_and_nothing_else(tmp_path, text, kind):
    put(pts_folder(tmp_path), "bad.png")
    (tmp_path / "bad.pts").write_text(text)
    table = table_at(tmp_path)
    assert reasons(table) == [("bad.pts", None, kind)] and table.names == ["UPPER.PNG", "a.jpg", "indoor/b.png"]


def test_pts_without_an_image(tmp_path):
    (pts_folder(tmp_path) / "c.pts").write_text(pts("1 2", "3 4"))
    assert reasons(table_at(tmp_path)) == [("c.pts", None, "no image")]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c.pts").write_text(pts("1 2", "3 4"))
    assert "no .pts file with an image" in rejection(tmp_path / "other")
    assert table_at(tmp_path / "other", pictures=str(put(tmp_path / "far", "c.png"))).names == ["c.png"]


def test_the_usual_number_of_points_decides_and_the_odd_file_is_named(tmp_path):
    put(pts_folder(tmp_path), "0.png")
    (tmp_path / "0.pts").write_text(pts("1 2", "3 4", "5 6"))
    table = table_at(tmp_path)
    assert table.num_points == 2 and table.names == ["UPPER.PNG", "a.jpg", "indoor/b.png"]
    assert reasons(table) == [("0.pts", None, "wrong number of points")] and "3 of 4" in table.rejected[0].reason


def test_pts_of_any_case_below_links_are_seen_and_a_link_back_ends(tmp_path):
    far = put(tmp_path / "far", "x/c.jpeg", "x/d.png")
    for name in ("x/c.PTS", "x/d.Pts"):
        (far / name).write_text(pts("1 2", "3 4"))
    root = pts_folder(tmp_path / "set")
    (root / "linked").symlink_to(far)
    (far / "back").symlink_to(root)
    (far / "self").symlink_to(".")
    table = table_at(root)
    assert table.names == ["UPPER.PNG", "a.jpg", "indoor/b.png", "linked/x/c.jpeg", "linked/x/d.png"]
    assert not table.rejected and held(table)["linked/x/d.png"] == [[0, 1], [2, 3]]
    assert opening.open_source(str(root))[4].image == PNG
    lone = put(tmp_path / "lone", "a.png")
    (lone / "a.PTS").write_text(pts("1 2"))
    assert table_at(lone).names == ["a.png"]


def test_several_images_of_one_stem_are_reported(tmp_path):
    put(pts_folder(tmp_path), "a.png", "a.bmp")
    (tmp_path / "A.PTS").write_text(pts("1 2", "3 4"))
    table = table_at(tmp_path)
    assert table.names == ["UPPER.PNG", "a.jpg", "indoor/b.png"] and "a.jpg, a.png, a.bmp" in table.notes[0]
    assert reasons(table) == [("A.PTS", None, "no image")]
    (tmp_path / "a.PTS").write_text(pts("1 2", "3 4"))
    assert reasons(table_at(tmp_path)) == [("A.PTS", None, "no image"), ("a.pts", None, "name twice")]


# WFLW

WFLW = (
    "1 2 3.5 -4 0 1 30 21 0 1 0 0 0 0 dir/a.png\n"
    "5 6 7 8 10 11 10 31 0 0 0 0 0 0 b.png\n"
    "\n"
    "9 10 11 1308 1 1 9 9 0 0 0 0 0 0 dir/a.png"
)


def wflw_file(root: Path, text: str = WFLW) -> Path:
    put(root, "WFLW_images/dir/a.png", "WFLW_images/b.png", "evil.png")
    path = root / "WFLW_annotations" / "lists" / "list.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text", [WFLW, WFLW.replace("\n", "\r\n"), "\ufeff" + WFLW + "\n"], ids=["plain", "crlf", "bom"]
)
def test_wflw_several_faces_boxes_and_lines(tmp_path, text):
    table = table_at(wflw_file(tmp_path, text))
    assert held(table) == {
        "b.png": [[5, 6], [7, 8]],
        "dir/a.png#1": [[1, 2], [3.5, -4]],
        "dir/a.png#4": [[9, 10], [11, 1308]],
    }
    assert list(table.lines) == [2, 1, 4] and table.images == ["b.png", "dir/a.png", "dir/a.png"]
    boxes = [[5.5, 6.5, 2, 2], [0, 1, 30, 20], [1, 1, 8, 8]]  # 10 11 10 31 has no width: the box of the points
    assert table.boxes is not None and table.boxes.tolist() == boxes
    assert table.root == tmp_path / "WFLW_images"


@pytest.mark.parametrize(
    ("row", "file", "kind"),
    [
        ("1 2 3 4 0 0 9 9 0 0 0 0 0 c.png", "c.png", "wrong number of fields"),
        ("1 2 3 4 5 0 0 9 9 0 0 0 0 0 0 c.png", "c.png", "wrong number of fields"),
        ("1 2 x 4 0 0 9 9 0 0 0 0 0 0 c.png", "c.png", "not a finite number"),
        ("1 2 nan 4 0 0 9 9 0 0 0 0 0 0 c.png", "c.png", "not a finite number"),
        ("1 2 3 1_0 0 0 9 9 0 0 0 0 0 0 c.png", "c.png", "not a finite number"),
        ("1 2 3 4 0 0 9 inf 0 0 0 0 0 0 c.png", "c.png", "not a finite number"),
        ("1 2 3 4 0 0 9 9 0 0 0 0 0 0 ../evil.png", "../evil.png", "bad file name"),
        ("1 2 3 4 0 0 9 9 0 0 0 0 0 0 /etc/passwd", "/etc/passwd", "bad file name"),
        ("1 2 3 4 0 0 9 9 0 0 0 0 0 0 c#1", "c#1", "bad file name"),
    ],
)
def test_wflw_a_bad_row_is_rejected_with_its_line_and_nothing_else(tmp_path, row, file, kind):
    table = table_at(wflw_file(tmp_path, row + "\n" + WFLW))
    assert reasons(table) == [(file, 1, kind)] and table.names == ["b.png", "dir/a.png#2", "dir/a.png#5"]


def test_wflw_what_is_no_list_and_a_list_that_changes(tmp_path):
    path = wflw_file(tmp_path)
    table = table_at(path)
    path.write_text(WFLW.replace("b.png", "c.png"))
    assert table.label is not None
    with pytest.raises(ValueError, match="list.txt:2: the file was changed"):
        table.label(0)
    path.write_text("some words\nand more\n")
    assert "not a WFLW list" in rejection(path)
    path.write_text("")
    assert "not a WFLW list" in rejection(path)


# DeepLabCut

SINGLE = (
    "scorer,me,me,me,me\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"
    "labeled-data/v/2.png,1.5,2,,\nlabeled-data/v/1.png,-3,4,5,1308\nlabeled-data/v/3.png,,,,\n"
)
MULTI = (
    "scorer,,,me,me,me,me,me,me,me,me,me,me\n"
    "individuals,,,m.1,m.1,m.1,m.1,two,two,two,two,single,single\n"
    "bodyparts,,,nose,nose,tail,tail,tail,tail,nose,nose,door,door\n"
    "coords,,,x,y,x,y,x,y,x,y,x,y\n"
    "labeled-data,v,1.png,1,2,3,4,5,6,7,8,0,0\n"
    "labeled-data,v,2.png,,,,,,,9,10,0,0\n"
    "labeled-data,v,3.png,,,,,,,,,0,0\n"
)


def dlc_file(root: Path, text: str = SINGLE) -> Path:
    put(root, *(f"labeled-data/v/{i}.png" for i in (1, 2, 3)), "evil.png")
    path = root / "labeled-data" / "v" / "CollectedData_me.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [SINGLE, SINGLE.replace("labeled-data/v/", "labeled-data,v,").replace("r,", "r,,,").replace("s,", "s,,,")],
    ids=["one column", "three columns"],
)
def test_deeplabcut_one_animal(tmp_path, text):
    path = dlc_file(tmp_path, text)
    for where in (path, path.parent, tmp_path):
        table = table_at(where)
        assert held(table) == {
            "labeled-data/v/1.png": [[-3, 4], [5, 1308]],
            "labeled-data/v/2.png": [[1.5, 2], None],
            "labeled-data/v/3.png": [None, None],
        }
        assert list(table.lines) == [5, 4, 6] and table.files == [path] and not table.rejected
        assert all((table.root / p).is_file() for p in table.images or [])


def test_deeplabcut_several_animals(tmp_path):
    table = table_at(dlc_file(tmp_path, MULTI))
    assert held(table) == {
        "labeled-data/v/1.png#m-1": [[1, 2], [3, 4]],
        "labeled-data/v/1.png#two": [[7, 8], [5, 6]],
        "labeled-data/v/2.png#two": [[9, 10], None],
    }
    assert table.images == ["labeled-data/v/1.png", "labeled-data/v/1.png", "labeled-data/v/2.png"]
    assert reasons(table) == [(f"labeled-data/v/{i}.png#single", 4 + i, "other body parts") for i in (1, 2, 3)]


def test_deeplabcut_each_row_that_is_lost_is_reported_of(tmp_path):
    text = (
        MULTI.replace("9,10,0,0\n", "9,10,,\n")
        .replace(",,0,0\nl", ",,,\nl")
        .replace("3.png,,,,,,,,,0,0", "3.png,,,,,,,,,,")
    )
    table = table_at(dlc_file(tmp_path, text))
    told = [("labeled-data/v/1.png#single", 5, "other body parts"), ("labeled-data/v/3.png", 7, "no labelled point")]
    assert reasons(table) == told and "door" in table.rejected[0].reason and len(table.names) == 3


def test_deeplabcut_a_table_away_from_its_project_and_a_project_of_two_videos(tmp_path):
    away = put(tmp_path / "away", "1.png", "2.png") / "CollectedData_me.csv"
    away.write_text(SINGLE)
    table = table_at(away)
    assert table.images == ["1.png", "2.png", "3.png"] and table.names[0] == "labeled-data/v/1.png"
    project = tmp_path / "project"
    dlc_file(project)
    second = put(project, "labeled-data/w/1.png") / "labeled-data" / "w" / "CollectedData_me.csv"
    second.write_text(SINGLE.partition("labeled")[0] + "labeled-data\\w\\1.png,1,1,2,2\n")
    assert [name[-7:] for name in table_at(project).names] == ["v/1.png", "v/2.png", "v/3.png", "w/1.png"]
    second.write_text(second.read_text().replace("nose", "ear"))
    table = table_at(project)  # the usual body parts are read, here those of the first table
    assert reasons(table) == [("labeled-data/w/1.png", 4, "other body parts")] and len(table.names) == 3
    assert "ear" in table.rejected[0].reason and "nose" in table.rejected[0].reason


def test_deeplabcut_a_row_of_another_video_is_never_read_beside_its_table(tmp_path):
    path = dlc_file(tmp_path, SINGLE.replace("labeled-data/v/2", "labeled-data/gone/2"))
    for where in (path, path.parent, tmp_path):
        table = table_at(where)
        assert table.names[0] == "labeled-data/gone/2.png" and not table.rejected
        assert [(table.root / p).is_file() for p in table.images or []] == [False, True, True]
    all_gone = SINGLE.replace("data/v", "data/gone")
    assert "none of its 3" in rejection(dlc_file(tmp_path, all_gone))
    two = put(tmp_path / "two", "1.png", "2.png", "3.png") / "CollectedData_me.csv"  # out of its project, of two videos
    two.write_text(SINGLE.replace("data/v/2", "data/two/2"))
    assert [(two.parent / p).is_file() for p in table_at(two).images or []] == [True, False, False]


@pytest.mark.parametrize("far", ["C:\\Users\\me\\labeled-data\\v\\", "/home/me/p/labeled-data/v/", "D:\\frames\\v\\"])
def test_deeplabcut_paths_of_another_computer_lead_to_the_video(tmp_path, far):
    table = table_at(dlc_file(tmp_path, SINGLE.replace("labeled-data/v/", far)).parents[2])
    assert table.images == [f"labeled-data/v/{i}.png" for i in (1, 2, 3)] and not table.rejected
    assert held(table)[table.names[0]] == [[-3, 4], [5, 1308]]
    assert all((table.root / p).is_file() for p in table.images or [])


def test_deeplabcut_what_of_a_project_is_not_read_is_named(tmp_path):
    home = dlc_file(tmp_path).parents[1]
    assert not table_at(tmp_path).notes
    (tmp_path / "CollectedData_old.csv").write_text(SINGLE.replace("1.5", "9"))
    for name in ("stored", "plain", "v_labeled", "deep/w", "empty"):
        put(home / name, "1.png")
    (home / "stored" / "CollectedData_me.h5").write_bytes(b"")
    (home / "deep" / "w" / "CollectedData_me.csv").write_text(SINGLE)
    (home / "empty" / "CollectedData_me.csv").write_text(SINGLE.partition("labeled")[0])
    table = table_at(tmp_path)
    assert held(table)["labeled-data/v/2.png"] == [[1.5, 2], None] and len(table.names) == 3 and not table.rejected
    said = [
        "CollectedData_old.csv",
        "deep/w/CollectedData_me.csv",
        "stored/CollectedData_me.h5",
        "(labeled-data/plain)",
        "empty/",
    ]
    assert len(table.notes) == 5 and all(name in note for name, note in zip(said, table.notes, strict=True))
    assert table_at(tmp_path / "CollectedData_old.csv").num_points == 2


HEAD = "scorer,{}\nbodyparts,{}\ncoords,{}\n"


def dlc_video(
    project: Path, video: str, parts: str, row: list[int], names: tuple[str, ...] = ("1.png", "2.png")
) -> None:
    """A video's table of bare file names, each row the same numbers."""
    folder = put(project / "labeled-data" / video, *names)
    twice = ",".join(p for p in parts for _ in "xy")
    head = HEAD.format(",".join(["me"] * 2 * len(parts)), twice, ",".join(["x,y"] * len(parts)))
    text = "".join(f"{name},{','.join(map(str, row))}\n" for name in names)
    (folder / "CollectedData_me.csv").write_text(head + text)


def test_deeplabcut_labels_of_two_scorers_are_never_mixed(tmp_path):
    for video in "vw":
        dlc_video(tmp_path, video, "ab", [1, 2, 3, 4])
    mine = tmp_path / "labeled-data/v/CollectedData_me.csv"
    text = mine.read_text()
    other = mine.with_name("CollectedData_you.csv")
    other.write_text(text.replace("me", "you"))
    said = rejection(tmp_path)
    assert "me (CollectedData_me.csv), you (CollectedData_you.csv)" in said and "labeled-data/v" in said
    assert len(table_at(other).names) == 2  # chosen
    mine.unlink()
    table = table_at(tmp_path)
    assert len(table.names) == 4 and ["you (1 table)" in n and "me (1 table)" in n for n in table.notes] == [True]
    other.write_text(text.replace("me,me", "me,you"))
    assert "me, you" in rejection(tmp_path)
    other.write_text(text.replace("me,me,me,me", "me,me.1,me.2,me.3"))
    assert not table_at(tmp_path).notes


def test_deeplabcut_bare_names_belong_to_the_folder_of_their_table(tmp_path):
    dlc_video(tmp_path, "v", "ab", [1, 2, 3, 4])
    dlc_video(tmp_path, "w", "ab", [5, 6, 7, 8])
    table = table_at(tmp_path)
    assert table.names == [f"labeled-data/{v}/{i}.png" for v in "vw" for i in (1, 2)] and not table.rejected
    assert held(table)["labeled-data/w/1.png"] == [[5, 6], [7, 8]]
    assert all((table.root / p).is_file() for p in table.images or [])


def test_deeplabcut_rows_of_merged_cells_are_named_with_their_table(tmp_path):
    text = SINGLE.replace("labeled-data/v/", "labeled-data,v,").replace("r,", "r,,,").replace("s,", "s,,,")
    table = table_at(dlc_file(tmp_path, text.replace("labeled-data,v,1", ",,1")).parents[2])
    assert reasons(table) == [("labeled-data/v/1.png", 5, "not a path")] and len(table.names) == 2
    assert "labeled-data/v/CollectedData_me.csv" in table.rejected[0].reason and "fill" in table.rejected[0].reason


@pytest.mark.parametrize("video", ["Copy of v", "v - Copy"])
def test_deeplabcut_a_copy_of_a_folder_never_takes_the_place_of_the_folder(tmp_path, video):
    path = dlc_file(tmp_path)
    folder = put(tmp_path / "labeled-data" / video, "1.png", "2.png", "3.png")
    (folder / path.name).write_text(SINGLE.replace("1.5", "9"))
    table = table_at(tmp_path)
    assert held(table)["labeled-data/v/2.png"] == [[1.5, 2], None] and len(table.rejected) == 3


def test_deeplabcut_columns_are_matched_by_the_names_of_body_parts(tmp_path):
    dlc_video(tmp_path, "v", "abc", [1, 2, 3, 4, 5, 6])
    dlc_video(tmp_path, "w", "cab", [5, 6, 1, 2, 3, 4])
    table = table_at(tmp_path)
    assert list(held(table).values()) == [[[1, 2], [3, 4], [5, 6]]] * 4 and not table.rejected
    assert len(table.notes) == 1 and "another order" in table.notes[0] and "/w/" in table.notes[0]


def test_deeplabcut_the_usual_body_parts_decide_not_those_of_the_first_table(tmp_path):
    dlc_video(tmp_path, "a", "xy", [9, 9, 9, 9])
    dlc_video(tmp_path, "b", "ab", [1, 2, 3, 4])
    dlc_video(tmp_path, "c", "ba", [3, 4, 1, 2])
    table = table_at(tmp_path)
    assert len(table.names) == 4 and list(held(table).values()) == [[[1, 2], [3, 4]]] * 4
    assert reasons(table) == [(f"labeled-data/a/{i}.png", 3 + i, "other body parts") for i in (1, 2)]


def test_deeplabcut_the_usual_individual_decides(tmp_path):
    text = MULTI.replace("individuals,,,m.1,m.1,m.1,m.1", "individuals,,,0,0,1,1").replace(
        "bodyparts,,,nose,nose,tail,tail,tail,tail,nose,nose,door,door",
        "bodyparts,,,door,door,eye,eye,tail,tail,nose,nose,a,a",
    )
    assert table_at(dlc_file(tmp_path, text)).num_points == 1  # all odd: the first of them
    other = MULTI.replace("door,door", "nose,nose").replace(
        "nose,nose,tail,tail,tail,tail,nose,nose", "nose,nose,tail,tail,tail,tail,nose,nose"
    )
    table = table_at(dlc_file(tmp_path / "o", other))
    assert table.num_points == 2 and "single" in table.rejected[0].reason


@pytest.mark.parametrize(
    ("row", "file", "kind"),
    [
        ("c.png,1,2,3", "c.png", "wrong number of fields"),
        ("c.png,1,2,3,4,5", "c.png", "wrong number of fields"),
        ("c.png,1,2,3,", "c.png", "half a point"),
        ("c.png,1,2,x,4", "c.png", "not a finite number"),
        ("c.png,1,2,inf,4", "c.png", "not a finite number"),
        ("labeled-data/v/1.png,1,2,3,4", "labeled-data/v/1.png", "name twice"),
        ("../evil.png,1,2,3,4", "../evil.png", "bad file name"),
        ("..\\evil.png,1,2,3,4", "../evil.png", "bad file name"),
        ("/etc/passwd,1,2,3,4", "/etc/passwd", "bad file name"),
    ],
)
def test_deeplabcut_a_bad_row_is_rejected_with_its_line_and_nothing_else(tmp_path, row, file, kind):
    table = table_at(dlc_file(tmp_path, SINGLE + row + "\n"))
    assert reasons(table) == [(file, 7, kind)] and [name[-5:] for name in table.names] == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize(
    "change", [("coords,x,y,x,y", "coords,x,y,x,likelihood"), ("tail,tail", "nose,nose"), ("coords", "c")]
)
def test_deeplabcut_a_header_that_is_none(tmp_path, change):
    path = dlc_file(tmp_path, SINGLE.replace(*change))
    assert rejection(path).startswith(f"{path}: ")


def test_pandas_reads_our_deeplabcut_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = [Row("v/a b.png", np.array([[1.25, -2], [0, 0]]), np.array([True, False]), (0, 0))]
    deeplabcut.write(tmp_path / "CollectedData_x.csv", rows, 2)
    frame = pandas.read_csv(tmp_path / "CollectedData_x.csv", header=[0, 1, 2], index_col=0)
    assert frame.columns.names == ["scorer", "bodyparts", "coords"] and list(frame.index) == ["v/a b.png"]
    assert frame["jaxmarks"]["point_0"].to_numpy().tolist() == [[1.25, -2]]
    assert frame["jaxmarks"]["point_1"].isna().all(axis=None)


# our own table

PLAIN = (
    "file_name,x0,y0,x1,y1,box_x,box_y,box_width,box_height\n"
    "sub/b.png,1.5,2,,,0,0,30,20.5\n"
    "a.png#left,-3,4,5,1308,,,,\n"
    "a.png#right,,,6, 7,1,2,3,4\n"
)


def plain_file(root: Path, text: str = PLAIN) -> Path:
    put(root, "images/a.png", "images/sub/b.png", "evil.png")
    (root / "labels.csv").write_bytes(text.encode())
    return root / "labels.csv"


@pytest.mark.parametrize(
    "text", [PLAIN, PLAIN.replace("\n", "\r\n"), "\ufeff" + PLAIN[:-1]], ids=["plain", "crlf", "bom"]
)
def test_plain_gaps_faces_and_boxes(tmp_path, text):
    table = table_at(plain_file(tmp_path, text))
    assert held(table) == {
        "a.png#left": [[-3, 4], [5, 1308]],
        "a.png#right": [None, [6, 7]],
        "sub/b.png": [[1.5, 2], None],
    }
    assert table.images == ["a.png", "a.png", "sub/b.png"] and list(table.lines) == [3, 4, 2]
    boxes = [[-2.5, 4.5, 8, 1304], [1, 2, 3, 4], [0, 0, 30, 20.5]]  # the first is that of the points
    assert table.boxes is not None and table.boxes.tolist() == boxes and table.root == tmp_path / "images"


def test_plain_only_whole_numbers_are_known_to_be_whole(tmp_path):
    table = table_at(plain_file(tmp_path, "file_name,x,y\na.png,1,2\nsub/b.png,,\n"))
    assert table.whole and held(table) == {"a.png": [[1, 2]], "sub/b.png": [None]} and table.boxes is None
    assert not table_at(plain_file(tmp_path, "file_name,x,y\na.png,1,2.5\n")).whole


@pytest.mark.parametrize(
    ("row", "file", "kind"),
    [
        ("c.png,1,,3,4,,,,", "c.png", "half a point"),
        ("c.png,1,2, ,4,,,,", "c.png", "a blank field"),
        ("c.png,1,2, ,\t,1,2,3,4", "c.png", "a blank field"),
        ("c.png,1,2,3,4,1,2,3, ", "c.png", "a blank field"),
        ("c.png,1,2,3,4,1,2,3,", "c.png", "not a box"),
        ("c.png,1,2,3,4,1,2,3", "c.png", "wrong number of fields"),
        ("c.png,1,2,x,4,,,,", "c.png", "not a finite number"),
        ("c.png,1,2,nan,4,,,,", "c.png", "half a point"),
        ("c.png,1,2,3,inf,,,,", "c.png", "not a finite number"),
        ("../evil.png,1,2,3,4,,,,", "../evil.png", "bad file name"),
        ("/etc/passwd,1,2,3,4,,,,", "/etc/passwd", "bad file name"),
        ("sub/b.png,1,2,3,4,,,,", "sub/b.png", "name twice"),
    ],
)
def test_plain_a_bad_row_is_rejected_with_its_line_and_nothing_else(tmp_path, row, file, kind):
    table = table_at(plain_file(tmp_path, PLAIN + row + "\n"))
    assert reasons(table) == [(file, 5, kind)] and table.names == ["a.png#left", "a.png#right", "sub/b.png"]


def test_plain_half_a_point_at_the_end_of_a_row_without_boxes(tmp_path):
    table = table_at(plain_file(tmp_path, "file_name,x,y\na.png,1,2\nsub/b.png,1,\n"))
    assert reasons(table) == [("sub/b.png", 3, "half a point")] and table.names == ["a.png"]


@pytest.mark.parametrize("header", ["file_name,x0", "file_name,x0,y0,x1", "name,x0,y0", "a.png,1,2"])
def test_plain_a_header_that_is_none(tmp_path, header):
    path = plain_file(tmp_path, header + "\na.png,1,2\n")
    assert rejection(path).startswith(f"{path}:1: ")


# all of them

ROWS = [
    Row(
        "d/a.png", np.array([[0.1, -22.7], [1308.0001, 5]]), np.array([True, True]), (50, 40), np.array([1, 2, 3.5, 4])
    ),
    Row("b.png", np.array([[3, 4], [1e-5, 6.25]]), np.array([True, True]), (50, 40), np.array([0, 0, 9, 9.0])),
]
GAPPED = [ROWS[0], ROWS[1]._replace(mask=np.array([False, True]))]
PLACES = {"coco": "x.json", "pts": "x", "wflw": "x.txt", "deeplabcut": "CollectedData_x.csv", "plain": "x.csv"}


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("rows", [ROWS, GAPPED], ids=["full", "gapped"])
def test_what_is_written_is_read_again(tmp_path, kind, rows):
    module, out = formats.FORMATS[kind], put(tmp_path / "here", "d/a.png", "b.png") / PLACES[kind]
    if kind in ("pts", "wflw") and rows is GAPPED:
        with pytest.raises(ValueError, match="not labelled"):
            module.write(out, iter(rows), 2)
        assert not out.is_file() and not list(tmp_path.rglob("*.tmp"))
        return
    module.write(out, iter(rows), 2)
    table = table_at(out, pictures=str(tmp_path / "here"))
    assert table.names == ["b.png", "d/a.png"] and not table.rejected and table.label is not None
    for index, row in enumerate(reversed(rows)):
        points, mask = table.label(index)
        assert mask.tolist() == row.mask.tolist()
        wanted = row.points[row.mask].astype(np.float32)
        error = np.abs(np.asarray(points, np.float32)[mask] - wanted).max()
        assert error <= (1e-6 if kind == "pts" else 0)  # six decimals there, elsewhere all that a float32 has
    if kind in ("coco", "wflw", "plain"):
        assert table.boxes is not None and table.boxes.tolist() == [[0, 0, 9, 9], [1, 2, 3.5, 4]]


@pytest.mark.parametrize("kind", ["coco", "wflw", "deeplabcut", "plain"])
def test_what_ends_badly_leaves_nothing(tmp_path, kind):
    def rows():
        yield ROWS[0]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        formats.FORMATS[kind].write(tmp_path / "out", rows(), 2)
    with pytest.raises(ValueError, match="not a finite"):
        formats.FORMATS[kind].write(tmp_path / "out", [ROWS[0]._replace(points=np.full((2, 2), NAN))], 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        (pts_files, "a.png#1", "several objects"),
        (pts_files, "../a.png", "not a path"),
        (deeplabcut, "a.png#1", "several objects"),
        (wflw, "a b.png", "a blank"),
    ],
)
def test_names_that_a_format_cannot_say(tmp_path, module, name, said):
    with pytest.raises(ValueError, match=said):
        module.write(tmp_path / "out", [ROWS[0]._replace(name=name)], 2)
    assert not list(tmp_path.iterdir())


def test_two_images_of_one_stem_do_not_share_a_pts_file(tmp_path):
    with pytest.raises(ValueError, match="this stem"):
        pts_files.write(tmp_path, [ROWS[0], ROWS[0]._replace(name="d/a.jpg")], 2)


def contest_folder(root: Path) -> Path:
    put(root, "train/images/a.png")
    (root / "train" / "landmarks.csv").write_text("file_name\tx\ty\na.png\t1\t2\n")
    return root


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("contest", contest_folder),
        ("coco", coco_file),
        ("pts", pts_folder),
        ("wflw", wflw_file),
        ("deeplabcut", dlc_file),
        ("deeplabcut", lambda root: dlc_file(root).parent),
        ("deeplabcut", lambda root: dlc_file(root).parents[2]),
        ("plain", plain_file),
    ],
)
def test_a_sample_is_recognised_by_its_own_format_only(tmp_path, name, make):
    path = make(tmp_path)
    assert [known for known, module in formats.FORMATS.items() if module.recognises(path)] == [name]
    assert formats.recognise(path) is formats.FORMATS[name] and opening.parts(str(path)) == ["train"]


# scripts/convert.py


def convert(monkeypatch, *arguments: object) -> None:
    path = Path(__file__).parents[4] / "scripts" / "convert.py"
    monkeypatch.setattr(sys, "argv", ["convert.py", *map(str, arguments)])
    runpy.run_path(str(path))["main"]()


def test_drawn_faces_become_a_contest_folder(tmp_path, monkeypatch):
    for part in ("train", "test"):
        convert(monkeypatch, "--data", "drawn:20:5", "--part", part, "--format", "contest", "--out", tmp_path)
        source, written = drawn.DrawnSource("drawn:20:5", part), opening.open_source(str(tmp_path), part)
        assert len(written) == len(source) == {"train": 20, "test": 16}[part]
        assert list(written.names) == [name.replace(".png", ".jpg") for name in source.names]
        for index in (0, 7, len(source) - 1):
            assert (written[index].points == np.rint(source[index].points)).all()
            picture, face = written[index].image, source[index].image
            assert isinstance(picture, bytes) and isinstance(face, np.ndarray)
            assert picture == decode.encode_jpeg(face, 92)
    asked, wanted = written.asked, source.asked
    assert asked is not None and wanted is not None
    assert [a.tolist() for a in asked] == [a.tolist() for a in wanted]


@pytest.mark.parametrize("kind", PLACES)
def test_a_contest_folder_is_converted_with_its_images(tmp_path, monkeypatch, kind):
    data = put(tmp_path / "in", "train/images/b.png", "train/images/a.png")
    (data / "train" / "landmarks.csv").write_text("f\tx\ty\tx\ty\nb.png\t1\t2\t30.25\t4\na.png\t5\t6\t17\t-8\n")
    out = tmp_path / "out" / PLACES[kind]
    convert(monkeypatch, "--data", data, "--format", kind, "--out", out, "--copy-pictures")
    source = opening.open_source(str(out))
    assert list(source.names) == ["a.png", "b.png"] and source[0].image == PNG
    assert source[0].points.tolist() == [[5, 6], [17, -8]] and source[1].points.tolist() == [[1, 2], [30.25, 4]]
    if kind == "coco":
        assert json.loads(out.read_text())["images"][0] == {"id": 1, "file_name": "a.png", "width": 50, "height": 40}
    convert(monkeypatch, "--data", out, "--format", "contest", "--out", tmp_path / "back", "--copy-pictures")
    back = (tmp_path / "back" / "train" / "landmarks.csv").read_text().splitlines()[1:]
    assert back == ["a.png\t5\t6\t17\t-8", "b.png\t1\t2\t30.25\t4"]


def test_what_cannot_be_used_is_named_and_the_rest_converted(tmp_path, monkeypatch, capsys):
    path = coco_file(tmp_path, [*GOOD, {"id": 30, "image_id": 99, "keypoints": []}])
    (tmp_path / "images" / "a.png").unlink()
    convert(monkeypatch, "--data", path, "--format", "plain", "--out", tmp_path / "new" / "x.csv", "--copy-pictures")
    said = capsys.readouterr().out
    assert "a.png: the image is missing" in said and "unknown image" in said and "2 of 3 records" in said
    assert held(table_at(tmp_path / "new" / "x.csv")) == {
        "sub/b.png#11": [[5, 6], [7, 8], [-22, 1308]],
        "sub/b.png#12": [[9, 9], None, None],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "coco", "--out", "faces.json"), "own files"),
        (("--format", "plain", "--out", "faces.txt"), r"ends in \.csv"),
        (("--format", "plain", "--out", "x.csv", "--copy-pictures"), "already"),
        (("--format", "contest", "--out", "new"), "`format` plain"),
        (("--format", "pts", "--out", "new"), "`format` plain"),
    ],
)
def test_what_convert_rejects_and_the_data_stays(tmp_path, monkeypatch, arguments, said):
    path = coco_file(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        convert(monkeypatch, "--data", path, *arguments)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_categories_and_crowds_as_text_are_what_they_say(tmp_path):
    put(tmp_path, "a.png")
    entry = {"image_id": 1, "keypoints": [1, 1, 2, 3, 3, 2]}
    annotations = [
        {**entry, "id": 1, "category_id": 4, "iscrowd": "0"},
        {**entry, "id": 2, "category_id": "4"},
        {**entry, "id": 3, "category_id": "5"},
        {**entry, "id": 4, "category_id": 4, "iscrowd": "1"},
    ]
    images, kinds = [{"id": 1, "file_name": "a.png"}], [{"id": 4, "name": "face", "keypoints": ["a", "b"]}]
    data = {"images": images, "annotations": annotations, "categories": kinds}
    (tmp_path / "c.json").write_text(json.dumps(data))
    found = table_at(tmp_path / "c.json", category="face")
    assert found.names == ["a.png#1", "a.png#2"] and [r[2] for r in reasons(found)] == ["other category", "crowd"]


def test_a_row_of_separators_is_empty_and_a_name_of_another_case_is_told(tmp_path):
    put(tmp_path, "a.png", "Case .PNG")
    (tmp_path / "l.csv").write_text("file_name,x,y\na.png,1,2\n,,\ncase.png,1,2\nno.png,1,2\n")
    table = table_at(tmp_path / "l.csv")
    assert reasons(table) == [("l.csv", 3, "empty row")]
    source = Images(table)
    for name, told in (("case.png", "the image is missing: there is Case .PNG"), ("no.png", "the image is missing")):
        with pytest.raises(decode.DecodeError) as caught:
            source.encoded(source.names.index(name))
        assert str(caught.value) == told == sizes.glance(tmp_path / name, None, "l.csv")


def test_deeplabcut_in_another_dialect_is_told_and_the_tables_of_a_project_are_counted(tmp_path):
    text = "scorer,me,me\nbodyparts,a,a\ncoords,x,y\nlabeled-data/v{0}/i.png,1,2\n"
    for video in range(3):
        put(tmp_path, f"labeled-data/v{video}/i.png")
        written = text.format(video).replace(",", ";" if video == 1 else ",")
        (tmp_path / f"labeled-data/v{video}/CollectedData_me.csv").write_text(written, encoding="utf-8-sig")
    found = table_at(tmp_path)
    (note,) = [note for note in found.notes if "semicolons" in note]
    assert "v1" in note and len(found.names) == 3 and "2 more tables" in opening.described(Images(found))


def test_labels_in_hidden_folders_and_behind_links_are_used_and_told(tmp_path):
    points = "version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n"
    for name in ("a", "b", ".old/a", "sub/c"):
        put(tmp_path / "set", f"{name}.png")
        (tmp_path / "set" / f"{name}.pts").write_text(points)
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set" / "sub")
    table = table_at(tmp_path / "set")
    assert len(table.names) == 5
    hidden, linked = [note for note in table.notes if " labels lie " in note]
    assert "1 of 5 labels" in hidden and "(.old)" in hidden and "1 of 5 labels" in linked and "(again)" in linked
    assert not [n for n in table_at(tmp_path / "set" / "sub").notes if " labels lie " in n]
