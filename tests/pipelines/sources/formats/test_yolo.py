"""YOLO pose: a folder as the tool's documentation has it, what is rejected, and the way back."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from jaxmarks import data_sets
from jaxmarks.config import Config
from pipelines import open as opening
from pipelines.example import Subset
from pipelines.images import decode
from pipelines.packing import pack
from pipelines.runs import run_data, run_folder
from pipelines.sources import formats
from pipelines.sources.formats import yolo
from pipelines.sources.mixed import Mixed, Reordered
from tests.pipelines.sources.formats import tools
from tests.pipelines.sources.formats.test_formats import held, put, reasons, rejection, table_at

CONFIG = """# A set as Ultralytics has it
path: ../datasets/birds  # dataset root dir
train: images/train  # train images (relative to 'path')
val: images/val
test:  # optional

kpt_shape: [2, 3]  # number of keypoints, number of dims
flip_idx: [0, 1]
names:
  0: bird
  1: egg
kpt_names:
  0:
    - beak
    - tail
"""
LINE = "0 0.5 0.5 0.25 0.5 0.245 0.1775 2.000000 0 0 0\n"


def folder(root, config=CONFIG, **lines):
    put(root, "images/train/a.png", "images/train/sub/b.png", "images/val/c.png", "images/train/bare.png", "evil.png")
    (root / "data.yaml").write_text(config)
    (root / "labels/train/sub").mkdir(parents=True)
    (root / "labels/val").mkdir()
    (root / "labels/train/a.txt").write_text(LINE)
    (root / "labels/train/sub/b.txt").write_text("0 0.1 0.1 0.1 0.1 -0.1 1.5 1 0.5 0.5 2\n\n0 0.5 0.5 1 1 0 0 0 1 1 2")
    (root / "labels/val/c.txt").write_text(LINE.replace("0.245", "1"))
    (root / "labels/train/bare.txt").write_text("\n")
    for name, text in lines.items():
        put(root, f"images/train/{name}.png")
        (root / "labels" / "train" / f"{name}.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def test_shares_become_pixels_under_the_names_of_the_configuration(tmp_path):
    for path in (folder(tmp_path), tmp_path / "data.yaml"):
        table = table_at(path)
        assert list(table.points) == ["beak", "tail"] and table.root == tmp_path / "images" / "train"
        assert held(table) == {
            "a.png": [[12.25, np.float32(7.1)], None],
            "sub/b.png#1": [[-5, 60], [25, 20]],
            "sub/b.png#3": [None, [50, 40]],
        }
        assert table.boxes is not None
        assert table.boxes.tolist() == [[18.75, 10, 12.5, 20], [2.5, 2, 5, 4], [0, 0, 50, 40]]
        assert not table.rejected and "1 'image without an object'" in table.notes[0]
        assert opening.parts(str(path)) == ["train", "test"]
        test = opening.open_table(str(path), "test")
        assert held(test) == {"c.png": [[50, np.float32(7.1)], None]}


def test_folders_of_several_kinds_and_points_of_two_numbers(tmp_path):
    config = {"train": ["../images/train", "images/val"], "val": "images/val", "kpt_shape": [2, 2]}
    for file in (folder(tmp_path) / "labels").rglob("*.txt"):
        file.write_text("0 0.5 0.5 1 1 0.5 0.5 -1 0\n")
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(config))
    table = table_at(tmp_path)
    assert table.names == ["train/a.png", "train/bare.png", "train/sub/b.png", "val/c.png"]
    assert held(table)["val/c.png"] == [[25, 20], None] and list(table.points) == ["point_0", "point_1"]


@pytest.mark.parametrize("before", ["", "./", "data/", "/elsewhere/set/", "C:\\\\set\\\\"])
def test_lists_of_images_in_place_of_folders(tmp_path, before):
    path = folder(
        tmp_path,
        CONFIG.replace("train: images/train", "train: train.txt").replace("val: images/val", "val: val.txt"),
        d=LINE,
    )
    (tmp_path / "train.txt").write_text(f"{before}images/train/a.png\n{before}images/train/sub/b.png\n\n")
    (tmp_path / "val.txt").write_text(
        f"{before}images/train/d.png\n{before}images/val/c.png\n{before}images/val/gone.png\n"
    )
    assert sorted(held(table_at(path))) == ["a.png", "sub/b.png#1", "sub/b.png#3"]
    assert sorted(held(opening.open_table(str(path), "test"))) == ["train/d.png", "val/c.png"]


def test_a_test_split_that_is_named_but_not_there_gives_way_to_the_validation_split(tmp_path):
    path = folder(tmp_path, CONFIG.replace("test:  # optional", "test: ../test/images"))
    assert opening.parts(str(path)) == ["train", "test"]
    assert list(held(opening.open_table(str(path), "test"))) == ["c.png"]


def test_one_class_is_read(tmp_path):
    table = table_at(folder(tmp_path, d=LINE.replace("0 0.5", "1 0.5", 1)))
    assert reasons(table) == [("d.png", 1, "other class")] and "1 (egg)" in table.rejected[0].reason


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0 0.5 0.5 1 1 0 0 0 0 0", "wrong number of fields"),
        ("0 0.5 0.5 1 1", "wrong number of fields"),
        ("x 0.5 0.5 1 1 0.5 0.5 2 0 0 0", "not a finite number"),
        ("0 0.5 0.5 1 1 0.5 nan 2 0 0 0", "not a finite number"),
        ("0 0.5 0.5 1 1 0.5 1e39 2 0 0 0", "not a finite number"),
        ("0 0.5 0.5 1 1 0.5 0.5 0.7 0 0 0", "bad visibility"),
        ("0 0.5 0.5 1 1 0.5 0.5 3 0 0 0", "bad visibility"),
        ("-1 0.5 0.5 1 1 0.5 0.5 2 0 0 0", "not a class"),
        ("0.5 0.5 0.5 1 1 0.5 0.5 2 0 0 0", "not a class"),
        ("0 0.5 0.5 1 1 0.5 0.5 0 0 0 0", "no labelled point"),
        (b"0 0.5 0.5 1 1 \xff 0.5 0 0 0 0", "not a finite number"),
    ],
)
def test_a_bad_line_is_rejected_with_its_number_and_nothing_else(tmp_path, text, kind):
    table = table_at(folder(tmp_path, d=text))
    [(file, line, found)] = reasons(table)
    assert (line, found) == (1, kind) and file in ("d.png", "labels/train/d.txt") and len(table.names) == 3


def test_images_that_are_missing_or_none_are_rejected(tmp_path):
    folder(tmp_path, d=LINE, e=LINE)
    (tmp_path / "images/train/d.png").unlink()
    (tmp_path / "images/train/e.png").write_bytes(b"no image")
    table = table_at(tmp_path)
    assert [(file, kind) for file, _, kind in reasons(table)][0] == ("labels/train/d.txt", "no image")
    assert [r.file for r in table.rejected[1:]] == ["e.png"] and len(table.names) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[2, 3]", "[2, 4]"), "kpt_shape"),
        (("[2, 3]", "2"), "kpt_shape"),
        (("[2, 3]", "[1000000000, 3]"), "kpt_shape"),
        (("[2, 3]", "[true, 3]"), "kpt_shape"),
        (("    - tail\n", ""), "kpt_names"),
        (("- tail", "- beak"), "kpt_names"),
        (("train: images/train", "train: ../../etc"), "no labels"),
        (("train: images/train", "train: /etc"), "no labels"),
        (("train: images/train", f"train: images{'9' * 5000}"), "no labels"),
        (("train: images/train", "train:"), "no labels"),
        (("train: images/train", "train: train.txt"), "no labels"),
        (("names:", "names: ["), "not YAML"),
        (("# A set", "a: " + "[" * 9999 + "\n# "), "not YAML"),
        (("# A set", "a: !!python/object/apply:os.system [ls]\n#"), "not YAML"),
    ],
)
def test_a_configuration_that_is_none_is_reported_in_one_line(tmp_path, change, said):
    assert said in rejection(folder(tmp_path, CONFIG.replace(*change)))


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("names", [[], ["tail", "é: [", "eye"]])
def test_what_is_written_is_read_again(tmp_path, boxed, names):
    assert (tools.again("yolo", tmp_path, boxed, names).boxes is None) is not boxed
    config = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert config["kpt_shape"] == [3, 3] and opening.parts(str(tmp_path)) == ["train"]


def test_two_images_of_one_stem_do_not_share_a_file(tmp_path):
    row = tools.rows(False)[0]
    with pytest.raises(ValueError, match="this stem"):
        yolo.write(tmp_path, [row, row._replace(name="a.jpg")], 3)


def test_another_program_reads_what_is_written(tmp_path):
    other = pytest.importorskip("sleap_io.io.ultralytics")
    yolo.write(tmp_path, tools.rows(True), 3)
    skeleton = other.create_skeleton_from_config(other.parse_data_yaml(tmp_path / "data.yaml"))
    found = []
    for name in ("a", "b", "d/c"):
        found += other.parse_label_file(tmp_path / "labels" / f"{name}.txt", skeleton, (40, 50))[0]
    for row, instance in zip(tools.rows(True), found, strict=True):
        points = instance.numpy()
        assert np.allclose(points[row.mask], row.points[row.mask], atol=1e-4) and np.isnan(points[~row.mask]).all()


def flipped(root, flip, names="[beak, tail]"):
    text = CONFIG.replace("flip_idx: [0, 1]", f"flip_idx: {flip}").replace("\n    - beak\n    - tail", f" {names}")
    return folder(root, text)


def test_flip_idx_is_the_mirror_permutation_of_the_set_packed_or_not(tmp_path):
    assert table_at(flipped(tmp_path / "in", [1, 0])).mirror == [1, 0]
    source = opening.open_source(str(tmp_path / "in"))
    job = pack.plan(tmp_path / "out", {"train": source})
    pack.write(job, 1, lambda *_: None)
    pack.merge(job)
    kept = opening.open_source(str(tmp_path / "out"))
    for one in (source, kept, Subset(source, [1])):
        found = run_folder.scheme_of(Config(), one.num_points, one.point_names, one.mirror)
        assert found.mirror is not None and found.mirror.tolist() == [1, 0]
    assert list(Mixed([source, kept], [[1, -1, 0], [1, -1, 0]]).mirror) == []  # of its second point it says nothing
    assert list(Mixed([source, kept], [[0, 1], [0, 1]]).mirror) == [1, 0]


def test_flip_idx_comes_before_a_built_in_list_and_follows_the_points(tmp_path):
    path = put(tmp_path, "images/a.png")
    config = {"train": "images", "kpt_shape": [5, 2], "flip_idx": [0, 4, 3, 2, 1]}
    (path / "data.yaml").write_text(yaml.safe_dump(config))
    (path / "labels").mkdir()
    (path / "labels/a.txt").write_text("0 0.5 0.5 1 1" + " 0.5 0.5" * 5)
    source = opening.open_source(str(path))
    found = run_folder.scheme_of(Config(), 5, source.point_names, source.mirror)
    assert found.mirror is not None and found.mirror.tolist() == [0, 4, 3, 2, 1] and found.norm is None
    assert list(Reordered(source, [1, 0, 2, 3, 4]).mirror) == [4, 1, 3, 2, 0]
    formats.write("yolo", tmp_path / "again", [], source)
    assert yaml.safe_load((tmp_path / "again/data.yaml").read_text())["flip_idx"] == [0, 4, 3, 2, 1]


def test_of_several_sets_it_is_told_where_one_mirrors_for_others_and_where_they_differ(tmp_path, caplog):
    paths = [str(flipped(tmp_path / name, flip)) for name, flip in (("a", [1, 0]), ("b", []), ("c", [0, 1]))]
    for name, _, said in (("a", 0, ""), ("b", 1, "of set1 say is used for all 2"), ("c", 2, "differ")):
        for index, file in enumerate(sorted(Path(tmp_path, name, "images").rglob("*.png"))):
            file.write_bytes(decode.encode_png(np.full((40, 50, 3), 9 * ord(name) % 200 + index, np.uint8)))
        if said:
            caplog.clear()
            data = data_sets.joined([paths[0], str(tmp_path / name)])
            found = run_data.of_config(Config(data=data, cache=False))
            assert said in caplog.text and list(found.mirror) == ([1, 0] if name == "b" else [])


@pytest.mark.parametrize(
    ("flip", "names", "said"),
    [
        ([0], "[beak, tail]", "no list of 2 points"),
        ([1, 1], "[beak, tail]", "no list of 2 points"),
        ("[0, true]", "[beak, tail]", "no list of 2 points"),
        ("x", "[beak, tail]", "no list of 2 points"),
        ([0, 1], "[left_eye, right_eye]", "mirrors 'left_eye' as 'left_eye', which the names contradict"),
    ],
)
def test_a_flip_idx_that_is_none_is_not_used_and_told(tmp_path, flip, names, said):
    table = table_at(flipped(tmp_path, flip, names))
    assert not table.mirror and "flip_idx is not used" in table.notes[-1] and said in table.notes[-1]


def test_a_flip_idx_that_exchanges_nothing_is_told(tmp_path):
    table = table_at(folder(tmp_path))
    assert table.mirror == [0, 1] and "exchanges none of the 2 points" in table.notes[-1]
    assert not any("flip_idx" in note for note in table_at(flipped(tmp_path / "b", "[]")).notes)


def test_folders_that_are_not_there_are_named(tmp_path):
    path = folder(tmp_path, CONFIG.replace("train: images/train", "train: [images/train, images/gone, /etc]"))
    [note] = [note for note in table_at(path).notes if "no labels are found" in note]
    assert "2 of 3 that train names" in note and "images/gone, /etc" in note
    (path / "data.yaml").write_text(CONFIG.replace("val: images/val", "val: images/gone"))
    assert "1 of 1 that val names" in "".join(table_at(path).notes) and opening.parts(str(path)) == ["train"]


def test_lines_of_a_list_that_lead_nowhere_are_counted(tmp_path):
    path = folder(tmp_path, CONFIG.replace("train: images/train", "train: train.txt"))
    (path / "train.txt").write_text("images/train/a.png\nfar/away/b.png\n")
    assert "not read: 1 of 2 images of train.txt without a file of labels" in "".join(table_at(path).notes)


def test_images_in_two_splits_are_counted(tmp_path):
    path = folder(tmp_path, CONFIG.replace("train: images/train", "train: [images/train, images/val]"))
    for part in ("train", "test"):
        notes = "".join(opening.open_table(str(path), part).notes)
        assert "1 of 4 images of train with a file of labels stands in val too" in notes
    (path / "data.yaml").write_text(CONFIG.replace("test:  # optional", "test: images/train/sub"))
    notes = "".join(table_at(path).notes)
    assert "1 of 3 images of train with a file of labels stands in test too" in notes
    assert "not read: 1 image of val with a file of labels" in notes
    (path / "data.yaml").write_text(CONFIG.replace("images/val", "images/train"))
    assert "val is the same as train" in "".join(table_at(path).notes)


@pytest.mark.parametrize(("change", "key"), [("train: images/val\nnames:", "train"), ("names:\n  1: bird", "1")])
def test_a_key_that_stands_twice_is_refused_by_its_name(tmp_path, change, key):
    said = rejection(folder(tmp_path, CONFIG.replace("names:", change, 1)))
    assert f"the key {key!r} stands twice" in said
