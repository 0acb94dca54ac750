"""Decisions about labels: the file is read strictly, the data obeys it, and a run that obeyed one keeps it."""

import dataclasses
import shutil

import numpy as np
import pytest

from jaxmarks.config import Config
from pipelines import example
from pipelines import open as opening
from pipelines.packing import cache
from pipelines.runs import run_data, run_folder
from pipelines.sources import decisions
from tests.commands import training
from tests.pipelines.runs.test_run_folder import changed, rejection
from tests.pipelines.sources.formats.test_contest import contest_folder, picture

NAMES = [f"{i}.png" for i in range(10)]
HEAD = "file_name,decision,points\n"
SOME = HEAD + "3.png,exclude,\n7.png,prediction,1.5 -2 3 4e1\n1.png,keep,\n"


def read(tmp_path, text: str) -> decisions.Decisions:
    (tmp_path / "d.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return decisions.read(tmp_path / "d.csv", NAMES, 2)


def test_decisions_are_read_by_name(tmp_path):
    found = read(tmp_path, "\ufeff" + SOME.replace("\n", "\r\n"))
    assert found.excluded == {"3.png"} and list(found.replaced) == ["7.png"]
    assert found.replaced["7.png"].tolist() == [[1.5, -2], [3, 40]]
    assert read(tmp_path, HEAD) == (frozenset(), {})


def test_names_with_commas_quotes_and_line_ends_are_what_they_are(tmp_path):
    (tmp_path / "d.csv").write_text(HEAD + '"a,""b""\nc.png",exclude,\nd.png,keep,\n')
    assert decisions.read(tmp_path / "d.csv", ['a,"b"\nc.png', "d.png"], 2).excluded == {'a,"b"\nc.png'}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: expected the header file_name,decision,points"),
        ("file_name,decision\n3.png,keep\n", ":1: expected the header"),
        (HEAD + "3.png,exclude\n", ":2: 2 fields, expected file_name,decision,points"),
        (HEAD + "1.png,keep,\nx.png,exclude,\n", ":3: 'x.png' is not among the images of the data"),
        (HEAD + "1.png,keep,\n\n1.png,exclude,\n", ":4: '1.png' comes twice, first on line 2"),
        (HEAD + "1.png,drop,\n", ":2: the decision 'drop' is not known: keep, exclude, prediction"),
        (HEAD + "1.png,prediction,1 2 3\n", ":2: 3 coordinates, expected x and y of 2 points"),
        (HEAD + "1.png,prediction,\n", ":2: 0 coordinates"),
        (HEAD + "1.png,prediction,1 2 3 x\n", ":2: could not convert string to float: 'x'"),
        (HEAD + "1.png,prediction,1 2 3 nan\n", ":2: a coordinate is not finite"),
        (HEAD + "1.png,keep,1 2 3 4\n", ":2: points beside the decision keep"),
        (HEAD + '1.png,"keep,\n', ":2: unexpected end of data"),
        (HEAD.encode() + b"\xff.png,keep,\n", ": not UTF-8"),
        (HEAD + "".join(f"{n},exclude,\n" for n in NAMES), ": all 10 images are excluded"),
    ],
)
def test_a_file_that_cannot_be_obeyed_is_rejected_with_its_line(tmp_path, text, told):
    assert rejection(read, tmp_path, text).startswith(f"{tmp_path / 'd.csv'}{told}")


@pytest.fixture
def data(tmp_path):
    return contest_folder(tmp_path / "data", {n: (picture(20 * i), [[i, 1], [2, i]]) for i, n in enumerate(NAMES)})


def test_the_excluded_are_gone_and_predictions_stand_for_labels(tmp_path, data):
    plain = opening.open_source(str(data))
    found = decisions.Reviewed(plain, read(tmp_path, SOME))
    assert found.names == [n for n in NAMES if n != "3.png"] and len(found) == 9 and found.labelled
    for i, name in enumerate(found.names):
        old, new = plain[NAMES.index(name)], found[i]
        assert new.image == old.image and new.mask.all()
        assert new.points.tolist() == ([[1.5, -2], [3, 40]] if name == "7.png" else old.points.tolist())


def test_what_was_decided_is_reported(tmp_path, data):
    plain = opening.open_source(str(data))
    assert decisions.describe(plain) == []
    told = "decisions: images left out: 1, labels replaced by predictions: 1"
    assert decisions.describe(decisions.Reviewed(plain, read(tmp_path, SOME))) == [told]


def test_a_prediction_says_where_all_points_are(tmp_path, data):
    plain = opening.open_source(str(data))

    class Half(example.Subset):
        def __getitem__(self, index):
            return super().__getitem__(index)._replace(mask=np.array([True, False]))

    found = decisions.Reviewed(Half(plain, range(10)), read(tmp_path, SOME))
    assert [found[i].mask.tolist() for i in (5, 6)] == [[True, False], [True, True]]


def test_near_duplicates_stay_with_their_names(tmp_path, data):
    plain = cache.training_set(str(data), packed=False)
    plain.groups = [f"g{i // 2}" for i in range(10)]
    assert decisions.Reviewed(plain, read(tmp_path, SOME)).groups == [f"g{i // 2}" for i in range(10) if i != 3]


