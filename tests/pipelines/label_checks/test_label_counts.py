"""Labels counted by kind: against a count by hand, on sets of files, and as the commands tell of them."""

import json

import numpy as np
import pytest

from jaxmarks import landmarks
from jaxmarks.config import Config
from pipelines import open as opening
from pipelines.example import Example
from pipelines.images import decode, placement
from pipelines.label_checks import label_counts, label_remarks
from pipelines.label_checks.label_counts import Labels, View
from tests.pipelines.sources.formats.test_contest import contest_folder

SQUARE = [[40.0, 40.0], [60.0, 40.0], [50.0, 50.0], [42.0, 60.0], [58.0, 60.0]]
FIVE = landmarks.scheme(5)


def one(points, mask=None, size=(100, 100), box=None):
    mask = np.ones(len(points), bool) if mask is None else np.array(mask)
    example = Example(b"", np.array(points, float), mask, None if box is None else np.array(box, float))
    return label_counts.labels([("a.jpg", example, size)], len(points))


def found(labels: Labels) -> dict[str, int]:
    kinds = label_counts.count(labels, View(), FIVE).kinds
    return {name: kind.points for name, kind in kinds.items() if kind.images}


def with_first(x, y):
    return [[x, y], *SQUARE[1:]]


@pytest.mark.parametrize(
    ("labels", "kinds"),
    [
        (one(SQUARE), {}),
        (one(with_first(-0.5, 99.5)), {}),  # the edge of the image still belongs to it
        (one(with_first(-0.6, 50)), {"crop": 1, "image": 1}),
        (one(with_first(0, 50), size=(120, 100)), {"crop": 1}),  # left of the crop, on the canvas
        (one(with_first(0, 50), size=(300, 100)), {"crop": 1 + 4, "canvas": 1 + 4}),
        (one(with_first(205, 50)), {"crop": 1, "canvas": 1, "far": 1}),
        (one(with_first(5000, -3000)), {"crop": 1, "canvas": 1, "far": 1}),
        (one(with_first(0, 0)), {"zero": 1}),  # in the corner of a square image
        (one(with_first(0, 0), size=(100, 140)), {"crop": 1, "canvas": 1, "zero": 1}),
        (one(with_first(-1, -1)), {"crop": 1, "minus": 1}),
        (one(with_first(-999, -999)), {"crop": 1, "canvas": 1, "code": 1}),
        (one(with_first(101950, 20)), {"crop": 1, "canvas": 1, "far": 1}),  # a lost decimal comma
        (one(with_first(1e9, 20)), {"crop": 1, "canvas": 1, "code": 1}),
        (one(with_first(99, 99), size=(100, 100)), {}),  # a place in the image, whatever else it may mean
        (one(with_first(-1, -1), mask=[False, True, True, True, True]), {"norm_box": 1, "missing": 1}),
        (one(0.1 * np.array(SQUARE)), {"small": 1}),
        (one(SQUARE, size=(2000, 2000)), {"shown": 1}),  # as the network sees it
        (one(SQUARE, box=[39, 39, 24, 24]), {}),
        (one(SQUARE, box=[55, 39, 24, 24]), {"crop": 2, "canvas": 2, "box_points": 1}),
        (one(np.array(SQUARE) - 39, box=[39, 39, 24, 24]), {"crop": 5, "canvas": 5, "box_points": 1, "in_box": 1}),
        (one(SQUARE, box=[80, 80, 10, 10]), {"crop": 5, "canvas": 5, "box_points": 1, "resized": 1}),
        (one(SQUARE, box=[5, 80, 10, 10]), {"crop": 5, "canvas": 5, "box_points": 1}),
        (one(SQUARE, box=[39, 39, 24, 24], size=(50, 50)), {"image": 4, "box_image": 1, "resized": 1}),  # halved
        (one(SQUARE, box=[39, 39, 63, 63]), {}),  # leaves the image by two pixels
        (one(SQUARE, box=[38, 39, 80, 63]), {"box_image": 1}),  # corners in place of width and height
        (one(with_first(60, 40)), {"norm_box": 1}),  # as the second
        (one([[9.0, 5.0 + 20 * k] for k in range(5)]), {}),  # a line, its first two apart
        (one([[9.0, 50.0]] * 5), {"small": 1, "norm_diagonal": 1}),
        (one(SQUARE, mask=[False] * 5), {"unlabelled": 1, "missing": 5}),
        (one(0.01 * np.array(SQUARE), box=[39, 39, 24, 24]), {"unit": 1}),  # shares of width and height
        (one(0.01 * np.array(SQUARE) - 1), {"unit": 1}),  # the same in .pts, which count from 1
        (one(0.01 * np.array(SQUARE) - 0.5), {"zero": 1, "small": 1}),
        (one([[0.0, 0.0]] * 5), {"zero": 5, "small": 1, "norm_diagonal": 1}),
    ],
)
def test_each_kind_by_hand(labels, kinds):
    assert found(labels) == kinds


