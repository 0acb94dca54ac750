"""Runs on bounding boxes, by whatever format these come: every command knows it, and none sees the whole image instead."""

import json
import shutil

import numpy as np
import pytest

from jaxmarks import affine
from pipelines import example, loader, predictor, synthetic
from pipelines import open as opening
from pipelines.evaluation import scoring
from pipelines.export import model_file, preprocessing
from pipelines.images import decode
from pipelines.io import csv_text, files
from pipelines.runs import restore as opened
from pipelines.runs import run_data, run_folder
from pipelines.sources import boxes
from pipelines.sources.formats import coco, plain, wflw
from pipelines.sources.tables import Row
from tests.commands import SMALL, begun

COUNT = 12
DETECTED = np.random.RandomState(0).uniform(
    -12, 12, (COUNT, 4)
)  # what a detector's boxes have beside those of the points


def rows(folder) -> list[Row]:
    """Wide images with a face at one end, and a box about it that is not that of its points."""
    folder.mkdir(parents=True)
    found = []
    for index in range(COUNT):
        face = synthetic.draw(index, num_points=5)
        height, width = face.image.shape[:2]
        wide = np.full((height, 3 * width, 3), 120, np.uint8)
        at = 2 * width * (index % 2)
        wide[:, at : at + width] = face.image
        name, points = f"{index:02d}.png", face.truth + (at, 0)
        (folder / name).write_bytes(decode.encode_png(wide))
        box = boxes.of_points(points, np.ones(5, bool))
        found.append(Row(name, points, np.ones(5, bool), (3 * width, height), np.round(box + DETECTED[index])))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, rows): one set in each format that has boxes, and as a table with a file of boxes."""
    root = tmp_path_factory.mktemp("boxed")
    found = rows(root / "images")
    (root / "WFLW_images").symlink_to("images")
    coco.write(root / "coco.json", iter(found), 5)
    plain.write(root / "plain.csv", iter(found), 5)
    wflw.write(root / "wflw.txt", iter(found), 5)
    plain.write(root / "bare.csv", (row._replace(box=None) for row in found), 5)
    with files.whole(root / "boxes.csv") as file:
        file.write(b"file_name,x,y,width,height\n")
        for row in found:
            file.write(csv_text.row([row.name, *row.box]))
    return root, found


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    """A run on the COCO set, of whose configuration no word says that it has boxes."""
    return begun(tmp_path_factory.mktemp("runs") / "boxed", data=str(made[0] / "coco.json"), batch=4, val_fraction=0.25)


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    return begun(tmp_path_factory.mktemp("runs") / "whole", data=str(made[0] / "bare.csv"), batch=4, val_fraction=0.25)


def packed(command, root, out, *more):
    assert command("prepare", "--data", root, "--out", out, *more)[0] == 0
    return str(out)


@pytest.mark.parametrize("kind", ["coco.json", "plain.csv", "wflw.txt", "--boxes", "packed"])
def test_a_run_keeps_that_its_data_has_boxes(made, tmp_path, command, kind):
    root, found = made
    settings = {"data": str(root / kind)}
    if kind == "--boxes":
        settings = {"data": str(root / "bare.csv"), "boxes": str(root / "boxes.csv")}
    if kind == "packed":
        settings = {"data": packed(command, root / "plain.csv", tmp_path / "packed")}
    config = run_folder.settings({**settings, "model": "resnet18", "size": 32, "batch": 4, "cache": False})
    source = run_data.of_config(config)
    assert source.boxed and [source[i].box.tolist() for i in range(COUNT)] == [row.box.tolist() for row in found]
    made_run = run_folder.create(tmp_path / "run", config, source)
    assert made_run.boxed and files.read_json(tmp_path / "run" / "config.json")["boxed"] is True
    assert run_folder.identity(source) == run_folder.identity(opening.open_source(str(root / "coco.json")))


@pytest.mark.slow
def test_an_older_run_falls_back_to_its_flag(run, tmp_path):
    for boxes_file, boxed in (("", False), ("b.csv", True)):
        shutil.copytree(run, old := tmp_path / f"old{boxed}")
        stored = files.read_sealed(old / "config.json")
        del stored["boxed"]
        stored["config"]["boxes"] = boxes_file
        files.write_sealed(old / "config.json", stored)
        assert run_folder.load(old).boxed is boxed


@pytest.mark.slow
def test_images_without_boxes_are_rejected(made, run, tmp_path, rejected, command):
    root, _ = made
    out = ("--tta", "none", "--out", tmp_path / "p.csv")
    for where in (("--images", root / "images"), ("--data", root / "bare.csv"), ("--data", "drawn:24:5")):
        told = rejected("predict", "--run", run, *where, *out)
        assert "--boxes" in told and not list(tmp_path.iterdir()), told
    assert "--boxes" in rejected("evaluate", "--run", run, "--data", root / "bare.csv", "--out", tmp_path / "o.json")
    bare = packed(command, root / "bare.csv", tmp_path / "bare")
    assert "prepare.py" in rejected("predict", "--run", run, "--data", bare, *out)
    told = rejected("predict", "--run", run, "--data", bare, "--boxes", root / "boxes.csv", *out)
    assert "--boxes would do nothing" in told


@pytest.fixture(scope="module")
def net(run):
    return predictor.load(run, tta="none", weights="equal")


@pytest.mark.slow
def test_python_needs_boxes_too(net):
    with pytest.raises(ValueError, match="give boxes"):
        net.predict([np.zeros((50, 60, 3), np.uint8)])
    with pytest.raises(ValueError, match="`boxes`"):
        list(net.predictions(opening.open_source("drawn:24:5")))


@pytest.mark.slow
def test_every_way_to_predict_sees_the_crops(made, run, net, tmp_path, command):
    """Points of one network by its data, by images with a file of boxes, and from Python: the same."""
    root, found = made
    images = [decode.decode((root / "images" / row.name).read_bytes()) for row in found]
    expected = net.predict(images, [row.box for row in found]).points
    elsewhere = str(root / ".." / root.name / "coco.json")  # else it is what the run was trained on
    shutil.copy(elsewhere, root / "again.json")
    for where in (("--data", root / "again.json"), ("--images", root / "images", "--boxes", root / "boxes.csv")):
        out = tmp_path / "p.csv"
        code, said = command("predict", "--run", run, *where, "--tta", "none", "--format", "plain", "--out", out)
        assert code == 0, said.err
        table = opening.open_table(str(out), "train", pictures=str(root / "images"))
        got = np.array([table.label(i)[0] for i in range(COUNT)])
        assert np.abs(got - expected).max() < 0.01
    away = np.abs(expected.mean(1)[:, 0] - [row.points[:, 0].mean() for row in found])
    assert away.max() < 100  # the crop is where the face is


@pytest.mark.slow
def test_boxes_that_a_run_on_whole_images_never_saw_are_reported(made, whole, caplog):
    source = run_data.test_split(run_folder.load(whole), str(made[0] / "coco.json"))
    assert source.boxed and f"bounding boxes are given ({COUNT} images)" in caplog.text


def test_runs_on_boxes_and_on_whole_images_are_not_mixed(run, whole):
    with pytest.raises(ValueError, match="cannot be combined"):
        predictor.load(run, whole, tta="none", weights="equal")
    boxed, other = run_folder.load(run), run_folder.load(whole)
    assert boxed.boxed and not other.boxed
    with pytest.raises(ValueError, match="cannot be combined"):
        scoring.check_other(boxed, other, opening.open_source(boxed.config.data), "test")


@pytest.mark.slow
def test_the_command_export_checks_through_boxes(run, tmp_path, command):
    code, said = command("export", "--run", run, "--out", tmp_path / "n.stablehlo")
    assert code == 0 and "bounding boxes" in said.out, said.err
    about = json.loads((tmp_path / "n.stablehlo.json").read_text())
    assert about["preprocessing"]["boxes"] is True and about["parity"]["photographs"] == 3


def test_the_json_of_an_export_describes_the_crop(made, run, whole):
    root, found = made
    here = opened.load(run)
    about = model_file.describe(here, "stablehlo", "float32", None)["preprocessing"]
    assert about["boxes"] is True and about["margin"] == 0.25 and "box" in about["formulas"][0]
    assert model_file.describe(opened.load(whole), "stablehlo", "float32", None)["preprocessing"]["boxes"] is False
    source = opening.open_source(str(root / "coco.json"))
    (batch, count) = next(loader.ordered(source, here.run.config))
    for frame, row in zip(batch.frame[:count], found, strict=False):  # the formulas, by hand
        x0, y0, width, height = row.box
        zoom = 32 / (max(width, height) * 1.5)
        centre = np.array([x0 + width / 2 - 0.5, y0 + height / 2 - 0.5])
        assert np.allclose(affine.apply(frame, row.points), zoom * (row.points - centre) + 15.5, rtol=0, atol=1e-6)
    assert preprocessing.misplaced(here.run, source)[0] < 1e-3
    bare = opening.open_source(str(root / "bare.csv"))
    assert preprocessing.misplaced(run_folder.load(whole), bare)[0] < 1e-3
    with pytest.raises(ValueError, match="`boxes`"):
        preprocessing.misplaced(here.run, bare)
    wrong = here.run._replace(boxed=False)  # what was described before runs knew
    assert preprocessing.misplaced(wrong, source)[0] > 10


@pytest.fixture(scope="module")
def own(made) -> str:
    """The set with the boxes of its own points, a pixel off here and there, as other programs round them."""
    root, found = made
    coco.write(
        root / "own.json",
        (row._replace(box=np.rint(boxes.of_points(row.points, row.mask) + [-0.5, -0.5, 1, 0])) for row in found),
        5,
    )
    return str(root / "own.json")


def moved(made, tmp_path, change) -> example.Source:
    """The set with other boxes: those of its points, changed."""
    root, found = made
    changed = (row._replace(box=change(boxes.of_points(row.points, row.mask))) for row in found)
    plain.write(tmp_path / "moved.csv", changed, 5)
    return opening.open_source(str(tmp_path / "moved.csv"), pictures=str(root / "images"))


def test_crops_of_labels_are_counted_and_those_of_a_detector_are_not(made, own, tmp_path):
    everyone = range(COUNT)
    assert boxes.of_labels(opening.open_source(own), everyone) == COUNT
    assert boxes.of_labels(opening.open_source(own), [3, 4]) == 2
    for name in ("coco.json", "bare.csv"):
        assert boxes.of_labels(opening.open_source(str(made[0] / name)), everyone) == 0
    for margin in (np.array([-8, -8, 16, 16]), np.array([-3, -9, 6, 12.0])):  # the same about all
        assert boxes.of_labels(moved(made, tmp_path, lambda box, margin=margin: box + margin), everyone) == COUNT
    share = np.array([-0.1, -0.3, 0.2, 0.4])
    assert boxes.of_labels(moved(made, tmp_path, lambda box: box + share * box[2:].max()), everyone) == COUNT
    assert boxes.of_labels(moved(made, tmp_path, lambda box: box + share * box[2:].max()), range(4)) == 0
    (line,) = boxes.of_labels_lines(3, COUNT, "images")
    assert line.startswith(f"3 of {COUNT} images") and "labels" in line and boxes.of_labels_lines(0, 9, "images") == []


@pytest.mark.slow
def test_scores_in_crops_of_labels_say_so(made, run, own, tmp_path, command):
    out = tmp_path / "o.json"
    code, said = command("evaluate", "--run", run, "--data", own, "--out", out)
    assert code == 0 and f"{COUNT} of {COUNT} images are cropped to boxes made from their own labels" in said.out, (
        said.err
    )
    assert files.read_json(out)["boxes"] == {"count": COUNT, "of_labels": COUNT}
    code, said = command("evaluate", "--run", run, "--data", made[0] / "plain.csv", "--out", out)
    assert code == 0 and "own labels" not in said.out, said.err
    assert files.read_json(out)["boxes"] == {"count": COUNT, "of_labels": 0}


@pytest.mark.slow
def test_validation_in_crops_of_labels_says_so(own, tmp_path, command):
    flags = ("--data", own, "--runs", tmp_path, "--val-fraction", 0.5, "--steps", 2, "--no-cache", *SMALL)
    code, said = command("train", *flags, "--dry-run")
    assert code == 0 and "3 of 3 validation images are cropped to boxes made from their own labels" in said.out
    code, said = command("train", *flags)
    assert code == 0 and "3 of 3 validation images are cropped to boxes made from their own labels" in said.out, (
        said.err
    )
    assert "--box-margin 0.25" in said.out and "in crops by labels" in said.err
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {row["cropped_by_labels"] for row in logged if row["split"] == "val"} == {1.0}


@pytest.mark.parametrize("kind", ["coco.json", "plain.csv", "wflw.txt", "--boxes", "packed"])
def test_a_box_without_area_becomes_that_of_the_points_and_is_counted(made, tmp_path, command, capsys, kind, caplog):
    root, found = made
    bad = [row._replace(box=np.array([5.0, 5, 0, 0])) if i in (2, 7) else row for i, row in enumerate(found)]
    path, more = tmp_path / kind, ()
    for name in ("images", "WFLW_images"):
        (tmp_path / name).symlink_to(root / "images")
    if kind == "--boxes":
        shutil.copy(root / "bare.csv", path := tmp_path / "bare.csv")
        lines = ["file_name,x,y,width,height", *(",".join(map(str, [r.name, *r.box])) for r in bad)]
        (tmp_path / "boxes.csv").write_text("\n".join(lines))
        more = ("--boxes", tmp_path / "boxes.csv")
    else:
        module = {"coco.json": coco, "wflw.txt": wflw}.get(kind, plain)
        path = tmp_path / (kind if kind != "packed" else "plain.csv")
        module.write(path, iter(bad), 5)
    if kind == "packed":
        packed(command, path, tmp_path / "packed")
        assert f"2 of {COUNT} records had no bounding box" in (tmp_path / "packed" / "report.txt").read_text()
        path = tmp_path / "packed"
    config = run_folder.settings({"data": str(path), **({"boxes": str(more[1])} if more else {})})
    for cache in (True, False, True):  # packed first, looked through, packed already
        source = run_data.of_config(config.__class__(**{**config.__dict__, "cache": cache}))
        assert f"2 of {COUNT} records had no bounding box, or one without area" in capsys.readouterr().out
        mask = np.ones(5, bool)
        for index, row in enumerate(found):
            wanted = boxes.of_points(row.points.astype(np.float32), mask) if index in (2, 7) else row.box
            assert np.allclose(source[index].box, wanted, rtol=0, atol=1e-3), index
    opening.open_source(str(path), boxes=str(more[1]) if more else "")  # as --dry-run, predict and evaluate do
    assert f"2 of {COUNT} records had no bounding box, or one without area" in caplog.text


def test_a_box_without_area_and_without_points_rejects_the_record(made, tmp_path, caplog):
    root, found = made
    none, one = np.zeros(5, bool), np.arange(5) == 1
    bad = [*found[:2], found[2]._replace(mask=none, box=None), found[3]._replace(mask=one, box=None)]
    plain.write(tmp_path / "x.csv", iter(bad), 5)
    table = opening.open_table(str(tmp_path / "x.csv"), "train", pictures=str(root / "images"))
    assert table.names == ["00.png", "01.png"] and len(table.boxes) == 2
    assert [(r.file, r.line, r.reason.partition(":")[0]) for r in table.rejected] == [
        ("02.png", 4, "box without area"),
        ("03.png", 5, "box without area"),
    ]
    table = opening.open_table(str(root / "bare.csv"), "train")
    assert table.boxes is None and not opening.open_source(str(root / "bare.csv")).boxed
    (tmp_path / "b.csv").write_text("file_name,x,y,width,height\n00.png,1,2,0,5\n01.png,1,2,3,0\n")
    with pytest.raises(ValueError, match=r"b.csv:2: the box of 00.png has no area"):
        opening.open_table(str(root / "bare.csv"), "train", boxes=str(tmp_path / "b.csv"))
    (tmp_path / "b.csv").write_text("file_name,x,y,width,height\n00.png,1,2,0,5\n01.png,1,2,3,5\n")
    found = opening.open_images(str(root / "images"), 5, str(tmp_path / "b.csv"))  # no labels to take a box from
    assert list(found.names) == ["01.png"] and f"{COUNT - 1} of {COUNT}" in caplog.text


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[1, 2], [5, 10]], [1.5, 2.5, 4, 8]),
        ([[1, 2], [1, 10]], [1, 2.5, 1, 8]),  # on a line: a pixel wide
        ([[3, 3], [3, 3]], None),
    ],
)
def test_the_box_of_points(points, expected):
    found = boxes.of_points(np.array([*points, [999, 999]]), np.array([True, True, False]))
    assert (found if found is None else found.tolist()) == expected
    assert boxes.of_points(np.zeros((2, 2)), np.zeros(2, bool)) is None
