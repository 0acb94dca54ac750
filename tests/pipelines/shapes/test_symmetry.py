"""The mirror permutation found from labels, its rejections, and schemes in files."""

import json

import numpy as np
import pytest

from jaxmarks import landmarks
from pipelines import synthetic
from pipelines.shapes import schemes, symmetry
from tests.pipelines.sources.formats.test_contest import landmarks as whole_table


def drawn(count: int, num_points: int, start: int = 0) -> np.ndarray:
    return np.stack([synthetic.label(start + i, num_points=num_points).points for i in range(count)])


def known(num_points: int) -> np.ndarray:
    mirror = landmarks.scheme(num_points).mirror
    assert mirror is not None
    return mirror


def derive(points, mask=None):
    symmetry.insist(found := symmetry.examine(points, mask))
    return found


@pytest.fixture(scope="module")
def faces_68() -> np.ndarray:
    return drawn(150, 68)


@pytest.fixture(scope="module")
def found_68(faces_68) -> symmetry.Findings:
    return derive(faces_68)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_points", "count", "start"),
    [(971, 100, 400), pytest.param(971, 400, 0, marks=pytest.mark.slow), (68, 60, 50), (5, 60, 50)],
)
def test_exact_on_drawn_faces(num_points, count, start):
    """400 from 0: the mean shape alone, and readings that trust all points alike, put the oval one point off."""
    found = derive(drawn(count, num_points, start))
    assert np.abs((found.shape + found.shape[found.mirror])[:, 0]).mean() < 0.1  # its axis stands at x = 0
    assert (found.mirror == known(num_points)).all()
    assert (found.margin[~found.by_order] >= symmetry.WEAK).all()
    assert found.by_order.sum() < 0.02 * num_points or num_points == 68  # corners of the mouth: one place, two points


@pytest.mark.parametrize("part", [slice(0, 3032), slice(0, 3032, 25), slice(2, 3032, 60)])
def test_exact_on_real_faces(faces68, part):
    _, points = whole_table(faces68 / "train" / "landmarks.csv")
    found = derive(points[part])
    assert (found.mirror == known(68)).all() and not found.by_order.any()


def test_the_order_of_the_points_does_not_matter(faces68, random):
    _, points = whole_table(faces68 / "train" / "landmarks.csv")
    order = random.permutation(68)
    found = derive(points[::10][:, order])
    assert (order[found.mirror] == known(68)[order]).all()


def test_place_size_and_turn_do_not_matter(faces_68, random):
    turned = faces_68[..., 0] + 1j * faces_68[..., 1]
    turned = turned * np.exp(1j * random.uniform(-3, 3, (150, 1))) * random.uniform(0.1, 9, (150, 1)) + 300
    assert (derive(np.stack([turned.real, turned.imag], -1)).mirror == known(68)).all()


def test_wrong_tables_are_contradicted(found_68):
    table = known(68).copy()
    assert symmetry.contradictions(found_68, table) == []
    table[[36, 37, 44, 45]] = [44, 45, 36, 37]
    rows = symmetry.contradictions(found_68, table)
    assert [(r.point, r.table, r.found) for r in rows] == [(36, 44, 45), (37, 45, 44), (44, 36, 37), (45, 37, 36)]
    assert all(r.margin > 0.5 for r in rows)
    identity = symmetry.contradictions(found_68, np.arange(68))
    assert len(identity) == 58 and all(r.margin > symmetry.WEAK for r in identity)
    tie = known(68).copy()
    tie[[48, 54, 60, 64]] = [64, 60, 54, 48]  # the corners of drawn mouths: no label can tell
    assert len(rows := symmetry.contradictions(found_68, tie)) == 4 and all(r.margin < symmetry.WEAK for r in rows)
    with pytest.raises(ValueError, match="5 points"):
        symmetry.contradictions(found_68, np.arange(5))


def test_noise_is_rejected(random):
    with pytest.raises(ValueError, match="halves .* disagree"):
        derive(random.normal(size=(200, 40, 2)) * 50)


def test_an_asymmetric_shape_is_rejected(random):
    shape = random.uniform(0, 200, (30, 2))
    with pytest.raises(ValueError, match="not symmetric at points"):
        derive(shape + random.normal(size=(120, 30, 2)))


def test_a_point_without_a_partner_is_rejected(faces_68):
    mole = faces_68[:, 2:3] * 0.6 + faces_68[:, 31:32] * 0.4
    with pytest.raises(ValueError, match="not symmetric at points"):
        derive(np.concatenate([faces_68, mole], 1))


def test_points_that_cannot_be_told_apart_are_named(faces_68):
    order = np.array([*range(48), *range(49, 68), 48])  # the tied corners lose their neighbours in the list
    order = order[np.random.RandomState(1).permutation(68)]
    with pytest.raises(ValueError, match="do not distinguish|disagree"):
        derive(faces_68[:, order])


