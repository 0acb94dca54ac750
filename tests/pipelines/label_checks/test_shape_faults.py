"""Exchanged left and right and y from below are found, and only these; nothing is said where the points cannot tell."""

import json
from functools import cache

import numpy as np
import pytest

from jaxmarks import landmarks
from jaxmarks.landmarks import Scheme
from pipelines import synthetic
from pipelines.example import Example, Source
from pipelines.label_checks import shape_faults
from tests.pipelines.label_checks.test_conflicts import jpeg, texture
from tests.pipelines.sources.formats.test_contest import contest_folder
from tests.pipelines.sources.formats.test_contest import landmarks as whole_table


class Labels(Source):
    """Labels without images; those without a point cannot be read."""

    def __init__(self, points: np.ndarray, mask: np.ndarray | None = None):
        self._points, self._mask = points, np.ones(points.shape[:2], bool) if mask is None else mask
        self.names, self.num_points, self.labelled = [str(i) for i in range(len(points))], points.shape[1], True

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        if not self._mask[index].any():
            raise ValueError("not readable")
        return Example(b"", self._points[index], self._mask[index])


def faults(points, mask=None, scheme=None) -> list[set[int]]:
    """Exchanged, from below, reordered."""
    source = Labels(points, mask)
    found = shape_faults.find(source, range(len(source)), scheme or landmarks.scheme(points.shape[1]))
    return [set(map(int, names)) for names in found]


def found(points, mask=None, scheme=None) -> set[int]:
    """Exchanged, and nothing else."""
    exchanged, below, reordered = faults(points, mask, scheme)
    assert not below and not reordered
    return exchanged


def from_below(points: np.ndarray, which, height: float = 300.0) -> np.ndarray:
    points = points.copy()
    points[which, :, 1] = height - points[which, :, 1]
    return points


def exchanged(points: np.ndarray, which) -> np.ndarray:
    points = points.copy()
    points[which] = points[which][:, landmarks.scheme(points.shape[1]).mirror]
    return points


def drawn(num_points: int, count: int = 150) -> np.ndarray:
    return _drawn(num_points)[:count].copy()


@cache
def _drawn(num_points: int) -> np.ndarray:
    return np.stack([synthetic.label(i, num_points=num_points).truth for i in range(150)])


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return drawn(68)


@pytest.mark.slow
@pytest.mark.parametrize("num_points", [5, 68, 971])
def test_drawn_faces_some_of_which_are_seen_from_the_side(num_points):
    points, wrong = drawn(num_points), set(range(0, 150, 7))
    assert not found(points)
    assert (some := found(exchanged(points, list(wrong)))) <= wrong and len(some) >= 0.9 * len(wrong)
    labels = np.stack([synthetic.label(i, num_points=num_points).points for i in range(150)])
    assert not found(labels)  # with the errors that drawn faces have, none of which is this one


def test_one_in_a_hundred_of_real_faces(faces68, random):
    _, points = whole_table(faces68 / "train" / "landmarks.csv")
    eyes = [points[:, start : start + 6].mean(1) for start in (36, 42)]
    for some in (points, np.stack([*eyes, points[:, 30], points[:, 48], points[:, 54]], 1)):
        wrong = random.choice(len(some), 30, replace=False)
        assert not found(some)
        assert found(exchanged(some, wrong)) == set(wrong.tolist())


@pytest.mark.slow
def test_a_jaw_labelled_from_its_other_end(faces68):
    _, points = whole_table(faces68 / "train" / "landmarks.csv")
    some = points[::10].copy()
    some[::9, :17] = some[::9, 16::-1]
    for scheme in (landmarks.scheme(68), Scheme(68, None, None, {})):
        exchanged, below, reordered = faults(some, scheme=scheme)
        wrong = set(range(0, len(some), 9))
        assert not exchanged and not below and reordered <= wrong and len(reordered) > 0.9 * len(wrong)
        assert not any(faults(points, scheme=scheme))


@pytest.mark.parametrize("num_points", [68, 971])
def test_mirrored_images_are_found_without_a_known_permutation(num_points):
    points = drawn(num_points)
    points[[3, 8, 60], :, 0] = 200 - points[[3, 8, 60], :, 0]
    assert faults(points, scheme=Scheme(num_points, None, None, {})) == [set(), set(), {3, 8, 60}]


@pytest.mark.parametrize("num_points", [68, 971])
def test_columns_sorted_as_text_do_not_fit_the_mirror_permutation(num_points):
    points, scheme = drawn(num_points, 40), landmarks.scheme(num_points)
    as_text = points[:, sorted(range(num_points), key=str)]
    fits, misfits = (shape_faults.mirror_misfit(Labels(some), scheme) for some in (points, as_text))
    assert fits < 0.2 and misfits > 0.9
    assert not shape_faults.describe_mirror(fits, num_points)
    (line,) = shape_faults.describe_mirror(misfits, num_points)
    assert "not in the order" in line and "`scheme`" in line
    assert shape_faults.mirror_misfit(Labels(points[:5]), scheme) == 0  # too few to tell


