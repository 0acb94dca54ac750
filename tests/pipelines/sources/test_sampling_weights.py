"""Sampling weights: how often an image comes is exact, and the file that says so is the run's own."""

import dataclasses
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from jaxmarks import keys
from jaxmarks.config import Config
from jaxmarks.types import Batch
from pipelines import example, loader
from pipelines import open as opening
from pipelines.runs import run_folder
from pipelines.sources import sampling_weights
from tests.pipelines.runs.test_run_folder import changed, rejection
from tests.pipelines.sources.formats.test_contest import contest_folder, picture
from tests.pipelines.test_loader import Shades, config, same

STREAM = keys.named(keys.root(3), "weights")
ODD = np.array([0, 1, 2, 0, 0.5, 7.25, 1e-9, 3, 0.1, 0, 40, 0])  # its first and last are never to come


def test_equal_weights_bring_each_once():
    for count, weight in ((1, 5.0), (2, 0.1), (7, 1 / 3), (1000, 0.1), (100_003, 1e-7)):
        for epoch in range(3):
            picked = keys.weighted(STREAM, epoch, np.full(count, weight))
            assert np.array_equal(picked, np.arange(count))


@pytest.mark.parametrize("seed", range(4))
def test_an_epoch_has_as_many_as_ever_and_each_as_often_as_is_due_rounded_down_or_up(seed):
    weights = np.random.RandomState(seed).gamma(0.4, size=50 + seed)
    due = weights / weights.mean()
    for epoch in range(30):
        picked = keys.weighted(STREAM, epoch, weights)
        counts = np.bincount(picked, minlength=len(weights))
        assert len(picked) == len(weights) and (np.diff(picked) >= 0).all()
        assert (counts >= np.floor(due - 1e-9)).all() and (counts <= np.ceil(due + 1e-9)).all()


def test_over_all_that_can_be_drawn_the_mean_is_exact(monkeypatch):
    due, total, of = ODD / ODD.mean(), np.zeros(len(ODD)), 200
    for step in range(of):
        monkeypatch.setattr(keys.jax.random, "uniform", lambda key, at=(step + 0.5) / of: np.float32(at))
        total += np.bincount(keys.weighted(STREAM, 0, ODD), minlength=len(ODD))
    assert np.abs(total / of - due).max() <= 1 / of + 1e-6


def test_over_many_epochs_the_mean_is_as_due():
    counts = sum(np.bincount(keys.weighted(STREAM, epoch, ODD), minlength=len(ODD)) for epoch in range(400))
    assert np.abs(counts / 400 - ODD / ODD.mean()).max() < 0.1  # four deviations
    assert (counts[ODD == 0] == 0).all()


def test_what_weighs_nothing_never_comes_wherever_the_draw_falls(monkeypatch):
    for at in (0.0, 2.0**-24, 0.5, 1 - 2.0**-24):
        monkeypatch.setattr(keys.jax.random, "uniform", lambda key, at=at: np.float32(at))
        for weights in (ODD, np.array([0, 0, 1.0]), np.array([1.0, 0, 0]), np.array([0, 1e-300, 0]), np.full(3, 1e300)):
            picked = keys.weighted(STREAM, 0, weights)
            assert (weights[picked] > 0).all() and len(picked) == len(weights)


def test_a_draw_is_a_function_of_key_and_epoch():
    weights = np.random.RandomState(0).rand(100)
    epochs = [keys.weighted(STREAM, e, weights).tolist() for e in (0, 1, 2, 0)]
    assert epochs[0] == epochs[3] and epochs[0] != epochs[1] != epochs[2]
    assert keys.weighted(keys.named(keys.root(4), "weights"), 0, weights).tolist() != epochs[0]


