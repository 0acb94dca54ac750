"""Runs on several data sets: split, shares and points of each, kept by the run, wherever the sets lie afterwards."""

import dataclasses
import json

import numpy as np
import pytest

from jaxmarks import data_sets, keys
from jaxmarks.config import Config
from pipelines import loader
from pipelines.runs import halves, restore, run_data, run_folder
from pipelines.sources import boxes
from pipelines.sources.formats import FORMATS
from pipelines.sources.tables import Row
from tests.pipelines.runs.test_run_folder import rejection
from tests.pipelines.sources.formats.test_contest import contest_folder, picture
from tests.tiny import CONFIG

MAP = {"points": 3, "sets": [[0, 1, None], [2, "p1", 0]]}


def table(folder, count, points, seed):
    """A plain table of images of different grey levels with `points` points p0, p1, ..."""
    folder.mkdir(parents=True)
    names = [f"{i:02d}.png" for i in range(count)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(picture(4 * i + seed))
    header = ",".join(f"p{i}_x,p{i}_y" for i in range(points))
    values = np.random.RandomState(seed).randint(1, 30, (count, 2 * points))
    rows = [f"{name},{','.join(map(str, v))}" for name, v in zip(names, values.tolist(), strict=True)]
    (folder / "t.csv").write_text("\n".join([f"file_name,{header}", *rows]) + "\n")
    return str(folder / "t.csv")


@pytest.fixture
def sets(tmp_path):
    return [table(tmp_path / "a", 20, 2, 1), table(tmp_path / "b", 10, 3, 2)]


@pytest.fixture
def config(tmp_path, sets) -> Config:
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    own = {"data": data_sets.joined(sets), "point_map": str(tmp_path / "map.json"), "shares": "0.25,0.75"}
    return dataclasses.replace(CONFIG, cache=False, val_fraction=0.2, near_duplicates=False, **own)


@pytest.fixture
def run(tmp_path, config) -> run_folder.Run:
    return run_folder.create(tmp_path / "run", config, run_data.of_config(config))


def counts(names) -> list[int]:
    found = data_sets.labels(names)
    return [found.count(data_sets.label(place)) for place in range(2)]


@pytest.mark.parametrize(
    ("settings", "held"), [({}, [4, 2]), ({"val_fraction": -1.0}, [4, 2]), ({"fold": "2/5"}, [4, 2])]
)
def test_each_set_has_its_own_split_and_halves(tmp_path, config, settings, held):
    config = dataclasses.replace(config, **settings)
    source = run_data.of_config(config)
    run = run_folder.create(tmp_path / "other", config, source)
    assert counts(run.parts["val"]) == held and counts(run.parts["train"]) == [16, 8]
    assert run.config.val_fraction == config.val_fraction
    found = halves.held(run, source)
    assert counts(found.chooses.names) == counts(found.calibrates.names) == [2, 1]
    assert sum(line.startswith(data_sets.label(1)) for line in halves.described(run, source)) == 1


def test_each_set_has_its_share_of_the_draws_of_an_epoch(tmp_path, config, run):
    weights = run_folder.weights(run)
    assert weights is not None
    drawn = [keys.weighted(keys.root(0), epoch, weights) for epoch in range(50)]
    seen = counts([run.parts["train"][int(i)] for epoch in drawn for i in epoch])
    assert np.array(seen) / sum(seen) == pytest.approx([0.25, 0.75], abs=0.01)
    of_one = "".join(f"{name},{1 + 2 * ('05' in name)}\n" for name in run_data.of_run(run).names)
    (tmp_path / "w.csv").write_text(f"file_name,weight\n{of_one}")
    config = dataclasses.replace(config, weights=str(tmp_path / "w.csv"))
    weighed = run_folder.weights(run_folder.create(tmp_path / "w", config, run_data.of_config(config)))
    of = np.array(data_sets.labels(run.parts["train"])) == data_sets.label(0)
    assert weighed is not None and weighed[of].sum() == pytest.approx(weights[of].sum())
    assert weighed[of].max() / weighed[of].min() == pytest.approx(3 if "set1/05.png" in run.parts["train"] else 1)


def test_no_share_is_by_the_images(tmp_path, config):
    config = dataclasses.replace(config, shares="")
    assert run_folder.weights(run_folder.create(tmp_path / "other", config, run_data.of_config(config))) is None


def test_a_batch_has_the_points_of_the_map(run, sets):
    part = run_data.split_of(run, run_data.of_run(run), "train")
    batch = next(loader.batches(part, run.config, run.key, weights=run_folder.weights(run)))
    of = np.array(data_sets.labels([part.names[i] for i in batch.index]))
    assert batch.points.shape[1] == 3 and set(of) == {data_sets.label(0), data_sets.label(1)}
    assert (batch.mask == np.where((of == data_sets.label(0))[:, None], [True, True, False], True)).all()


def test_the_run_finds_its_data_without_the_map_and_elsewhere(tmp_path, config, run, sets):
    (tmp_path / "map.json").unlink()
    assert run_data.of_run(run).names[0].startswith(data_sets.label(0))
    (tmp_path / "a").rename(tmp_path / "moved")
    moved = data_sets.joined([sets[0].replace("/a/", "/moved/"), sets[1]])
    assert run_data.of_run(run, moved).sets == run.sets == [[0, 1, -1], [2, 1, 0]]
    assert "data" in rejection(run_data.of_run, run)
    assert "2 data sets" in rejection(run_data.of_run, run, sets[1])
    assert "`data`" in rejection(run_data.of_run, run, data_sets.joined(data_sets.paths(moved)[::-1]))


def test_a_run_resumes_with_its_map_and_shares_alone(tmp_path, config, run):
    def resumed(**settings):
        asked = dataclasses.replace(config, **settings)
        return run_folder.resume(run, asked, run_data.of_config(asked, run.root))

    assert resumed()[0].parts == resumed(point_map="")[0].parts == run.parts
    assert "`shares`" in rejection(lambda: resumed(shares="0.5,0.5"))
    (tmp_path / "map.json").write_text(json.dumps({**MAP, "sets": [[0, 1, None], [1, 2, 0]]}))
    assert "`point_map`" in rejection(resumed)


@pytest.mark.parametrize("flags", [{"shares": "0.5,0.5"}, {"point_map": "map.json"}])
def test_a_fork_keeps_shares_and_map(tmp_path, run, flags):
    flags = {name: str(tmp_path / value) if name == "point_map" else value for name, value in flags.items()}
    assert next(iter(flags)) in rejection(restore.fork, run.root, tmp_path / "new", {**flags, "lr": 1e-4}, None)


def test_unequal_points_a_missing_set_and_one_twice_are_rejected(tmp_path, config, sets):
    alone = dataclasses.replace(config, point_map="")
    assert "`point_map`" in rejection(run_data.of_config, alone)
    missing = dataclasses.replace(config, data=data_sets.joined([sets[0], str(tmp_path / "none")]))
    assert str(tmp_path / "none") in rejection(run_data.of_config, missing)
    (tmp_path / "c").symlink_to(tmp_path / "a")
    twice = dataclasses.replace(alone, data=data_sets.joined([sets[0], str(tmp_path / "c" / "t.csv")]))
    assert "`data`" in rejection(run_data.of_config, twice)
    many = dataclasses.replace(alone, data=data_sets.joined([sets[1], "drawn:8:5"]), val_fraction=0.9, fold="3/9")
    assert "`point_map`" in rejection(run_data.of_config, many)


def test_a_set_that_cannot_be_split_is_named(tmp_path, config):
    config = dataclasses.replace(config, split_by="set1/..|set2")
    told = rejection(run_folder.plan, tmp_path / "other", config, run_data.of_config(config))
    assert told.startswith(data_sets.label(1))


def test_the_test_splits_are_those_of_the_sets_that_have_one(tmp_path, config, sets):
    faces = {f"{part}{i}.png": (picture(9 * i), [[i, j] for j in range(5)]) for part in ("a", "b") for i in range(1, 7)}
    train, test = ({n: face for n, face in faces.items() if n.startswith(part)} for part in ("a", "b"))
    real = contest_folder(tmp_path / "real", train, test, {name: [4, 0] for name in test})
    data = data_sets.joined(["drawn:40:5", str(real)])
    config = dataclasses.replace(config, data=data, point_map="", shares="")
    run = run_folder.create(tmp_path / "run", config, run_data.of_config(config))
    found = run_data.test_split(run, None)
    assert counts(found.names) == [16, 6] and found.asked is not None and found.asked[-1].tolist() == [4, 0]
    labels = run_data.training_labels(run, None)
    assert labels is not None and counts(labels.names) == [40, 6]
    five = table(tmp_path / "five", 4, 5, 3)
    other = run_data.test_split(run, data_sets.joined(["drawn:40:5", five]))
    assert counts(other.names) == [16, 0]


def test_boxes_of_one_set_leave_the_other_whole(tmp_path, config, caplog):
    rows = [
        Row(f"{i:02d}.png", np.array([[3.0, 4], [9, 8]]), np.ones(2, bool), (32, 32), np.array([2.0, 2, 9, 9]))
        for i in range(10)
    ]
    (tmp_path / "boxed").mkdir()
    for i in range(10):
        (tmp_path / "boxed" / f"{i:02d}.png").write_bytes(picture(20 * i))
    FORMATS["plain"].write(tmp_path / "boxed" / "t.csv", iter(rows), 2)
    both = [str(tmp_path / "a" / "t.csv"), str(tmp_path / "boxed" / "t.csv")]
    config = dataclasses.replace(config, data=data_sets.joined(both), point_map="")
    source = run_data.of_config(config)
    run = run_folder.create(tmp_path / "run", config, source)
    assert run.boxed and boxes.describe(source, 0.25)
    part = run_data.split_of(run, source, "train")
    frames = {label: set() for label in ("set1", "set2")}
    for batch, count in loader.ordered(part, config):
        for index, frame in zip(batch.index[:count], batch.frame, strict=False):
            frames[data_sets.labels([part.names[index]])[0]].add(frame[0, 0])
    assert all(len(scales) == 1 for scales in frames.values()) and frames["set1"] != frames["set2"]
    alone = run_data.test_split(run, both[0])
    assert not alone.boxed and "seen whole" in caplog.text
