"""What is not read is named, with what is; a path beside the one that is meant is told so."""

import json
from pathlib import Path

import pytest

from pipelines import open as opening
from pipelines.sources import formats

SHAPE = {"label": "p0", "points": [[1, 2]], "shape_type": "point"}
LABELME = {"version": "5", "shapes": [SHAPE], "imagePath": "0.jpg"}
POINTS = "".join(f"nose,{i},{i},{i}.jpg,120,160\n" for i in range(3))


def rejection(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        opening.open_source(str(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("0.json", json.dumps(LABELME), "LabelMe"),
        ("p.json", json.dumps([{"image": "/a.jpg", "id": 1, "annotator": 1}]), "JSON_MIN"),
        ("via.json", json.dumps({"_via_settings": {}, "_via_img_metadata": {}}), "VGG Image Annotator"),
        ("via.json", json.dumps({"a.jpg12": {"filename": "a.jpg", "regions": []}}), "VGG Image Annotator"),
        ("r.json", json.dumps([{"image_id": 1, "keypoints": [1, 2, 1]}]), "results"),
        ("voc.xml", "<annotation><folder/></annotation>", "VOC"),
        ("dlib.xml", "<?xml version='1.0'?><?xml-stylesheet?><dataset><images/></dataset>", "dlib"),
        ("points.csv", POINTS, "makesense"),
        ("via.csv", "#filename,file_size,file_attributes\na.jpg,1,{}\n", "VGG Image Annotator"),
        ("0.pts", "version: 1\nn_points: 1\n{\n1 2\n}\n", ".pts"),
        ("a.mat", "MATLAB 5.0", "MATLAB"),
        ("a.h5", "\x89HDF", "HDF5"),
        ("clip.mp4", "x", "video"),
        ("0.png", "x", "no known format"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    message = rejection(tmp_path / name)
    assert said in message
    assert name.endswith(".csv") or all(kind in message for kind in formats.FORMATS)


@pytest.mark.parametrize(
    ("names", "content", "said"),
    [
        (["annotations.xml"], "<annotations/>", "annotations.xml (cvat): give that path"),
        (["points.csv"], POINTS, "makesense"),
        (["data.yaml", "images/0.jpg"], "x", "YOLO"),
        (["CollectedData_me.h5"], "x", "DeepLabCut"),
        (["config.json", "split.json"], "{}", "run's folder"),
        (["x.bin"], "x", "no known format"),
        ([], "", "no known format"),
    ],
)
def test_a_folder_of_another_format_is_named(tmp_path, names, content, said):
    for name in names:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(content)
    (tmp_path / "set").mkdir(exist_ok=True)
    message = rejection(tmp_path / "set")
    assert said in message and all(kind in message for kind in formats.FORMATS)


@pytest.mark.parametrize("annotations", [[], [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}], None])
def test_a_coco_file_without_keypoints_says_what_it_has(tmp_path, annotations):
    data = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "nose"}]}
    (tmp_path / "a.json").write_text(json.dumps(data if annotations is None else {**data, "annotations": annotations}))
    message = rejection(tmp_path / "a.json")
    assert (
        "1 image," in message and ("no list of" if annotations is None else f"{len(annotations)} annotation") in message
    )


def contest(root: Path) -> list[tuple[str, str]]:
    (root / "train/images").mkdir(parents=True)
    (root / "train/landmarks.csv").write_text("n\tx\ty\na.jpg\t1\t2\n")
    return [("train", ""), ("train/landmarks.csv", ""), ("train/images", "")]


def coco(root: Path) -> list[tuple[str, str]]:
    (root / "images/a").mkdir(parents=True)
    (root / "labels.json").write_text(
        '{"images": [], "annotations": [], "categories": [{"id": 1, "keypoints": ["p"]}]}'
    )
    return [("", "labels.json"), ("images", "labels.json"), ("images/a", "labels.json")]


def deeplabcut(root: Path) -> list[tuple[str, str]]:
    (root / "labeled-data/v").mkdir(parents=True)
    (root / "labeled-data/v/CollectedData_m.csv").write_text("scorer,m,m\nbodyparts,n,n\ncoords,x,y\na.png,1,2\n")
    return [("labeled-data", ""), ("labeled-data", "labeled-data/v")]


def pts(root: Path) -> list[tuple[str, str]]:
    (root / "images").mkdir(parents=True)
    (root / "0.pts").write_text("version: 1\nn_points: 1\n{\n1 2\n}\n")
    return [("images", "")]


def wflw(root: Path) -> list[tuple[str, str]]:
    (root / "WFLW_images/g").mkdir(parents=True)
    (root / "WFLW_images/list.txt").write_text("1 2 0 0 9 9 0 0 0 0 0 0 g/a.png\n")
    return [("", "WFLW_images/list.txt"), ("WFLW_images/g", "WFLW_images/list.txt")]


@pytest.mark.parametrize("make", [contest, coco, deeplabcut, pts, wflw])
def test_a_path_beside_the_one_that_is_meant_is_reported_so(tmp_path, make):
    for given, meant in make(tmp_path / "set"):
        assert (
            f"{tmp_path / 'set' / meant}".rstrip("/")
            in rejection(tmp_path / "set" / given).partition("give ")[0]
            + rejection(tmp_path / "set" / given).partition("give ")[2]
        ), given