def test_golden_draw():
    # May change only with a new key implementation: a resumed run relies on it.
    assert keys.weighted(STREAM, 1, np.array([1.0, 0, 2, 3, 0.5, 5])).tolist() == [2, 3, 3, 5, 5, 5]
    assert keys.weighted(STREAM, 3, np.array([1.0, 0, 2, 3, 0.5, 5])).tolist() == [0, 2, 3, 4, 5, 5]


def stream(count: int, batch: int, weights=None, start: int = 0, workers: int = 2) -> list[Batch]:
    steps = loader.batches(Shades(10), config(batch, workers), keys.root(3), start, weights=weights)
    return [Batch(*(field[i] for field in b)) for b in islice(steps, count // batch) for i in range(batch)]


def test_equal_weights_give_the_batches_of_none():
    assert same(stream(40, 4, np.full(10, 0.3)), stream(40, 4))


def test_draw_g_is_the_same_whatever_the_batch_and_the_restarts():
    known = stream(40, 4, ODD[:10])
    assert same(stream(40, 8, ODD[:10], workers=4), known) and same(stream(20, 4, ODD[:10], start=5), known[20:])
    assert [b.draw.tolist() for b in known] == [[g // 10, g % 10] for g in range(40)]


def test_the_batches_hold_what_the_weights_say():
    due = ODD[:10] / ODD[:10].mean()
    found = [int(b.index) for b in stream(100, 10, ODD[:10])]
    for epoch in range(10):
        counts = Counter(found[10 * epoch : 10 * epoch + 10])
        assert all(np.floor(due[i]) <= counts[i] <= np.ceil(due[i]) for i in range(10))
    assert found[:10] != sorted(found[:10])  # shuffled, not in runs of one image


NAMES = ["a.jpg", "b.jpg", "sub/c.jpg"]


def read(tmp_path, text: str) -> np.ndarray:
    (tmp_path / "w.csv").write_text(text)
    return sampling_weights.read(tmp_path / "w.csv", NAMES)


def test_weights_are_read_by_name(tmp_path):
    text = "\ufefffile_name,weight\r\nsub/c.jpg,2.5\r\n\r\nother.jpg,9\r\nb.jpg,0\r\na.jpg,1e-2"
    assert np.array_equal(read(tmp_path, text), np.float32([0.01, 0, 2.5]))


def test_what_is_never_drawn_and_rows_for_other_images_are_told(tmp_path):
    (tmp_path / "w.csv").write_text("n,w\na.jpg,1\nb.jpg,0\nsub/c.jpg,1\nheld.jpg,2\nelse.jpg,2\n")
    zero, unknown = sampling_weights.remarks(tmp_path / "w.csv", NAMES, ["held.jpg"])
    assert "1 of 3 images" in zero and "b.jpg" in zero and "1 row" in unknown and "else.jpg" in unknown
    (tmp_path / "w.csv").write_text("n,w\na.jpg,1\nb.jpg,2\nsub/c.jpg,1\nheld.jpg,2\n")
    assert not sampling_weights.remarks(tmp_path / "w.csv", NAMES, ["held.jpg"]) + sampling_weights.remarks(
        "", NAMES, []
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: the header has 0"),
        ("n,w\n", ": no row under the header"),
        ("n\tw\na.jpg\t1\n", ":1: 1 column, expected file_name,weight"),
        ("n,w,x\na.jpg,1,2\n", ":1: 3 columns, expected file_name,weight"),
        ("a.jpg,1\nb.jpg,1\nsub/c.jpg,1\n", ":1: this is a row of numbers, not a header"),
        ("n,w\na.jpg,1\nb.jpg,-1e-3\nsub/c.jpg,1\n", ":3: the weight of b.jpg is -0.001, below 0"),
        ("n,w\na.jpg,1\nb.jpg,x\nsub/c.jpg,1\n", ":3: not a finite number: field 2 is 'x'"),
        ("n,w\na.jpg,1\nb.jpg,nan\nsub/c.jpg,1\n", ":3: not a finite number"),
        ("n,w\na.jpg,1\nb.jpg,inf\nsub/c.jpg,1\n", ":3: not a finite number"),
        ("n,w\na.jpg,1\nb.jpg,\nsub/c.jpg,1\n", ":3: not a finite number"),
        ("n,w\na.jpg,1\na.jpg,2\nb.jpg,1\nsub/c.jpg,1\n", ":3: name twice: a.jpg, first on line 2"),
        ("n,w\na.jpg,1\n../b.jpg,2\n", ":3: bad file name"),
        ("n,w\na.jpg,1\nb.jpg,1,1\n", ":3: wrong number of fields"),
        ("n,w\na.jpg,1\n", ": no weight for b.jpg (2 in all)"),
        ("n,w\na.jpg,0\nb.jpg,0\nsub/c.jpg,0\nother,1\n", ": all weights are 0"),
    ],
)
def test_a_file_that_cannot_be_used_is_rejected_with_its_line(tmp_path, text, told):
    message = rejection(read, tmp_path, text)
    assert message.startswith(f"{tmp_path / 'w.csv'}{told}")


@pytest.fixture
def data(tmp_path):
    train = {f"{i}.png": (picture(20 * i), [[i, 1], [2, i]]) for i in range(10)}
    return contest_folder(tmp_path / "data", train)


@pytest.fixture
def begun(tmp_path, data) -> tuple[run_folder.Run, Config, example.Source]:
    """(run, its configuration, its data), begun with weights that grow with the number of an image."""
    (tmp_path / "w.csv").write_text("n,w\n" + "".join(f"{i}.png,{i}\n" for i in range(10)))
    asked = Config(data=str(data), weights=str(tmp_path / "w.csv"), size=32, batch=4, val_fraction=0.2)
    source = opening.open_source(str(data))
    return run_folder.create(tmp_path / "run", asked, source), asked, source


def test_a_run_keeps_its_weights_whatever_becomes_of_the_file(tmp_path, begun):
    run, asked, source = begun
    assert (run.root / "weights.csv").read_bytes() == (tmp_path / "w.csv").read_bytes()
    (tmp_path / "w.csv").unlink()
    again, _ = run_folder.resume(run_folder.load(run.root), dataclasses.replace(asked, weights=""), source)
    assert run_folder.weights(again).tolist() == [int(name[0]) for name in run.parts["train"]]


def test_other_weights_are_rejected_when_a_run_resumes(tmp_path, begun):
    run, asked, source = begun
    run_folder.resume(run, asked, source)
    (tmp_path / "copy.csv").write_bytes((tmp_path / "w.csv").read_bytes())
    run_folder.resume(run, dataclasses.replace(asked, weights=str(tmp_path / "copy.csv")), source)
    (tmp_path / "w.csv").write_text("n,w\n" + "".join(f"{i}.png,1\n" for i in range(10)))
    assert f"`weights` {tmp_path / 'w.csv'}: not the weights that" in rejection(run_folder.resume, run, asked, source)


def test_weights_cannot_join_a_run_that_began_without(tmp_path, begun):
    _, asked, source = begun
    plain = run_folder.create(tmp_path / "plain", dataclasses.replace(asked, weights=""), source)
    assert run_folder.weights(plain) is None and not (plain.root / "weights.csv").exists()
    assert "not the weights that" in rejection(run_folder.resume, plain, asked, source)


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_changed_weights_in_the_run_folder_are_rejected(begun, change):
    said = changed(begun[0].root / "weights.csv", change, b"3.png,3", b"3.png,4")
    assert said in rejection(run_folder.weights, run_folder.load(begun[0].root))


def test_no_run_begins_with_weights_that_cannot_be_used(tmp_path, begun):
    _, asked, source = begun
    (tmp_path / "w.csv").write_text("n,w\n0.png,1\n")
    assert "no weight for" in rejection(run_folder.create, tmp_path / "new", asked, source)
    assert not run_folder.exists(tmp_path / "new")