def test_boxes_of_two_objects_of_an_image_in_another_order():
    left, right = np.array([5, 5, 30, 30.0]), np.array([60, 60, 30, 30.0])
    one_, other = np.array(SQUARE) - 32, np.array(SQUARE) + 24
    rows = [
        (name, Example(b"", points, np.ones(5, bool), box), (100, 100))
        for name, points, box in (("a.jpg#1", one_, right), ("a.jpg#2", other, left), ("b.jpg", one_, left))
    ]
    kinds = label_counts.count(label_counts.labels(rows, 5), View(), FIVE).kinds
    assert kinds["exchanged"].examples == ["a.jpg#1", "a.jpg#2"] and kinds["box_points"].images == 2


def test_shares_in_few_images_are_a_warning_with_its_remedy():
    rows = [(f"{n}.jpg", Example(b"", 0.01 * np.array(SQUARE) - 1, np.ones(5, bool)), (100, 100)) for n in range(2)]
    rows += [(f"{n}.jpg", Example(b"", np.array(SQUARE), np.ones(5, bool)), (100, 100)) for n in range(2, 40)]
    [line] = label_remarks.describe(label_counts.count_all(rows, View(), FIVE), FIVE)
    assert line.startswith("warning: labels: 2 of 40 images") and "0.jpg, 1.jpg; multiply" in line


def test_a_crop_is_what_the_canvas_code_shows(random):
    """Held against the frames of `placement.canvas`: a point is outside the crop where its place in the input is."""
    rows, size, outside, hidden = [], 64, [], []
    for n in range(60):
        width, height = random.randint(40, 200, 2)
        corner, extent = random.uniform(0, 30, 2), random.uniform(10, 60, 2)
        box = np.concatenate([corner, extent]) if n % 2 else None
        points, mask = random.uniform(-40, 240, (5, 2)), random.rand(5) < 0.8
        example = Example(np.zeros((height, width, 3), np.uint8), points, mask, box)
        rows.append((f"{n}.png", example, (width, height)))
        seen = placement.canvas(example, size, 80, 0.1)
        off = np.abs(points * np.diag(seen.frame[:, :2]) + seen.frame[:, 2] - (size - 1) / 2).max(1)[mask]
        outside.append((off > size / 2).sum())
        hidden.append((off > 1.25 * size / 2).sum())
    counts = label_counts.count(label_counts.labels(rows, 5), View(size, 1.25, 0.1), FIVE)
    assert counts.images == 60 and counts.boxed == 30 and counts.points == sum(e.mask.sum() for _, e, _ in rows)
    for name, each in (("crop", outside), ("canvas", hidden)):
        assert counts.kinds[name].points == sum(each) and counts.kinds[name].images == np.count_nonzero(each)


