"""Labels of copies that contradict each other are found, and those of frames in which something moved are not."""

import json

import cv2
import numpy as np
import pytest

from pipelines.example import Example, Source
from pipelines.images import decode
from pipelines.label_checks import conflicts
from tests.pipelines.sources.formats.test_contest import contest_folder

FACE = np.array([[40.0, 40], [80, 40], [60, 60], [45, 80], [75, 80]])


def texture(seed: int) -> np.ndarray:
    low = np.random.RandomState(seed).randint(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(low, (120, 120), interpolation=cv2.INTER_CUBIC)


def jpeg(image: np.ndarray, quality: int) -> bytes:
    return decode.encode_jpeg(image, quality)


class Known(Source):
    """Images and points, all of one group."""

    def __init__(self, rows: dict[str, tuple[bytes, np.ndarray]]):
        self.names, self._rows, self.num_points, self.labelled = list(rows), list(rows.values()), 5, True
        self.groups = ["g"] * len(rows)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        return Example(*self._rows[index], np.ones(5, bool))


def pairs(**rows) -> list[tuple]:
    return [tuple(pair) for pair in conflicts.of_source(Known({n.replace("_", "#"): row for n, row in rows.items()}))]


def test_identical_images_with_labels_apart():
    one = jpeg(texture(0), 92)
    assert pairs(a=(one, FACE), b=(one, FACE + [18, 24]), c=(one, FACE + 0.5)) == [
        ("a", "b", 30, True), ("b", "c", pytest.approx(np.hypot(17.5, 23.5)), True),
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "found"), [(120, 1), (100, 0)])
def test_images_coded_anew_are_compared_in_one_size_alone(size, found):
    other = jpeg(cv2.resize(texture(0), (size, size), interpolation=cv2.INTER_AREA), 60)
    assert len(pairs(a=(jpeg(texture(0), 92), FACE), b=(other, FACE + 20))) == found


def test_of_images_coded_anew_labels_may_differ_a_little():
    one, other = jpeg(texture(0), 92), jpeg(texture(0), 80)
    assert pairs(a=(one, FACE), b=(one, FACE + [4, 0])) and not pairs(a=(one, FACE), b=(other, FACE + [4, 0]))


def test_what_moved_may_have_moved_labels():
    first, second = texture(0), texture(0)
    first[35:85, 35:85], second[35:85, 55:105] = 255, 255
    assert not pairs(a=(jpeg(first, 92), FACE), b=(jpeg(second, 92), FACE + [20, 0]))


def test_an_object_labelled_twice_in_one_image_and_two_objects():
    one = jpeg(texture(0), 92)
    assert pairs(a_1=(one, FACE), a_2=(one, FACE + [2, 0]), a_3=(one, FACE + [30, 0])) == [("a#1", "a#2", 2, True)]


def test_objects_of_copies_are_compared_with_the_nearest():
    one, beside = jpeg(texture(0), 92), FACE + [60, 0]
    assert not pairs(a_1=(one, FACE), a_2=(one, beside), b=(one, beside))
    assert pairs(a_1=(one, FACE), a_2=(one, beside), b=(one, beside + [9, 0])) == [("a#2", "b", 9, True)]


def test_the_lines():
    some = [conflicts.Pair(f"{n}.jpg", f"{n}b.jpg", 30.0 - n, n < 4) for n in range(5)]
    [line] = conflicts.describe(some)
    assert "5 pairs of identical or nearly identical" in line and "30 px" in line and "0.jpg, 0b.jpg" in line
    [line] = conflicts.describe([conflicts.Pair("a#1", "a#2", 2.0, True)])
    assert "1 object labelled twice" in line and "a#1, a#2" in line
    assert not conflicts.describe([])


def test_prepare_and_train_tell_and_the_report_lists(command, tmp_path):
    rows = {f"{n}.jpg": (jpeg(texture(n), 92), FACE) for n in range(8)}
    rows |= {f"{n}c.jpg": (rows[f"{n}.jpg"][0], FACE + 20) for n in range(4)}
    data, out = contest_folder(tmp_path / "data", rows), tmp_path / "out"
    for name, more in (
        ("prepare", ("--out", out)),
        ("train", ("--dry-run", "--runs", tmp_path, "--model", "resnet18")),
    ):
        code, said = command(name, "--data", data, *more)
        assert code == 0 and "4 pairs of identical images have labels up to 28 px apart" in said.out
    found = json.loads((out / "report.json").read_text())["parts"]["train"]["conflicts"]
    assert sorted((pair["one"], pair["other"]) for pair in found) == [(f"{n}.jpg", f"{n}c.jpg") for n in range(4)]
    listed = (out / "report.txt").read_text()
    assert all(f"{n}.jpg, {n}c.jpg: 28.3 px" in listed for n in range(4))


def test_names_that_differ_by_their_form_of_unicode_alone_can_be_told_apart():
    both = [conflicts.Pair("\u00e91.jpg", "e\u03011.jpg", 16, True)]
    (line,) = conflicts.describe(both)
    assert ascii(both[0].one) in line and ascii(both[0].other) in line