def test_other_decisions_are_other_data_and_the_same_are_the_same(tmp_path, data):
    plain = opening.open_source(str(data))
    texts = [
        HEAD,
        HEAD + "1.png,keep,\n",
        SOME,
        HEAD + "7.png,prediction,1.50 -2 3 40\n3.png,exclude,\n",
        HEAD + "3.png,exclude,\n",
        HEAD + "7.png,exclude,\n",
        HEAD + "3.png,exclude,\n7.png,prediction,1.5 -2 3 41\n",
        HEAD + "3.png,exclude,\n6.png,prediction,1.5 -2 3 40\n",
    ]
    found = [example.identity(decisions.Reviewed(plain, read(tmp_path, text))) for text in texts]
    assert found[0] == found[1] == example.identity(plain) and found[2] == found[3]
    assert len(set(found)) == 6


@pytest.fixture
def begun(tmp_path, data) -> tuple[run_folder.Run, Config]:
    (tmp_path / "d.csv").write_text(SOME)
    asked = Config(data=str(data), review=str(tmp_path / "d.csv"), size=32, batch=4, val_fraction=0.3, cache=False)
    return run_folder.create(tmp_path / "run", asked, run_data.of_config(asked)), asked


def test_a_run_keeps_its_decisions_whatever_becomes_of_the_file(tmp_path, begun):
    run, asked = begun
    assert "3.png" not in run.parts["train"] + run.parts["val"] and len(run.parts["train"] + run.parts["val"]) == 9
    (tmp_path / "d.csv").unlink()
    source = run_data.of_run(run)
    assert source[source.names.index("7.png")].points.tolist() == [[1.5, -2], [3, 40]]
    unnamed = dataclasses.replace(asked, review="")
    again, _ = run_folder.resume(run_folder.load(run.root), unnamed, run_data.of_config(unnamed, run.root))
    assert again.review and len(run_data.split_of(again, source, "val")) == len(run.parts["val"])


def test_other_decisions_are_rejected_when_a_run_resumes(tmp_path, begun):
    run, asked = begun
    shutil.copy(tmp_path / "d.csv", tmp_path / "copy.csv")
    copied = dataclasses.replace(asked, review=str(tmp_path / "copy.csv"))
    run_folder.resume(run, copied, run_data.of_config(copied, run.root))
    (tmp_path / "d.csv").write_text(HEAD + "3.png,exclude,\n")
    message = rejection(lambda: run_folder.resume(run, asked, run_data.of_config(asked, run.root)))
    assert f"`review` {tmp_path / 'd.csv'}: not the decisions that {run.root} began with" in message


def test_decisions_cannot_join_a_run_that_began_without(tmp_path, begun):
    _, asked = begun
    bare = dataclasses.replace(asked, review="")
    plain = run_folder.create(tmp_path / "plain", bare, run_data.of_config(bare))
    assert not plain.review and not (plain.root / "decisions.csv").exists()
    message = rejection(lambda: run_folder.resume(plain, asked, run_data.of_config(asked, plain.root)))
    assert "not the decisions that" in message
    (plain.root / "decisions.csv").write_text(SOME)  # nobody's: the run says that it has none
    assert len(run_data.of_run(plain)) == 10


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_changed_decisions_in_the_run_folder_are_rejected(begun, change):
    said = changed(begun[0].root / "decisions.csv", change, b"3.png", b"4.png")
    assert said in rejection(run_data.of_run, begun[0])


@pytest.mark.slow
@pytest.mark.bits
def test_a_run_under_decisions_is_trained_replayed_evaluated_and_resumes(trained, command, tmp_path, rejected):
    data, run, _ = trained
    names = [n for part in run_folder.load(run).parts.values() for n in part]
    val = run_folder.load(run).parts["val"]
    decided = tmp_path / "decisions.csv"
    decided.write_text(f"{HEAD}{names[0]},exclude,\n{val[0]},prediction,{'9.25 7 ' * 5}\n")
    flags = training(data, tmp_path / "runs")
    code, said = command("train", *flags, "--review", decided)
    told = "decisions: images left out: 1, labels replaced by predictions: 1"
    assert code == 0 and told in said.out, said.err
    reviewed = run_folder.load(tmp_path / "runs" / "one")
    assert names[0] not in reviewed.parts["train"] + reviewed.parts["val"]
    assert sorted([names[0], *reviewed.parts["train"], *reviewed.parts["val"]]) == sorted(names)
    other = tmp_path / "other.csv"
    other.write_text(f"{HEAD}{names[1]},exclude,\n")
    assert "not the decisions that" in rejected("train", *flags, "--review", other)
    decided.unlink()
    code, said = command("train", *flags, "--dry-run")
    assert code == 0 and told in said.out, said.err
    assert command("train", *flags)[0] == 0  # finished, and knows its decisions
    code, said = command("replay", "--run", reviewed.root, "--step", 4)
    assert code == 0 and ": equal" in said.out
    assert command("evaluate", "--run", reviewed.root, "--part", "val", "--out", tmp_path / "e.json")[0] == 0
    assert "none.csv" in rejected("train", *flags, "--review", tmp_path / "none.csv")
    assert "a fork keeps" in rejected("train", *flags, "--fork", "two", "--review", other)
    code, said = command("train", *flags, "--fork", "two", "--steps", 7, "--lr", 1e-4)
    assert code == 0 and (tmp_path / "runs/two/decisions.csv").is_file(), said.err
    assert len(run_data.of_run(run_folder.load(tmp_path / "runs/two"))) == len(names) - 1
