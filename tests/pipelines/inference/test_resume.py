"""Long lists of predictions: killed anywhere the same command goes on, and the file is as if nothing had been."""

import json
import os

import numpy as np
import pytest

from jaxmarks.inference import Predicted
from pipelines import open as opening
from pipelines import predictor
from pipelines.inference import resume
from pipelines.synthetic.drawn import DrawnSource
from tests.commands import begun

ABOUT = {"what": 1}


class Counting:
    """Predictions that say which images they were asked for; from the `stop`-th on, they fail."""

    def __init__(self, stop: int = 10**9, bad: tuple[int, ...] = ()):
        self.asked, self.stop, self.bad = [], stop, bad

    def __call__(self, source, faults):
        for i, name in enumerate(source.names):
            number = int(name.split("_")[1].split(".")[0])
            if number >= self.stop:
                raise KeyboardInterrupt
            self.asked.append(number)
            if number in self.bad:
                faults.add(name, "no image: none at all")
                continue
            one = np.full((1, 5, 2), float(number))
            flags = np.ones((1, 5), bool)
            single, frame = one[..., 0], np.zeros((1, 2, 3))
            yield Predicted(np.array([i], np.int32), one, single, one, flags, frame, single, np.ones(1))


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr(resume, "BLOCK", 4)
    return DrawnSource("drawn:10:5")


def made(tmp_path, source, predictions, about=ABOUT):
    return resume.predicted(tmp_path / "out.csv", about, source, predictions, lambda done: None)


def test_an_interrupted_list_resumes_after_the_last_whole_block(tmp_path, source):
    first, second = Counting(stop=6, bad=(1,)), Counting(bad=(9,))
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, source, first)
    kept = made(tmp_path, source, second)
    assert first.asked == [0, 1, 2, 3, 4, 5] and second.asked == [4, 5, 6, 7, 8, 9]
    assert kept.index().tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    assert kept.faults == [f"train_00000{n}.png: no image: none at all" for n in (1, 9)]
    for _ in range(2):  # as often as wanted
        assert np.concatenate([p.points[:, 0, 0] for p in kept]).tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    resume.done_with(tmp_path / "out.csv")
    assert not list(tmp_path.iterdir())


def test_blocks_of_anything_else_are_thrown_away(tmp_path, source):
    made(tmp_path, source, Counting())
    again, other = Counting(), Counting()
    made(tmp_path, source, again)
    made(tmp_path, source, other, {"what": 2})
    assert again.asked == [] and other.asked == list(range(10))


def test_where_nothing_can_be_decoded_that_is_said_and_nothing_is_left(tmp_path, source):
    with pytest.raises(ValueError, match=r"none could be decoded \(train_000000.png: no image: none at all\)"):
        made(tmp_path, source, Counting(bad=tuple(range(10))))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return begun(tmp_path_factory.mktemp("runs") / "one", data="drawn:100:5", batch=8, val_fraction=0.5)


@pytest.mark.slow
def test_predict_interrupted_and_again_writes_the_same_bytes(tmp_path, run, command, monkeypatch):
    monkeypatch.setattr(resume, "BLOCK", 8)
    outs = {n: ("--out", tmp_path / n / "s.csv", "--spread", tmp_path / n / "e.csv") for n in ("whole", "cut")}
    flags = ("--run", run, "--tta", "flip", "--at-once", "16", "--photographs")
    assert command("predict", *flags, tmp_path / "whole/p.csv", *outs["whole"])[0] == 0
    ours, calls = predictor.Predictor.predictions, []

    def failing(self, source, faults=None):
        calls.append(source.names[0])
        if len(calls) == 2:
            raise OSError(5, "Input/output error", "disk")
        return ours(self, source, faults)

    monkeypatch.setattr(predictor.Predictor, "predictions", failing)
    code, said = command("predict", *flags, tmp_path / "cut/p.csv", *outs["cut"])
    assert code == 2 and "error: disk: Input/output error" in said.err
    assert [p.name for p in (tmp_path / "cut").iterdir()] == ["s.csv.partial"]
    assert command("predict", *flags, tmp_path / "cut/p.csv", *outs["cut"])[0] == 0
    assert calls == ["test_000000.png", "test_000008.png", "test_000008.png"]
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert names == ["e.csv", "p.csv", "s.csv"] == sorted(p.name for p in (tmp_path / "cut").iterdir())
    assert all((tmp_path / "whole" / n).read_bytes() == (tmp_path / "cut" / n).read_bytes() for n in names)


