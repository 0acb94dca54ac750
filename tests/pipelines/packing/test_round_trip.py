"""From every format into every other: the set that is read again is the same set, or what changed is said."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from pipelines import example
from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import convert as converting
from pipelines.packing import pack, round_trip
from pipelines.sources import boxes, formats
from pipelines.sources.tables import Row, Table
from tests.pipelines.sources.formats.test_formats import convert

KINDS = ["contest", "coco", "plain", "wflw", "pts", "deeplabcut", "packed"]
TOOLS = ["cvat", "labelstudio", "labelme", "yolo"]
PAIRS = [
    *itertools.permutations(KINDS, 2),
    *itertools.pairwise(["plain", *TOOLS, "coco", *TOOLS[::-1], "contest"]),
]
UNBOXED = ("contest", "pts", "deeplabcut")
NAMES = [f"{i}.png" for i in range(4)]


def rows(boxed: bool) -> list[Row]:
    """Labels with all the digits of a float32, boxes with those of a float64 that people write."""
    random = np.random.RandomState(0)
    points = (random.rand(4, 3, 2) * 60 - 9).astype(np.float32).astype(np.float64)
    points[0, 0] = 0.1234567, -7.3e-3
    given = np.round(random.rand(4, 4) * 20 + [-9, -9, 40, 40], 2)  # about most of the points
    every = np.ones(3, bool)
    return [Row(name, points[i], every, (50, 40), given[i] if boxed else None) for i, name in enumerate(NAMES)]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for i, name in enumerate(NAMES):
        (root / name).write_bytes(decode.encode_png(np.full((40, 50, 3), 40 * i, np.uint8)))
    return root


def place(kind: str, root):
    names = {"coco": "x.json", "plain": "x.csv", "wflw": "x.txt", "deeplabcut": "CollectedData_x.csv"}
    return root / {**names, "cvat": "x.xml", "labelstudio": "tasks.json"}.get(kind, kind)


def files_of(kind: str, root, images, found: list[Row], names=()) -> tuple[str, str]:
    """(where the rows lie in a format, the file of their boxes, if it has none) with their images in place."""
    out, beside = place(kind, root), ""
    if kind == "packed":
        path, _ = files_of("plain", root / "from", images, found)
        job = pack.plan(out, {"train": opening.open_source(path)})
        pack.write(job, 1, lambda *_: None)
        pack.merge(job)
        return str(out), ""
    home = converting.image_folder_of(kind, out / "train" if kind == "contest" else out)
    home.mkdir(parents=True)
    for name in NAMES:
        (home / name).write_bytes((images / name).read_bytes())
    if kind == "contest":
        formats.contest.write(out / "train" / "landmarks.csv", iter(found), 3, decimals=None)
    else:
        formats.FORMATS[kind].write(out, iter(found), 3, **({"names": names} if names else {}))
    if found[0].box is not None and kind in UNBOXED:
        beside = str(root / "given.csv")
        list(round_trip.with_boxes_beside(found, root / "given.csv"))
    return str(out), beside


@pytest.mark.parametrize("boxed", [False, True], ids=["whole", "boxed"])
@pytest.mark.parametrize(("kind", "to"), PAIRS, ids=map("-".join, PAIRS))
def test_a_set_is_the_same_set_in_another_format(images, tmp_path, monkeypatch, capsys, kind, to, boxed):
    found = rows(boxed)
    path, beside = files_of(kind, tmp_path / "a", images, found)
    source = opening.open_source(path, boxes=beside)
    assert source.boxed == boxed and len(source) == 4
    if to == "packed":
        job = pack.plan(tmp_path / "b", {"train": source})
        pack.write(job, 1, lambda *_: None)
        pack.merge(job)
        back = opening.open_source(str(tmp_path / "b"))
        assert back.boxed == boxed and example.identity(back) == example.identity(source)
        return
    out = place(to, tmp_path / "b")
    given = ("--boxes", beside) if beside else ()
    convert(monkeypatch, "--data", path, *given, "--format", to, "--out", out, "--copy-pictures")
    said = capsys.readouterr().out
    needed = boxed and to in UNBOXED
    assert (f"{to} has no bounding boxes" in said) == needed
    kept = round_trip.boxes_beside(to, out / "train" if to == "contest" else out, source) or ""
    back = opening.open_source(str(out), boxes=str(kept))
    assert back.boxed == boxed and not boxes.of_labels(back, range(4))
    same = example.identity(back) == example.identity(source)
    assert ("it is the same set" in said, "it is another set" in said) == (same, not same), said
    assert same or (needed and kind not in UNBOXED and "4 rounded bounding boxes" in said)  # --boxes is float32
    for index, name in enumerate(NAMES):
        assert np.array_equal(back[index].points, source[index].points), name


def test_the_boxes_that_coco_and_wflw_must_have_are_none_when_they_are_read(tmp_path, images):
    for kind, text in (("coco", '"bbox_from": "keypoints"'), ("wflw", " 0 0 0 0 ")):
        path, _ = files_of(kind, tmp_path / kind, images, rows(False))
        assert text in Path(path).read_text() and not opening.open_source(path).boxed


@pytest.mark.parametrize("names", [["left eye", "right-eye", "nose_tip"], ["größe", "b", "c d"]])
@pytest.mark.parametrize("kind", ["plain", "coco"])
def test_names_of_points_are_kept(images, tmp_path, monkeypatch, kind, names):
    path, _ = files_of("labelstudio", tmp_path / "a", images, rows(False), names)
    assert opening.open_source(path).point_names == names
    out = place(kind, tmp_path / "b")
    convert(monkeypatch, "--data", path, "--format", kind, "--out", out, "--copy-pictures")
    assert list(opening.open_source(str(out)).point_names) == names


@pytest.mark.parametrize(
    "names", [["a", "a, b", "c"], ["box corner", "b", "c"], ["ends_", "b", "c"], ["a", "b\tx", "c"]]
)
def test_names_that_a_header_cannot_hold_become_numbers(images, tmp_path, names):
    plain = tmp_path / "images.csv"
    formats.FORMATS["plain"].write(plain, rows(False), 3, names)
    assert plain.read_text().startswith("file_name,x_0,y_0,x_1,y_1,x_2,y_2\n")
    assert len(opening.open_table(str(plain), "train", pictures=str(images)).names) == 4


def test_names_of_several_faces_are_kept_by_coco(tmp_path, images, monkeypatch, capsys):
    names = ["0.png#left", "0.png#right", "1.png#9", "2.png"]
    found = [row._replace(name=name) for row, name in zip(rows(False), names, strict=True)]
    path, _ = files_of("plain", tmp_path / "a", images, found)
    out = place("coco", tmp_path / "b")
    convert(monkeypatch, "--data", path, "--format", "coco", "--out", out, "--pictures", images)
    assert "it is the same set" in capsys.readouterr().out
    table = opening.open_table(str(out), "train", pictures=str(images))
    assert table.names == names and table.images == ["0.png", "0.png", "1.png", "2.png"]
    out = place("wflw", tmp_path / "c")  # lines are all that WFLW has
    convert(monkeypatch, "--data", path, "--format", "wflw", "--out", out, "--pictures", images)
    assert "it is another set, of another identity: 3 under another name" in capsys.readouterr().out


def test_where_images_that_are_not_copied_lie_is_told(tmp_path, images, monkeypatch, capsys):
    path, _ = files_of("plain", tmp_path / "a", images, rows(False))
    table = opening.open_table(path, "train")
    (tmp_path / "b").mkdir()
    given = ("--data", path, "--format", "plain", "--out", tmp_path / "b" / "l.csv")
    convert(monkeypatch, *given)
    said = capsys.readouterr().out
    assert "it is the same set" in said and "boxes" not in said
    assert f"--pictures {table.root}" in said and "--copy-pictures" in said
    convert(monkeypatch, *given, "--copy-pictures")
    assert "--pictures" not in capsys.readouterr().out and opening.open_table(str(tmp_path / "b/l.csv"), "train").names


def test_two_annotations_of_one_face_keep_their_ids(tmp_path, images):
    path, _ = files_of(
        "coco", tmp_path, images, [row._replace(name=f"0.png#{f}") for row, f in zip(rows(False), "abcd", strict=True)]
    )
    text = Path(path).read_text().replace('"face": "b"', '"face": "a"')
    Path(path).write_text(text)
    assert opening.open_table(path, "train").names == ["0.png#1", "0.png#2", "0.png#3", "0.png#4"]


def test_what_a_conversion_changes_is_counted(tmp_path, monkeypatch, capsys):
    convert(monkeypatch, "--data", "drawn:5:5", "--format", "contest", "--out", tmp_path / "c")
    said = capsys.readouterr().out
    assert "another set" in said and "5 rounded labels" in said and "5 images coded as JPEG" in said
    convert(monkeypatch, "--data", "drawn:5:5", "--part", "test", "--format", "plain", "--out", tmp_path / "p.csv")
    said = capsys.readouterr().out
    assert "the points asked of each image" in said and "16 images coded as JPEG" in said


def sent_of(found: list[Row]) -> list[round_trip.Sent]:
    sent: list[round_trip.Sent] = []
    list(round_trip.noted(found, sent))
    return sent


def test_each_change_is_seen():
    found = rows(True)
    known = np.stack([row.box for row in found])
    mask = np.ones(3, bool)
    table = Table(files.cache_root(), "x", 3, list(NAMES), [0] * 4, lambda i: (found[i].points, mask), boxes=known)
    assert round_trip.changes(sent_of(found), table) == []
    moved = [found[0]._replace(points=found[0].points + 1e-3), *found[1:]]
    assert round_trip.changes(sent_of(moved), table) == ["1 rounded labels"]
    hidden = [found[0]._replace(mask=np.array([True, False, True])), *found[1:]]
    assert round_trip.changes(sent_of(hidden), table) == ["1 rounded labels"]
    assert round_trip.changes(sent_of([row._replace(box=None) for row in found]), table) == ["4 with a bounding box"]
    assert round_trip.changes(sent_of([row._replace(box=row.box + 0.5) for row in found]), table) == [
        "4 rounded bounding boxes"
    ]
    assert round_trip.changes(sent_of(found[:3]), table) == ["1 that were there before"]
    renamed = [found[0]._replace(name="x.png"), *found[1:]]
    assert round_trip.changes(sent_of(renamed), table) == ["1 under another name"]
    fewer = table.chosen([1, 2, 3])
    gone = table.__class__(**{**fewer.__dict__, "rejected": [table.rejection(0, "no labelled point")], "boxes": None})
    assert round_trip.changes(sent_of(found), gone) == [
        "3 without their bounding box",
        "1 rejected (no labelled point)",
    ]


@pytest.mark.parametrize(
    ("kind", "out", "there"),
    [
        ("contest", "new", "train/landmarks.csv"),
        ("contest", "new", "train/boxes.csv"),
        ("deeplabcut", "new/CollectedData_x.csv", "boxes.csv"),
        ("plain", "new/x.csv", "images/3.png"),
        ("contest", "new", "train/images/3.png"),
    ],
)
def test_what_out_does_not_itself_name_is_not_written_over_and_that_is_reported_before_anything_is_written(
    tmp_path, images, rejected, kind, out, there
):
    data, _ = files_of("plain", tmp_path / "from", images, rows(boxed=True))
    path = tmp_path / "new" / there
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    before = sorted(tmp_path.rglob("*"))
    told = rejected("convert", "--data", data, "--format", kind, "--out", tmp_path / out, "--copy-pictures")
    assert path.name in told and "already" in told and path.read_bytes() == b"mine"
    assert sorted(tmp_path.rglob("*")) == before