def test_too_little_is_rejected(faces_68):
    with pytest.raises(ValueError, match="from 40 objects or more .* got 39"):
        derive(faces_68[:39])
    with pytest.raises(ValueError, match="3 points or more"):
        derive(faces_68[:, :2])
    mask = np.ones((150, 68), bool)
    mask[:, 5] = False
    with pytest.raises(ValueError, match="points 5 are labelled in fewer"):
        derive(faces_68, mask)


@pytest.mark.slow
def test_wrong_labels_are_tolerated(random):
    points = drawn(120, 971)
    points[7] = random.uniform(0, 300, (971, 2))
    points[50] = points[50, random.permutation(971)]
    points[90] += 500
    points[100:110, 300] += 80
    assert (derive(points).mirror == known(971)).all()


def test_missing_labels_are_tolerated(faces_68, random):
    mask = random.uniform(size=(150, 68)) > 0.2
    points = np.where(mask[..., None], faces_68, np.nan)
    assert (derive(points).mirror == known(68)).all()
    assert (derive(np.where(mask[..., None], faces_68, 1e6), mask).mirror == known(68)).all()


@pytest.mark.parametrize("num_points", [971, 68, 5])
def test_a_file_keeps_a_scheme(tmp_path, num_points):
    scheme = landmarks.scheme(num_points)
    schemes.write_scheme(tmp_path / "s.json", scheme)
    read = schemes.load_scheme(tmp_path / "s.json", num_points)
    assert read.num_points == num_points and read.norm == scheme.norm and (read.mirror == known(num_points)).all()
    assert {n: p.tolist() for n, p in read.regions.items()} == {n: p.tolist() for n, p in scheme.regions.items()}
    with pytest.raises(ValueError, match="without a mirror"):
        schemes.write_scheme(tmp_path / "s.json", landmarks.scheme(13))


GOOD = {"format_version": 1, "num_points": 3, "mirror": [1, 0, 2], "norm": [0, 1], "regions": {"all": [0, 1, 2]}}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"format_version": 2}, "format_version"),
        ({"extra": 1}, "the fields are"),
        ({"num_points": 4}, "num_points is 4"),
        ({"num_points": True}, "num_points is True"),
        ({"mirror": [1, 0]}, "2 entries for 3"),
        ({"mirror": [1, 0, 3]}, "from 0 to 2"),
        ({"mirror": [1, 0, 2.0]}, "from 0 to 2"),
        ({"mirror": None}, "from 0 to 2"),
        ({"mirror": [1, 1, 2]}, "not a permutation"),
        ({"mirror": [1, 2, 0]}, "not its own inverse"),
        ({"norm": [0]}, "norm"),
        ({"norm": [1, 1]}, "norm"),
        ({"norm": [0, 9]}, "norm"),
        ({"regions": []}, "regions"),
        ({"regions": {"a": [0, 1]}}, "one region"),
        ({"regions": {"a": [0, 1, 2], "b": [2]}}, "one region"),
    ],
)
def test_bad_json(tmp_path, change, message):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(ValueError, match=message) as caught:
        schemes.load_scheme(path, 3)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("\ufeff# eyes\n0,1\r\n3, 4  # mouth\n\n", encoding="utf-8")
    five = schemes.load_scheme(path, 5)
    assert (five.mirror == known(5)).all() and five.norm == (0, 1)
    assert schemes.load_scheme(path).num_points == 5
    six = schemes.load_scheme(path, 6)
    assert six.mirror is not None and six.mirror.tolist() == [1, 0, 2, 4, 3, 5] and six.norm is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no pair there"),
        ("0,1\n1,2", ":2: point 1 is paired already, on line 1"),
        ("0,5", ":1: point 5, but there are 5 points"),
        ("0,-1", ":1: expected two points"),
        ("0,1,2", ":1: expected two points"),
        ("a,b", ":1: expected two points"),
    ],
)
def test_bad_pairs(tmp_path, text, message):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        schemes.load_scheme(path, 5)
    assert str(path) in str(caught.value)


def test_sheet_marks_what_is_contradicted(found_68):
    def red(sheet):
        return (sheet == (255, 60, 60)).all(-1).sum()

    assert red(schemes.sheet(found_68)) == 0
    table = known(68).copy()
    table[[36, 37, 44, 45]] = [44, 45, 36, 37]
    wrong = schemes.sheet(found_68, table, symmetry.contradictions(found_68, table))
    assert wrong.dtype == np.uint8 and red(wrong) > 300


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        ((), True),
        (("a", "b", "c", "d", "e"), True),
        (("left_eye", "right_eye", "nose", "mouth_left", "mouth_right"), True),
        (("eyeR", "eyeL", "nose", "R.mouth", "L.mouth"), True),
        (("left_eye", "mouth_left", "mouth_right", "nose", "right_eye"), False),
        (("LEFT", "nose", "RIGHT", "tail", "l"), False),
    ],
)
def test_names_of_points_can_contradict_the_known_mirror(names, fits):
    found = schemes.fitting(5, names)
    assert (found.mirror is not None) == (found.norm is not None) == fits


def test_points_of_no_known_number_have_no_mirror():
    assert schemes.fitting(3, ("left", "right", "nose")).mirror is None
