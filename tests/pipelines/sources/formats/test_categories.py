"""COCO's categories: the annotation's own decides, and where several have keypoints a person does."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.packing import cache
from pipelines.sources.formats import categories
from pipelines.sources.formats.coco import write_results
from pipelines.sources.tables import Images, Row

PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
CAR = {"id": 1, "name": "car", "keypoints": ["a", "b", "c"]}
FACE = {"id": 2, "name": "face", "keypoints": ["v", "w"]}
HAND = {"id": 7, "name": "left hand", "keypoints": ["v", "w"]}
BOXED = {"id": 9, "name": "tree"}


def coco(root: Path, kinds: list, declared: list | None, points: dict | None = None) -> str:
    """A file of one annotation an image, of these categories; `points` of a category, where not the 2 of the others."""
    root.mkdir(parents=True, exist_ok=True)
    annotations = []
    for i, kind in enumerate(kinds):
        (root / f"{i}.png").write_bytes(PNG)
        found = {"id": i, "image_id": i, "keypoints": [i, 1, 2] * (points or {}).get(kind, 2)}
        annotations.append(found if kind is None else {**found, "category_id": kind})
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(len(kinds))]
    data = {"images": images, "annotations": annotations}
    (root / "a.json").write_text(json.dumps(data if declared is None else {**data, "categories": declared}))
    return str(root / "a.json")


@pytest.mark.parametrize(
    ("kinds", "declared", "points", "names", "other"),
    [
        ([2, 2, 2], [CAR, FACE], {}, "012", 0),  # the first category with keypoints is not the one that is used
        ([2, 2, 1], [CAR, FACE], {1: 0}, "01", 1),  # boxes of another category
        ([2, 9, 2], [FACE, BOXED], {9: 0}, "02", 1),
        ([None] * 3, [FACE], {}, "012", 0),
        ([2, None, 2], [CAR, FACE], {}, "012", 0),  # of the only one that is used
        ([3, 3], [FACE], {}, "01", 0),  # one that is not declared
        ([5, 5, 5], None, {}, "012", 0),
        (["x", "x"], [{"id": "x", "name": "n"}], {}, "01", 0),
    ],
)
def test_each_annotation_is_read_by_its_own_category(tmp_path, kinds, declared, points, names, other):
    table = opening.open_table(coco(tmp_path, kinds, declared, points), "train")
    assert table.names == [f"{n}.png" for n in names] and table.num_points == 2
    assert len(table.rejected) == other and all(r.reason.startswith("other category: ") for r in table.rejected)


def test_the_usual_number_of_points_decides_where_no_category_names_them(tmp_path):
    path = coco(tmp_path, ["odd", "x", "x", "x"], None, {"odd": 3})
    data = json.loads(Path(path).read_text())
    for annotation in data["annotations"]:
        annotation["category_id"] = 1
    Path(path).write_text(json.dumps(data))
    table = opening.open_table(path, "train")
    assert table.num_points == 2 and table.names == ["1.png", "2.png", "3.png"]
    assert [(r.file, r.reason.split(":")[0]) for r in table.rejected] == [("0.png", "wrong number of points")]


def test_most_annotations_having_another_number_of_points_is_told_of(tmp_path):
    path = Path(coco(tmp_path, [1, 1, 1, 1], [CAR], {1: 4}))
    data = json.loads(path.read_text())
    data["annotations"][3]["keypoints"] = [3, 1, 2] * 3
    path.write_text(json.dumps(data))
    table = opening.open_table(str(path), "train")
    assert table.names == ["3.png"]
    assert any("names 3 points, but 3 of 4 of its annotations have 4" in note for note in table.notes)


def test_images_removed_and_the_others_numbered_anew_are_told_of(tmp_path):
    path = Path(coco(tmp_path, [2] * 6, [FACE]))
    data = json.loads(path.read_text())
    data["images"] = [{**image, "id": i} for i, image in enumerate(data["images"][:2] + data["images"][3:])]
    data["annotations"] = [a for a in data["annotations"] if a["id"] != 2]
    path.write_text(json.dumps(data))
    assert any("1 annotation of an image id that no image has, and 1 image has no" in n for n in opened_notes(path))
    data["annotations"] = [{**a, "image_id": a["image_id"] - (a["image_id"] > 2)} for a in data["annotations"]]
    path.write_text(json.dumps(data))
    assert not any("no image has" in note for note in opened_notes(path))


def test_categories_counted_from_0_and_from_1_are_told_of(tmp_path):
    path = coco(tmp_path, [1, 2, 1, 2], [FACE, HAND])
    with pytest.raises(
        ValueError, match=r"not in the file's list.*does not list \(1\), and listed ones have none \(left hand\)"
    ):
        opening.open_table(path, "train")
    table = opening.open_table(path, "train", category="face")
    assert any("count from 0, the other from 1?" in note for note in table.notes)


@pytest.mark.parametrize("add", [0, 10**15, 1_790_967_808_000_000_001, 2**63 - 9])
def test_ids_of_64_bits_are_read(tmp_path, add):
    path = Path(coco(tmp_path, [2] * 3, [FACE]))
    data = json.loads(path.read_text())
    for image, annotation in zip(data["images"], data["annotations"], strict=True):
        image["id"] += add
        annotation |= {"id": annotation["id"] + add, "image_id": annotation["image_id"] + add}
    path.write_text(json.dumps(data))
    table = opening.open_table(str(path), "train")
    assert table.names == ["0.png", "1.png", "2.png"] and not table.rejected


def opened_notes(path: Path) -> list[str]:
    return list(opening.open_table(str(path), "train").notes)


@pytest.mark.parametrize("kinds", [[2, 7, 2, 7, 2], [1, 2, 2, 1, 2]], ids=["as many points", "other points"])
def test_several_with_keypoints_are_never_mixed(tmp_path, kinds):
    path = coco(tmp_path, kinds, [CAR, FACE, HAND], {1: 3})
    with pytest.raises(ValueError, match="`category`") as caught:
        opening.open_source(path)
    assert "face (id 2): 3 annotations of 2 points" in str(caught.value) and "\n" not in str(caught.value)
    for wanted in ("face", "2"):
        source = opening.open_source(path, category=wanted)
        assert source.names == [f"{i}.png" for i, kind in enumerate(kinds) if kind == 2]
        assert isinstance(source, Images) and len(source.table.rejected) == 2 and source.num_points == 2
    with pytest.raises(ValueError, match="nose.*face"):
        opening.open_source(path, category="nose")


def test_a_category_that_nothing_has_is_rejected(tmp_path):
    for path in (
        coco(tmp_path / "a", [2], [FACE, FACE | {"id": 3}]),
        coco(tmp_path / "b", [2, 3], [FACE, FACE | {"id": 3}]),
    ):
        found = [opening.open_table(path, "train", category="2").names]
        assert found == [["0.png"]]
    with pytest.raises(ValueError, match="2 categories"):
        opening.open_table(path, "train", category="face")
    (tmp_path / "t.csv").write_text("file_name,x,y\n")
    with pytest.raises(ValueError, match="`category` x"):
        opening.open_table(str(tmp_path / "t.csv"), "train", category="x")
    assert categories.choose(Path("a"), {"annotations": []}, "") == (0, frozenset())


def test_two_categories_of_one_file_are_two_sets_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    path = coco(tmp_path / "set", [2, 7, 2, 7], [FACE, HAND])
    names = [list(cache.training_set(path, category=c).names) for c in ("face", "left hand", "face")]
    assert names == [["0.png", "2.png"], ["1.png", "3.png"], ["0.png", "2.png"]]


@pytest.mark.parametrize("script", ["convert", "prepare", "train"])
def test_commands_pass_the_category_on(tmp_path, monkeypatch, capsys, script):
    path = coco(tmp_path / "set", [2, 7, 2, 7, 2, 7], [FACE, HAND])
    more = {
        "convert": ["--format", "plain", "--out", tmp_path / "out.csv"],
        "prepare": ["--out", tmp_path / "packed", "--dry-run"],
        "train": ["--dry-run", "--model", "resnet18", "--size", 32, "--batch", 4, "--steps", 1, "--runs", tmp_path,
                  "--val-fraction", 0.34],
    }  # fmt: skip
    monkeypatch.setattr(sys, "argv", [script, "--data", path, "--category", "left hand", *map(str, more[script])])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(__file__).parents[4] / "scripts" / f"{script}.py"), run_name="__main__")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    if script == "convert":
        assert [row.split(",")[0] for row in (tmp_path / "out.csv").read_text().splitlines()[1:]] == [
            "1.png",
            "3.png",
            "5.png",
        ]
    else:
        line = next(
            line for line in said.splitlines() if ("records in" if script == "prepare" else "split: train") in line
        )
        assert sum(map(int, re.findall(r"\d+", line)[: 1 if script == "prepare" else 2])) == 3
        assert "3 other category" in said or script != "prepare"


def test_predictions_are_results_of_the_category_that_was_read(tmp_path):
    path, out = coco(tmp_path / "set", [2, 7, 2, 7], [FACE, HAND]), tmp_path / "results.json"
    rows = [Row(name, np.ones((2, 2)), np.ones(2, bool), (50, 40)) for name in ("1.png", "3.png")]
    write_results(out, rows, 2, Path(path), "left hand")
    assert [(r["image_id"], r["category_id"]) for r in json.loads(out.read_text())] == [(1, 7), (3, 7)]
    with pytest.raises(ValueError, match="`category`"):
        write_results(out, rows, 2, Path(path))
