"""Labels that are exactly those of another image are found, but for copies of the image, its other objects and single points."""

import json

import numpy as np

from pipelines.example import Subset
from pipelines.label_checks import copied_labels
from tests.pipelines.label_checks.test_conflicts import FACE, Known, jpeg, texture
from tests.pipelines.sources.formats.test_contest import contest_folder
from tests.pipelines.sources.formats.test_contest import landmarks as whole_table


def found(groups=None, **rows) -> list[str]:
    source = Known({n.replace("_", "#"): row for n, row in rows.items()})
    source.groups = groups
    both = copied_labels.of_source(source)
    assert not both.part
    return both.all


def in_part(**rows) -> list[str]:
    source = Known(rows)
    source.groups = None
    both = copied_labels.of_source(source)
    assert not both.all
    return both.part


def everything(**rows) -> copied_labels.Copied:
    source = Known(rows)
    source.groups = None
    return copied_labels.of_source(source)


def test_labels_of_another_image():
    a, b, c = (jpeg(texture(n), 92) for n in range(3))
    assert found(a=(a, FACE), b=(b, FACE), c=(c, FACE)) == ["b = a", "c = a"]
    assert found(["g", "g", ""], a=(a, FACE), b=(b, FACE), c=(c, FACE)) == ["c = a"]
    assert not found(a=(a, FACE), b=(b, FACE + [0, 0.01]))


def test_copies_of_an_image_its_objects_and_single_points_do_not_count():
    one, other, flat = jpeg(texture(0), 92), jpeg(texture(1), 92), jpeg(np.full((60, 60, 3), 9, np.uint8), 92)
    assert not found(a=(one, FACE), b=(one, FACE), c=(jpeg(texture(0), 70), FACE))
    assert not found(a=(flat, FACE), b=(flat, FACE))
    assert not found(a_1=(one, FACE), a_2=(one, FACE))
    assert not found(a=(one, np.zeros((5, 2))), b=(other, np.zeros((5, 2))))


def test_what_cannot_be_read_or_has_no_labels_is_passed_over():
    one = jpeg(texture(0), 92)
    assert not found(a=(one, FACE), b=(b"no image", FACE))
    bare = Subset(Known({"a": (one, FACE), "b": (jpeg(texture(1), 92), FACE)}), [0, 1])
    bare.labelled = False
    assert copied_labels.of_source(bare) == ([], [], [])


def test_labels_of_the_image_before_edited_in_part():
    a, b, c = (jpeg(texture(n), 92) for n in range(3))
    edited, redone, one_place = FACE.copy(), FACE.copy(), FACE.copy()
    edited[2] += 3
    redone[:3] += [[2, 1], [3, 1], [4, 2]]
    assert in_part(a=(a, FACE), b=(b, edited)) == ["b = a"]
    assert not in_part(a=(a, FACE), b=(b, redone))  # two of five
    assert not in_part(a=(a, FACE), b=(b, redone), c=(c, edited + 1))
    assert not in_part(a=(a, FACE), b=(a, edited))  # the same image again
    one_place[:] = FACE[0]
    assert not in_part(a=(a, one_place), b=(b, np.where(np.arange(5)[:, None] > 3, FACE, one_place)))


def test_a_template_that_was_placed_and_scaled(random, monkeypatch):
    monkeypatch.setattr(copied_labels, "_POINTS", 5)
    images = [jpeg(texture(n), 92) for n in range(4)]
    placed = np.rint(FACE * [1.3, 0.8] * 100) / 100 + [4, 7]
    rows = dict(
        zip("abcd", zip(images, (FACE, placed, FACE + random.normal(0, 2, FACE.shape), FACE), strict=True), strict=True)
    )
    copied = everything(**rows)
    assert copied.placed == ["b = a"] and copied.all == ["d = a"]
    assert not everything(a=(images[0], FACE), b=(images[0], placed)).placed  # the same scene again
    line = FACE * [1, 0]
    assert not everything(a=(images[0], line), b=(images[1], line + 1)).placed
    monkeypatch.undo()
    assert not everything(a=(images[0], FACE), b=(images[1], placed)).placed  # five points may be alike by chance


def test_each_of_many_placed_templates_is_told_with_the_first(random):
    shape = random.uniform(0, 100, (68, 2))
    labels = [shape * random.uniform(0.5, 2, 2) + random.uniform(0, 200, 2) for _ in range(9)]
    labels.insert(3, random.uniform(0, 100, (68, 2)))
    units = {i: copied_labels._unit(np.float32(some), np.ones(68, bool)) for i, some in enumerate(labels)}
    assert copied_labels._placed(units, np.arange(10)) == [(0, later) for later in range(1, 10) if later != 3]


def test_no_two_of_real_people_have_the_labels_of_one_template(faces68):
    names, points = whole_table(faces68 / "train" / "landmarks.csv")
    units = {i: copied_labels._unit(np.float32(some), np.ones(68, bool)) for i, some in enumerate(points)}
    assert not copied_labels._placed(units, np.arange(len(units)))


def test_the_line():
    [line] = copied_labels.describe(copied_labels.Copied([f"{n}b = {n}a" for n in range(5)], [], []))
    assert "5 images have exactly the labels of another" in line and "0b = 0a" in line and "4b" not in line
    [line] = copied_labels.describe(copied_labels.Copied([], ["b = a"], []))
    assert "1 image has half of the points or more exactly where" in line
    assert not copied_labels.describe(copied_labels.Copied([], [], []))


def test_prepare_and_train_tell_and_the_report_lists(command, tmp_path):
    rows = {f"{n}.jpg": (jpeg(texture(n), 92), FACE + (0 if n in (3, 5) else n)) for n in range(8)}
    data, out = contest_folder(tmp_path / "data", rows), tmp_path / "out"
    for name, more in (
        ("prepare", ("--out", out)),
        ("train", ("--dry-run", "--runs", tmp_path, "--model", "resnet18")),
    ):
        code, said = command(name, "--data", data, *more)
        assert code == 0 and "2 images have exactly the labels of another" in said.out
    assert json.loads((out / "report.json").read_text())["parts"]["train"]["copied_labels"] == [
        "3.jpg = 0.jpg",
        "5.jpg = 0.jpg",
    ]
