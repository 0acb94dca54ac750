"""Points on a lattice are found with its step, whatever its offset; real, drawn and random points are not taken for one."""

import json
from functools import cache

import numpy as np
import pytest

from pipelines import synthetic
from pipelines.label_checks import lattice_labels
from pipelines.label_checks.lattice_labels import of_points
from tests.pipelines.label_checks.test_conflicts import jpeg, texture
from tests.pipelines.sources.formats.test_contest import contest_folder
from tests.pipelines.sources.formats.test_contest import landmarks as whole_table


@cache
def drawn(num_points: int, count: int = 100) -> list[np.ndarray]:
    return [synthetic.label(i, num_points=num_points).points for i in range(count)]


def named(faces) -> dict[str, np.ndarray]:
    return {f"{i}.jpg": face for i, face in enumerate(faces)}


def on_lattice(face: np.ndarray, step: float, offset) -> np.ndarray:
    return np.rint((face - offset) / step) * step + offset


@pytest.mark.parametrize("num_points", [68, 971])
@pytest.mark.parametrize("step", [2, 2.3, 3.7])
@pytest.mark.parametrize("whole", [False, True])
def test_step_and_share_with_an_offset_of_each_image(num_points, step, whole, random):
    faces = [on_lattice(face, step, random.uniform(0, step, 2)) for face in drawn(num_points, 40)]
    found = of_points(named(np.rint(face) if whole else face for face in faces))
    assert found is not None and not found.together
    assert (found.tested, len(found.images)) == (40, 40)
    np.testing.assert_allclose(found.step, step, rtol=0.01)
    assert min(found.on) > 0.99


def test_a_lattice_relative_to_each_face_in_some_images_only(random):
    faces = drawn(68)
    own = [on_lattice(face, np.ptp(face) / 40, face.min(0)) if i % 4 == 0 else face for i, face in enumerate(faces)]
    found = of_points(named(own))
    assert found is not None and 20 <= len(found.images) <= 27
    assert sum(int(name.removesuffix(".jpg")) % 4 == 0 for name in found.images) >= 20
    steps = [np.ptp(faces[i]) / 40 for i in range(0, 100, 4)]
    assert min(steps) * 0.99 <= found.step[1] <= max(steps)


@pytest.mark.parametrize("step", [2, 3, 4, 8])
def test_few_points_of_all_images_on_one_lattice(step):
    found = of_points(named(on_lattice(face, step, 1) for face in drawn(5)))
    assert found is not None and found.together and found.tested == 100
    np.testing.assert_allclose(found.step, step, rtol=0.001)
    assert "all 100 images share a lattice" in lattice_labels.describe(found)[0]


@pytest.mark.slow
@pytest.mark.parametrize("num_points", [5, 68, 971])
@pytest.mark.parametrize("scale", [0.4, 1, 3])
def test_drawn_faces_have_none(num_points, scale):
    faces = [scale * face for face in drawn(num_points, 150)]
    for some in (faces, [np.rint(face) for face in faces]):
        assert of_points(named(some)) is None
        assert sum(lattice_labels._fit(face) is not None for face in some) < 0.02 * len(some)


@pytest.mark.slow
def test_random_points_have_one_in_a_hundred_at_most(random):
    points = random.uniform(0, 150, (2000, 40, 2))
    assert sum(lattice_labels._fit(face) is not None for face in points) <= 20
    assert sum(lattice_labels._fit(np.rint(face)) is not None for face in points) <= 20


def test_points_in_one_place_placeholders_and_little_have_none(random):
    mean = random.uniform(0, 100, (5, 2))
    for spread in (0, 0.2, 1):
        assert of_points(named(mean + random.normal(0, 1, (100, 5, 2)) * spread)) is None
    faces = [np.concatenate([face, [[-99999, -99999], [0, 0]]]) for face in drawn(68)]
    assert of_points(named(faces)) is None
    assert of_points({}) is None and of_points(named([np.zeros((0, 2))] * 9)) is None


@pytest.mark.slow
def test_real_faces_labelled_by_a_network(faces68, random):
    _, points = whole_table(faces68 / "train" / "landmarks.csv")
    found = of_points(named(points))
    assert found is not None and found.tested == 3032 and 0.74 < len(found.images) / found.tested < 0.76
    assert found.step[0] > 2 and 2.5 < found.step[1] < 2.6
    assert found.on[0] > 0.99 and 0.86 < found.on[1] < 0.88
    moved = points[::3] + random.uniform(-3, 3, points[::3].shape)  # a step or more, so that nothing is left of it
    for faces in (moved, np.rint(moved)):
        assert of_points(named(faces)) is None
        assert sum(lattice_labels._fit(face) is not None for face in faces) < 0.01 * len(faces)


def test_prepare_and_train_tell(command, tmp_path):
    faces = [on_lattice(face, 3, i % 3) for i, face in enumerate(drawn(68, 8))]
    rows = {f"{i}.jpg": (jpeg(texture(i), 92), face) for i, face in enumerate(faces)}
    data, out = contest_folder(tmp_path / "data", rows), tmp_path / "out"
    more = {"prepare": ("--out", out), "train": ("--dry-run", "--runs", tmp_path, "--model", "resnet18")}
    for name, flags in more.items():
        code, said = command(name, "--data", data, *flags)
        assert code == 0 and "8 of 8 images have points on a lattice of 3 px" in said.out
    found = json.loads((out / "report.json").read_text())["parts"]["train"]["lattice"]
    assert found["step"] == [3, 3, 3] and found["images"] == list(rows)