def test_counts_of_parts_add_up_and_come_back_from_a_file():
    parts = [label_counts.count(one(with_first(-1, -1)), View(), FIVE) for _ in range(5)]
    whole = label_counts.added(parts)
    assert whole.images == 5 and whole.points == 25 and whole.kinds["minus"] == (5, 5, ["a.jpg"] * 5)
    assert label_counts.from_data(json.loads(json.dumps(label_counts.to_data(whole)))) == whole
    assert label_counts.added([]).images == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A contest folder of 24 wide images with their objects at the ends, of which some have placeholders."""
    random, rows = np.random.RandomState(0), {}
    for n in range(24):
        image, points = (
            random.randint(0, 256, (60, 200, 3)).astype(np.uint8),
            np.array(SQUARE) * 0.5 + [150 * (n % 2), 0],
        )
        points[0] = (-1, -1) if n % 8 == 0 else points[0]
        rows[f"{n:02d}.png"] = decode.encode_png(image), points
    return contest_folder(tmp_path_factory.mktemp("wide") / "data", rows)


SIZES = ("--model", "resnet18", "--size", 32, "--batch", 4)


def lines(out: str, word: str) -> list[str]:
    return [line for line in out.splitlines() if "labels:" in line and word in line]


def test_train_tells_before_training(command, folder, tmp_path):
    code, said = command("train", "--data", folder, "--runs", tmp_path, "--dry-run", *SIZES)
    assert code == 0
    [crop], [minus] = lines(said.out, "outside the crop"), lines(said.out, "(-1, -1)")
    assert crop.startswith("warning") and "24 of 24 images" in crop and "--boxes" in crop and "00.png" in crop
    assert minus.startswith("warning") and "3 of 24 images" in minus and "16.png" in minus
    assert len(lines(said.out, "report.txt")) == 1


@pytest.mark.parametrize(("scale", "said"), [(2, "resized"), (1, "corners")])
def test_the_remedy_is_that_of_the_cause(scale, said):
    box = [35, 35, 30, 30] if scale == 2 else [38, 39, 80, 63]
    rows = [
        ("a.jpg", Example(b"", scale * np.array(SQUARE), np.ones(5, bool), scale * np.array(box, float)), (100, 100))
    ]
    lines = label_remarks.describe(label_counts.count(label_counts.labels(rows, 5), View(), FIVE), FIVE)
    [line] = [line for line in lines if "bounding box" in line]
    assert said in line.rpartition(";")[2]


def test_prepare_counts_all_and_keeps_it(command, folder, tmp_path):
    code, said = command("prepare", "--data", folder, "--out", tmp_path / "packed")
    assert code == 0 and len(lines(said.out, "outside the crop")) == 1
    kept = json.loads((tmp_path / "packed" / "report.json").read_text())["parts"]["train"]["labels"]
    assert kept["images"] == 24 and kept["kinds"]["minus"] == {
        "images": 3, "points": 3, "examples": ["00.png", "08.png", "16.png"]
    }  # fmt: skip
    whole = (tmp_path / "packed" / "report.txt").read_text().split("outside the crop")[1]
    assert [line.strip() for line in whole.splitlines()[1:25]] == [f"{n:02d}.png" for n in range(24)]
    code, said = command("train", "--data", tmp_path / "packed", "--runs", tmp_path, "--dry-run", *SIZES)
    assert code == 0 and len(lines(said.out, "outside the crop")) == 1


def test_of_a_test_split_without_truth_nothing_is_reported_of_labels(command, tmp_path):
    image = decode.encode_png(np.random.RandomState(0).randint(0, 256, (100, 100, 3)).astype(np.uint8))
    rows, test = ({f"{part}{n}.png": (image, SQUARE) for n in range(4)} for part in ("a", "b"))
    data = contest_folder(tmp_path / "data", rows, test, {name: [0, 1] for name in test})
    (data / "test" / "landmarks_true.csv").unlink(missing_ok=True)
    code, said = command("prepare", "--data", data, "--out", tmp_path / "packed")
    assert code == 0 and "test: 4 listed" in said.out and not lines(said.out, "")
    assert said.out.count("one side of the split") == 1  # of the training split alone
    assert label_remarks.remarks(opening.open_source(str(tmp_path / "packed")), Config(data="x"), FIVE) == []


@pytest.mark.parametrize("moves", [True, False])
def test_a_point_that_never_moves_is_told(tmp_path, moves):
    image = decode.encode_png(np.zeros((100, 100, 3), np.uint8))
    rows = {f"{n}.png": (image, [[80, 60 + n * moves], *(np.array(SQUARE[1:]) + n)]) for n in range(5)}
    data = str(contest_folder(tmp_path / "data", rows))
    said = label_remarks.remarks(opening.open_source(data), Config(data=data), FIVE)
    assert [("1 point" in line, "(80, 60)" in line) for line in said] == [(True, True)] * (not moves)


def test_counts_of_a_set_that_was_packed_before_a_kind_was_counted_are_read():
    data = label_counts.to_data(label_counts.count(one(SQUARE), View(), FIVE))
    known = label_counts.from_data({**data, "kinds": {n: k for n, k in data["kinds"].items() if "box_" not in n}})
    assert label_counts.to_data(known) == data


def test_of_many_images_some_are_counted_and_it_is_said(folder, monkeypatch):
    monkeypatch.setattr(label_remarks, "MOST", 10)
    *_, last = label_remarks.remarks(opening.open_source(str(folder)), Config(data=str(folder)), FIVE)
    assert "10 of 24" in last


def test_a_sound_set_needs_no_line(tmp_path):
    image = decode.encode_png(np.zeros((100, 100, 3), np.uint8))
    data = contest_folder(tmp_path / "data", {f"{n}.png": (image, SQUARE) for n in range(4)})
    assert label_remarks.remarks(opening.open_source(str(data)), Config(data=str(data)), FIVE) == []


@pytest.mark.parametrize("exif", [1, 6])
@pytest.mark.parametrize("kind", [".jpg", ".png", ".bmp", ".webp"])
def test_the_size_of_an_image_comes_from_its_header_as_from_its_pixels(kind, exif):
    import cv2

    data = cv2.imencode(kind, np.zeros((30, 50, 3), np.uint8))[1].tobytes()
    if exif > 1 and kind == ".jpg":
        tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([exif, 0, 0, 0]) + b"\0\0\0\0"
        data = data[:2] + b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff + data[2:]
    example = Example(data, np.zeros((1, 2)), np.ones(1, bool))
    assert decode.image_size(example) == decode.decode(data).shape[1::-1]


def test_records_that_cannot_be_read_are_counted_and_the_first_is_named(tmp_path):
    random = np.random.RandomState(0)
    rows = {
        f"{n}.png": (decode.encode_png(random.randint(0, 256, (100, 100, 3)).astype(np.uint8)), SQUARE)
        for n in range(9)
    }
    data = contest_folder(tmp_path / "data", rows)
    source = opening.open_source(str(data))
    for name in (source.names[3], source.names[7]):  # after the set was checked
        (data / "train" / "images" / name).unlink()
    said = label_remarks.remarks(source, Config(data=str(data)), FIVE)
    assert said[0].startswith("warning: labels: 2 of 9 records cannot be read; the first: ") and "3.png" in said[0]
