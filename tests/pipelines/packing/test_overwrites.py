"""No command writes over what it reads, over a packed set, or over what a run consists of; every path of an output counts."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.inference import overlays, resume
from pipelines.packing import overwrites
from pipelines.runs import run_data, run_folder
from tests.pipelines.packing.test_pack import packed, parts_of, photograph, some
from tests.pipelines.sources.formats.test_contest import contest_folder
from tests.tiny import CONFIG


def rejection(function, *arguments, **options) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """data/: a contest folder; faces/: images in sub-folders; set/: a packed set; runs/one: a run at its beginning."""
    root = tmp_path_factory.mktemp("outputs")
    asked = {f"test{i:02d}.jpg": [2, i % 3] for i in range(4)}
    contest_folder(root / "data", some("train", 8), some("test", 4), asked)
    for name in ("a.png", "b/c.png", "b/c.jpg"):
        (root / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "faces" / name).write_bytes(photograph(len(name)))
    rows = "".join(f"{name},1,2,3,4,5,6\n" for name in ("a.png", "b/c.jpg", "b/c.png"))
    (root / "faces.csv").write_text(f"file_name,x_0,y_0,x_1,y_1,x_2,y_2\n{rows}")
    packed(root / "set", parts_of(root / "data"))
    config = dataclasses.replace(CONFIG, data=str(root / "data"), cache=False, val_fraction=0.25)
    run_folder.create(root / "runs/one", config, run_data.of_config(config))
    return root


@pytest.fixture(autouse=True)
def nothing_changes(root):
    """Whatever a test does, no file of data, set or run is another afterwards."""
    before = contents(root)
    yield
    assert contents(root) == before


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


RUN_FILES = ("config.json", "key.json", "split.json", "metrics.jsonl", "examples.bin", "history.csv", "final.json",
             "checkpoints/x.csv", "log/x.png", "fitted/x.json")  # fmt: skip


@pytest.mark.parametrize("name", RUN_FILES)
def test_what_a_run_consists_of_is_no_output(root, name):
    assert "of the run" in rejection(overwrites.check, {"--out": [root / "runs/one" / name]})


@pytest.mark.parametrize("name", ["evaluation.json", "overlays/config.json", "replay/1.png", "submission.csv"])
def test_other_files_in_a_run_folder_may_be_written(root, name):
    overwrites.check({"--out": [root / "runs/one" / name]})


@pytest.mark.parametrize("name", ["train.csv", "jaxmarks.json", "new.csv", "below/new.png"])
def test_a_packed_set_stays_as_it_was(root, name):
    assert "packed set" in rejection(overwrites.check, {"--out": [root / "set" / name]})


def test_a_link_to_a_folder_does_not_hide_what_lies_there(root, tmp_path):
    (tmp_path / "link").symlink_to(root / "runs/one")
    (tmp_path / "faces").symlink_to(root / "faces")
    assert "of the run" in rejection(overwrites.check, {"--out": [tmp_path / "link/key.json"]})
    source = opening.open_any(str(root / "faces.csv"), pictures=str(root / "faces"))
    overlay = tmp_path / "faces/b/c.png"
    assert "part of the data" in rejection(overwrites.check, {"--overlays": [overlay]}, source)
    (tmp_path / "own.csv").symlink_to(root / "faces.csv")  # a link itself is replaced, what it leads to stays
    overwrites.check({"--out": [tmp_path / "own.csv"]}, source)


def test_images_tables_and_all_splits_of_the_data_stay(root):
    source = opening.open_any(str(root / "data"), "test")
    for name in ("test/test_points.csv", "test/images/test00.jpg", "train/landmarks.csv", "train/images/new.png"):
        read = {"source": source, "inputs": [root / "data"]}
        assert "part of the data" in rejection(overwrites.check, {"--out": [root / "data" / name]}, **read)
    overwrites.check({"--out": [root / "data/predicted.csv"]}, source, [root / "data"])


def test_new_images_do_not_go_among_those_of_the_data(root):
    source = opening.open_any(str(root / "faces.csv"), pictures=str(root / "faces"))
    assert "images of the data" in rejection(overwrites.check, {"--sheet": [root / "faces/b/new.png"]}, source)
    overwrites.check({"--out": [root / "faces/b/new.csv"]}, source)


def test_two_outputs_do_not_take_one_path(root, tmp_path):
    both = {"--sheet": [tmp_path / "plots/regions.png"], "--plots": [tmp_path / "plots/regions.png"]}
    assert "--sheet" in rejection(overwrites.check, both) and "--plots" in rejection(overwrites.check, both)


def test_each_image_has_an_overlay_of_its_own():
    names = ["a.jpg", "a.jpg.png", "b/a.jpg", "a.png", "a.jpg.2.png", "a"]
    found = overlays.paths(Path("out"), names)
    assert len(set(found)) == len(names) and found[0] == Path("out/a.jpg") and found[2] == Path("out/b/a.jpg")


COMMANDS = {  # {root}: the folder of `root`
    "predict": [
        ("--run {root}/runs/one --data {root}/data --out {root}/set/test.csv", "packed set"),
        ("--run {root}/runs/one --data {root}/data --out {root}/runs/one/config.json", "of the run"),
        ("--run {root}/runs/one --data {root}/data --out {root}/data/train/landmarks.csv", "part of the data"),
        ("--run {root}/runs/one --images {root}/faces --out {tmp}/o.csv --overlays {root}/faces", "data"),
        ("--run {root}/runs/one --data {root}/faces.csv --pictures {root}/faces --out {tmp}/o.csv --overlays {root}/faces",
         "images of the data"),
        ("--run {root}/runs/one --data {root}/faces.csv --pictures {root}/faces --out {root}/faces.csv", "part of the data"),
        ("--run {root}/runs/one --images {root}/faces --out {tmp}/o.csv --spread {root}/set/x.csv", "packed set"),
    ],
    "evaluate": [("--run {root}/runs/one --data {root}/data --out {root}/runs/one/history.json", "of the run")],
    "export": [
        ("--run {root}/runs/one --out {root}/runs/one/key.json", "of the run"),
        ("--run {root}/runs/one --out {root}/runs/one/key", "of the run"),
        ("--run {root}/runs/one --out {root}/data/train/landmarks.csv", "part of the data"),
    ],
    "rank": [("--run {root}/runs/one --out {root}/set", "packed set")],
    "audit": [("--out {root}/runs/one/log", "of the run"), ("--data {root}/data --out {root}/data/train", "data")],
    "augment": [
        ("--data {root}/data --size 32 --out {root}/data/train/images/train00.jpg", "data"),
        ("--data {root}/data --size 32 --out {root}/runs/one/config.json", "of the run"),
    ],
    "find_lr": [("--data {root}/data --out {root}/runs/one/config.png", "of the run")],
    "symmetry": [
        ("--data {root}/faces.csv --out {root}/faces.csv", "part of the data"),
        ("--data drawn:20:5 --sheet {root}/set/x.png", "packed set"),
    ],
    "compare": [("--data {root}/data --vary augment=none --out {root}/runs/one/checkpoints", "of the run")],
    "convert": [
        ("--data drawn:4:5 --format plain --out {root}/set/train.csv", "packed set"),
        ("--data {root}/data --format coco --out {root}/runs/one/final.json", "of the run"),
    ],
    "prepare": [
        ("--data {root}/faces.csv --out {root}/runs/one/checkpoints/new", "of the run"),
        ("--data {root}/data --out {root}/data/train/new", "part of the data"),
    ],
    "train": [
        ("--data {root}/data --runs {root} --name data --size 32 --model resnet18 --no-cache", "other files"),
        ("--data {root}/data --runs {root}/set --name new --size 32 --model resnet18 --no-cache", "packed set"),
        ("--data {root}/data --runs {root}/data/train --name new --size 32 --model resnet18 --no-cache", "part of the data"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("script", "line", "told"), [(s, *c) for s, cases in COMMANDS.items() for c in cases])
def test_a_command_names_what_it_would_write_over(root, tmp_path, rejected, script, line, told):
    assert told in rejected(script, *line.format(root=root, tmp=tmp_path).split())


def test_replay_keeps_the_files_of_its_run(root, rejected):
    line = f"--run {root}/runs/one --step 0 --out {root}/runs/one/key.json"
    assert "of the run" in rejected("replay", *line.split())


def test_converting_does_not_write_over_images_of_the_data(root, rejected, tmp_path):
    shutil.copytree(root / "faces", tmp_path / "x/images")
    shutil.copy(root / "faces.csv", tmp_path / "x/faces.csv")
    line = f"--data {tmp_path}/x/faces.csv --format coco --out {tmp_path}/x/faces.json --copy-pictures"
    assert "already" in rejected("convert", *line.split())


def test_names_of_one_stem_are_reported_before_pts_files_are_written(root, tmp_path, rejected):
    line = f"--run {root}/runs/one --data {root}/faces.csv --pictures {root}/faces --format pts --out {tmp_path}/out"
    assert "c.pts" in rejected("predict", *line.split()) and not (tmp_path / "out").exists()


def test_a_folder_of_someone_else_is_not_taken_for_partial_results(tmp_path):
    (tmp_path / "o.csv.partial").mkdir()
    (tmp_path / "o.csv.partial/mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="mine.txt"), resume.locked(tmp_path / "o.csv"):
        pass
    assert (tmp_path / "o.csv.partial/mine.txt").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("encode", [decode.encode_png, decode.encode_jpeg])
def test_an_overlay_replaces_an_overlay_and_no_other_image(tmp_path, encode):
    image = np.random.RandomState(0).randint(0, 256, (40, 50, 3)).astype(np.uint8)
    (tmp_path / "plain").write_bytes(encode(image))
    (tmp_path / "overlay").write_bytes(overwrites.marked(encode(image)))
    assert np.array_equal(decode.decode((tmp_path / "overlay").read_bytes()), decode.decode(encode(image)))
    overwrites.check_overlays("--overlays", [tmp_path / "overlay", tmp_path / "new"])
    assert "plain" in rejection(overwrites.check_overlays, "--overlays", [tmp_path / "plain"])
    (tmp_path / "folder").mkdir()
    assert "folder" in rejection(overwrites.check_overlays, "--overlays", [tmp_path / "folder"])


def test_overlays_of_a_packed_set_do_not_replace_images_of_the_same_names(root, tmp_path, rejected):
    run, out = root / "runs/one", tmp_path / "o.csv"
    name = overlays.paths(tmp_path, ["test00.jpg"])[0]
    name.write_bytes(photograph(1))
    line = ("--run", run, "--data", root / "set", "--out", out, "--overlays", tmp_path)
    assert name.name in rejected("predict", *line) and name.read_bytes() == photograph(1)


def test_labels_of_somebody_are_not_replaced_by_pts_files(root, tmp_path, rejected):
    for name in ("a.pts", "test00.pts"):
        (tmp_path / name).write_text("mine")
    line = ("--run", root / "runs/one", "--images", root / "faces/a.png", "--format", "pts", "--out", tmp_path)
    assert "a.pts" in rejected("predict", *line)
    line = ("--data", root / "data", "--part", "test", "--format", "pts", "--out", tmp_path)
    assert "test00.pts" in rejected("convert", *line)
    assert (tmp_path / "a.pts").read_text() == (tmp_path / "test00.pts").read_text() == "mine"


def test_images_are_copied_over_none_but_the_same(root, tmp_path, command):
    line = ("--data", root / "set", "--format", "coco", "--out", tmp_path / "faces.json", "--copy-pictures")
    assert command("convert", *line)[0] == command("convert", *line)[0] == 0
    path = tmp_path / "images/train01.jpg"
    path.write_bytes(photograph(77))
    code, said = command("convert", *line)
    assert code == 2 and "images/train01.jpg: " in said.err and path.read_bytes() == photograph(77)