def test_heads_all_turned_to_one_side_fit_the_mirror_permutation(faces68):
    _, points = whole_table(faces68 / "train" / "landmarks.csv")
    turned = (points[:, 30, 0] - points[:, [36, 45], 0].mean(1)) / np.hypot(*(points[:, 36] - points[:, 45]).T)
    order = np.argsort(turned)
    for some in (order[:30], order[-30:]):
        misfit = shape_faults.mirror_misfit(Labels(points[some]), landmarks.scheme(68))
        assert not shape_faults.describe_mirror(misfit, 68)


@pytest.mark.slow
@pytest.mark.parametrize("num_points", [5, 68, 971])
@pytest.mark.parametrize("mirror", [True, False], ids=["mirror known", "not known"])
def test_y_counted_from_below_in_some_images(num_points, mirror):
    points, wrong = drawn(num_points), set(range(0, 150, 7))
    scheme = None if mirror else Scheme(num_points, None, None, {})
    assert not any(faults(points, scheme=scheme))
    exchanged, below, reordered = faults(from_below(points, list(wrong)), scheme=scheme)
    assert below <= wrong and len(below) >= 0.9 * len(wrong) and exchanged | reordered <= wrong - below


def test_y_counted_from_below_in_one_in_a_hundred_of_real_faces(faces68, random):
    _, points = whole_table(faces68 / "train" / "landmarks.csv")
    wrong = random.choice(len(points), 30, replace=False)
    for scheme in (None, Scheme(68, None, None, {})):
        assert not any(faults(points, scheme=scheme))
        exchanged, below, reordered = faults(from_below(points, wrong), scheme=scheme)
        assert not exchanged and not reordered and below == set(wrong.tolist())


def test_objects_from_their_other_side_or_that_lie_in_any_direction_are_not_upside_down(random):
    shape = random.normal(0, 40, (12, 2))  # a fly: no symmetry
    flies = shape + random.normal(0, 1, (80, 12, 2)) + random.uniform(100, 200, (80, 1, 2))
    other = flies.copy()
    other[::5, :, 0] = 300 - other[::5, :, 0]  # seen from the other side, upright
    unknown = Scheme(12, None, None, {})
    assert not any(faults(other, scheme=unknown))
    assert faults(from_below(flies, [3, 8]), scheme=unknown) == [set(), {3, 8}, set()]
    turns = np.exp(1j * random.uniform(0, 2 * np.pi, 80))[:, None]
    turned = turns * (flies[..., 0] + 1j * flies[..., 1])
    anyhow = from_below(np.stack([turned.real, turned.imag], -1), [3, 8])
    assert not any(faults(anyhow, scheme=unknown))


def test_turned_faces_masked_points_and_a_fifth_of_the_set(faces, random):
    turns = np.exp(1j * random.uniform(0, 2 * np.pi, len(faces)))[:, None]
    turned = turns * (faces[..., 0] + 1j * faces[..., 1])
    turned, wrong = np.stack([turned.real, turned.imag], -1) + 300, list(range(0, 150, 5))
    mask = random.uniform(size=faces.shape[:2]) > 0.3
    mask[7] = False
    assert not found(turned, mask)
    assert (some := found(exchanged(turned, wrong), mask)) <= set(wrong) and len(some) >= 0.8 * len(wrong)


def test_mirrored_images_whose_points_were_not_renamed(faces):
    faces = faces.copy()
    faces[[4, 9], :, 0] = 200 - faces[[4, 9], :, 0]
    assert found(faces) == {4, 9}


def test_three_points_say_nothing(random):
    five = drawn(5)
    for share in (0.2, 0.4, 0.6):
        assert not found(five, random.uniform(size=five.shape[:2]) > share)


def test_nothing_where_points_cannot_tell(faces, random):
    swap = np.array([1, 0], np.int32)
    assert not found(faces[:, [36, 45]], scheme=Scheme(2, swap, (0, 1), {}))
    line = np.stack([np.arange(6) * [[40.0]] + random.normal(0, 1, (50, 6)), random.normal(0, 1, (50, 6))], -1)
    assert not found(line, scheme=Scheme(6, np.arange(6, dtype=np.int32)[::-1].copy(), None, {}))
    assert not found(faces, scheme=Scheme(68, random.permutation(68), None, {}))
    assert not found(random.uniform(0, 100, (100, 68, 2)))
    assert not found(exchanged(faces, [1])[:9])
    assert faults(exchanged(faces, [1]), scheme=Scheme(68, None, None, {})) == [set(), set(), {1}]


def test_prepare_and_train_tell(command, tmp_path):
    faces = from_below(exchanged(drawn(5, 20), [6]), [11], 150.0)
    rows = {f"{i:02d}.jpg": (jpeg(texture(i), 92), face) for i, face in enumerate(faces)}
    data, out = contest_folder(tmp_path / "data", rows), tmp_path / "out"
    more = {"prepare": ("--out", out), "train": ("--dry-run", "--runs", tmp_path, "--model", "resnet18")}
    for name, flags in more.items():
        code, said = command(name, "--data", data, *flags)
        assert code == 0 and "1 label has its left and right exchanged: 06.jpg" in said.out
        assert "1 label upside down and reflected: 11.jpg" in said.out
    about = json.loads((out / "report.json").read_text())["parts"]["train"]
    assert about["exchanged_labels"] == ["06.jpg"] and about["labels_from_below"] == ["11.jpg"]
