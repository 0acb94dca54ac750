"""What packing tells of a set: the images that no row names."""

import json

import pytest

from pipelines.packing import report
from tests.pipelines.sources.formats.test_formats import dlc_video, put, table_at


def pts(root):
    for name in ("a", "sub/b", "sub/bad"):
        put(root, f"{name}.png", f"{name}.mat")
        (root / f"{name}.pts").write_text("version: 1\nn_points: 1\n{\n1 1\n" + "}" * (name != "sub/bad"))
    put(root, "sub/free.jpg", "sub/other.png", ".hidden.png", "folder.png/x.txt", "apart/c.png")
    return root, ["sub/free.jpg", "sub/other.png"]


def deeplabcut(root):
    dlc_video(root, "v", "ab", [1, 2, 3, 4])
    dlc_video(root, "w", "ab", [1, 2, 3, 4])
    put(root / "labeled-data/w", "3.png", "CollectedData_me.h5")
    with open(root / "labeled-data/v/CollectedData_me.csv", "a") as file:
        file.write(
            f"labeled-data/gone/1.png,1,2,3,4\n{put(root / 'labeled-data/v', 'half.png') and 'half.png'},1,,3,4\n"
        )
    return root, ["labeled-data/w/3.png"]


def coco(root):
    images = [{"id": i, "file_name": f"sub/{i}.png"} for i in range(3)]
    put(root, *(image["file_name"] for image in images), "sub/3.PNG", "a.png")
    rows = [{"id": i, "image_id": i, "category_id": 1, "keypoints": [1, 1, 2 * (i < 2)]} for i in range(3)]
    data = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "x", "keypoints": ["a"]}]}
    (root / "a.json").write_text(json.dumps(data))
    return root / "a.json", ["a.png", "sub/3.PNG"]


@pytest.mark.parametrize("make", [pts, deeplabcut, coco])
def test_images_that_no_row_names_are_counted_in_every_folder_that_has_one_that_is(tmp_path, make, monkeypatch):
    path, free = make(tmp_path)
    assert report.not_listed(table_at(path)) == {"files": len(free), "first": free}
    monkeypatch.setattr(report, "_SAMPLED", 3)
    assert report.not_listed(table_at(path)) is None


def test_images_of_rows_that_were_rejected_for_their_names_are_not_counted(tmp_path):
    put(tmp_path / "pts", "a.png", "IMG.png", "free.png")
    for name in ("a", "img"):
        (tmp_path / "pts" / f"{name}.pts").write_text("version: 1\nn_points: 1\n{\n1 1\n}\n")
    assert report.not_listed(table_at(tmp_path / "pts")) == {"files": 1, "first": ["free.png"]}
    put(tmp_path / "plain", "a.png", "b.png", "free.png")
    (tmp_path / "plain" / "t.csv").write_text("file_name,x,y\na.png,1,2\nC:\\me\\b.png,1,2\n")
    assert report.not_listed(table_at(tmp_path / "plain" / "t.csv")) == {"files": 1, "first": ["free.png"]}