@pytest.mark.slow
def test_what_stands_beside_the_points(tmp_path, run, command):
    views = tmp_path / "views.json"
    views.write_text(json.dumps(["none", {"geometry": {"mirror": 1}}]))
    code, said = command(
        "predict", "--run", run, "--tta", views, "--out", tmp_path / "a.csv", "--all-points",
        "--spread", tmp_path / "e.csv", "--photographs", tmp_path / "p.csv",
    )  # fmt: skip
    assert code == 0 and "2 views, weighed by a fit to" in said.out and "the least certain: test_0000" in said.out
    head, *rows = [line.split(",") for line in (tmp_path / "e.csv").read_text().splitlines()]
    assert head == ["file_name", *(f"error_{i}" for i in range(5))] and len(rows) == 16
    assert all(float(v) > 0 for row in rows for v in row[1:])
    table = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()]
    assert table[0] == ["file_name", "expected_error", "expected_nme", "confidence", "unseen_points"]
    for row, errors in zip(table[1:], rows, strict=True):
        assert row[0] == errors[0] and float(row[1]) == pytest.approx(np.mean([float(v) for v in errors[1:]]), rel=1e-3)
        assert 0 <= float(row[3]) <= 1 and row[4] == "0"


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_done(tmp_path, run, command):
    code, said = command("predict", "--run", run, "--tta", "none", "--out", tmp_path / "s.csv", "--dry-run")
    assert code == 0 and "16 images under 1 view;" in said.out and not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_rejected_before_an_image_is_looked_at(tmp_path, run, rejected):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    flags = ("--run", run, "--tta", "none", "--out")
    for more, told in (
        ((tmp_path / "there",), "there: is a folder"),
        ((tmp_path / "file", "--format", "pts"), "file: is a file"),
        ((tmp_path / "s.csv", "--spread", tmp_path / "there"), "there: is a folder"),
        ((tmp_path / "s.csv", "--overlays", tmp_path / "file"), "file: is a file"),
        ((tmp_path / "s.csv", "--spread", tmp_path / "s.csv"), "--out and --spread are both "),
        ((tmp_path / "file" / "s.csv",), "file is a file"),
        (
            (tmp_path / "new" / "s.csv", "--spread", "/proc/e.csv"),
            "--spread /proc/e.csv: nothing can be written in /proc",
        ),
    ):
        assert told in rejected("predict", *flags, *more)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "there"] and not list((tmp_path / "there").iterdir())


def test_what_is_done_already_is_known(tmp_path, source):
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, source, Counting(stop=6))
    assert resume.known(tmp_path / "out.csv", {"what": 1}, source) == 4
    assert resume.known(tmp_path / "out.csv", {"what": 2}, source) == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--tta", "gone.json"), "--tta gone.json: "),
        (("--view-weights", "gone.json"), "--view-weights gone.json: "),
        (("--view-weights", "1,x"), "--view-weights 1,x: expected auto, equal, fitted"),
        (("--weights", "nan,1"), "--view-weights nan,1: nan is no weight"),
        (("--weights", "1,-1"), "--view-weights 1,-1: -1 is no weight"),
        (("--limit", "0"), "--limit must be above 0"),
        (("--at-once", "0"), "--at-once must be 1 or more"),
    ],
)
def test_flags_that_cannot_be_are_one_line(tmp_path, monkeypatch, run, rejected, flags, told):
    monkeypatch.chdir(tmp_path)
    assert told in rejected("predict", "--run", run, "--out", "s.csv", *flags)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_expected_errors_need_a_validation_part(tmp_path, rejected, monkeypatch):
    monkeypatch.setattr(
        predictor, "from_flags", lambda *_, **__: pytest.fail("networks were opened before it was said")
    )
    bare = begun(tmp_path / "bare", data="drawn:24:5", batch=8, val_fraction=0.05)
    told = rejected("predict", "--run", bare, "--out", tmp_path / "s.csv", "--spread", tmp_path / "e.csv")
    assert "missing: " in told and "--val-fraction" in told and "Leave them out" in told
    assert not (tmp_path / "s.csv").exists()


def test_after_damage_to_what_blocks_are_of_they_are_made_again(tmp_path, source, caplog):
    made(tmp_path, source, Counting())
    about = resume.folder(tmp_path / "out.csv") / "about.json"
    about.write_text(about.read_text().replace('"what": 1', '"what": 7'))
    made(tmp_path, source, again := Counting())
    assert again.asked == list(range(10)) and "about.json: " in caplog.text


@pytest.mark.parametrize("name", ["000001.npz", "000001.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_block_is_made_again_and_told(tmp_path, source, caplog, name, damage):
    before = [p.points for p in made(tmp_path, source, Counting())]
    path = resume.folder(tmp_path / "out.csv") / name
    data = path.read_bytes()
    flipped = data[:99] + bytes([data[99] ^ 1]) + data[100:]
    path.write_bytes({"flip": flipped, "cut": data[: len(data) // 2], "empty": b"", "gone": b""}[damage])
    if damage == "gone":
        path.unlink()
    again = Counting()
    after = [p.points for p in made(tmp_path, source, again)]
    assert again.asked == [4, 5, 6, 7] and all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert ("1 block was damaged" in caplog.text) == (
        name.endswith("npz") and damage != "gone" or name.endswith("json")
    )


def test_blocks_of_an_image_that_was_replaced_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "BLOCK", 2)
    images, times = tmp_path / "images", (1, 1)
    images.mkdir()
    for n in range(5):
        (images / f"_{n}.png").write_bytes(b"12345678")
        os.utime(images / f"_{n}.png", times)
    source = opening.open_images(str(images), 5)
    made(tmp_path, source, Counting())
    (images / "_3.png").write_bytes(b"87654321")
    os.utime(images / "_3.png", times)  # as long, and as old: the content alone tells
    assert resume.known(tmp_path / "out.csv", ABOUT, source) == 3
    made(tmp_path, source, again := Counting())
    assert again.asked == [2, 3]
