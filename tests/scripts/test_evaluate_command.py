"""evaluate.py as a person uses it: groups, comparisons, plots and sheets; and what it rejects."""

import dataclasses
import json
import runpy
import shutil

import numpy as np
import pytest

from jaxmarks import inference, landmarks
from jaxmarks.inference import Predicted
from jaxmarks.training import checkpoint
from pipelines import example, loader, predictor
from pipelines.evaluation import scoring
from pipelines.example import Source
from pipelines.images import decode
from pipelines.io import files
from pipelines.reports import evaluation, plots
from pipelines.reports.worst import Worst
from pipelines.runs import run_data, run_folder
from tests.commands import ROOT


def report_of(path):
    return json.loads(path.read_text())


@pytest.mark.slow
def test_two_sets_of_views_are_compared_plotted_and_the_worst_drawn(trained, tmp_path, command):
    _, run, _ = trained
    out, folder = tmp_path / "out.json", tmp_path / "plots"
    flags = ("--run", run, "--tta", "flip", "--against-tta", "none", "--groups", r"test0(\d)")
    code, said = command("evaluate", *flags, "--out", out, "--plots", folder, "--sheet", tmp_path / "worst.png")
    found = report_of(out)
    assert code == 0 and found["groups"] == {"count": 6, "by": r"test0(\d)"}
    assert set(found["regions"]) == {"eyes", "nose", "mouth"} and set(found["slices"]) == {"size", "pose", "brightness"}
    against, numbers = found["comparison"]["against"], found["comparison"]["numbers"]
    how = {"merge": "mean", "weights": "auto", "refine": False}
    assert against == {"run": str(run), "step": 6, "tta": "none", **how} and numbers["nme"]["ours"] == found["nme"]
    assert {"nme", "nme_box", "nme_diagonal", "contest_score"} == set(numbers)
    assert f"against {run}, step 6, views none: NME {found['comparison']['said']}" in said.out
    plain = tmp_path / "plain.json"
    assert command("evaluate", "--run", run, "--out", plain)[0] == 0
    assert numbers["nme"]["theirs"] == pytest.approx(report_of(plain)["nme"])
    assert sorted(p.name for p in folder.iterdir()) == ["cumulative.png", "regions.png", "slices.png"]
    assert decode.decode((tmp_path / "worst.png").read_bytes()).std() > 10
    header, *rows = [line.split(",") for line in out.with_suffix(".csv").read_text().splitlines()]
    assert {"region_eyes", "size", "pose", "brightness", "nme_against"} <= set(header) and len(rows) == 6


@pytest.mark.slow
def test_mixed_runs_are_named_with_the_step_of_each(trained, tmp_path, command):
    data, run, _ = trained
    shutil.copytree(run, other := tmp_path / "other")
    middle = checkpoint.commits(other)[1]
    for commit in checkpoint.commits(other)[2:]:
        shutil.rmtree(other / "checkpoints" / f"{commit.step:08d}")
    flags = ("--run", run, "--run", other, "--checkpoint", "newest", "--out", tmp_path / "out.json")
    code, said = command("evaluate", *flags)
    assert code == 0 and f"{run}, {other}, step 6, {middle.step}, views none" in said.out, said.err
    assert report_of(tmp_path / "out.json")["step"] == [6, middle.step]


def test_images_of_data_without_a_test_part_are_all_predicted_and_it_says_so(trained, tmp_path, command, caplog):
    data, run, _ = trained
    shutil.copytree(data / "train", tmp_path / "new" / "train")
    code, said = command(
        "predict", "--run", run, "--data", tmp_path / "new", "--tta", "none", "--out", tmp_path / "p.csv"
    )
    assert code == 0 and "new has no test split" in caplog.text, said.err
    assert "22 images" in said.out


@pytest.mark.slow
def test_a_run_is_compared_with_another_and_not_with_itself(trained, tmp_path, command, rejected):
    _, run, _ = trained
    shutil.copytree(run, other := tmp_path / "other")
    out = tmp_path / "out.json"
    assert command("evaluate", "--run", run, "--against", other, "--out", out)[0] == 0
    found = report_of(out)["comparison"]
    assert found["against"]["run"] == str(other) and found["numbers"]["nme"]["difference"] == 0
    for flags in (("--against", run), ("--against-tta", "none"), ("--against", f"{run}/../one")):
        assert "would be compared with itself" in rejected("evaluate", "--run", run, *flags, "--out", out)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--groups", "["), "--groups '[' is not a regular expression"),
        (("--groups", "person(.)"), "--groups 'person(.)' finds nothing in the file name 'test"),
        (("--against", "/no/run"), "config.json: missing"),
        (("--against-tta", "every"), "the set of views 'every' is not known"),
    ],
)
def test_what_cannot_be_is_rejected_and_nothing_is_written(trained, tmp_path, rejected, flags, told):
    assert told in rejected("evaluate", "--run", trained[1], *flags, "--out", tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def test_a_rival_that_was_trained_on_the_images_is_rejected(trained):
    run = run_folder.load(trained[1])
    rival = run._replace(parts={"train": run.parts["val"], "val": []})
    source = run_data.split_of(run, run_data.of_run(run), "val")
    scoring.check_other(run, run, source, "val")
    with pytest.raises(ValueError, match=rf"was trained on {len(source)} of these images, train"):
        scoring.check_other(run, rival, source, "val")
    other = rival._replace(data_identity="of other data")
    scoring.check_other(run, other, source, "test")  # names alone say nothing of other data
    with pytest.raises(ValueError, match=f"was trained on {len(source)} of these images"):
        scoring.check_other(run, other, source, "val")  # the same images under decisions are other data by identity
    with pytest.raises(ValueError, match="boxes"):
        scoring.check_other(run, run._replace(boxed=True), source, "val")


@pytest.mark.parametrize("own", [["^(.*)_"], ["", "^(.*)_"], ["^(.*)_", ""], ["^x", "^(.*)_"], ["(.*)", "^(.*)_"]])
def test_groups_are_those_of_the_run_that_fits_whatever_the_order_or_those_asked_for_and_else_each_image(own):
    names = ["a_1.jpg", "a_2.jpg", "b_1.jpg"]
    groups, by = scoring.groups(names, None, own)
    assert groups.tolist() == ["a", "a", "b"] and by == "^(.*)_"
    assert scoring.groups(names, None, ["^x"])[0].tolist() == names and scoring.groups(names, None, ["^x"])[1] == ""
    assert scoring.groups(names, r"(\d)", own)[0].tolist() == ["1", "2", "1"]
    assert scoring.groups(names, "", own)[0].tolist() == names


@pytest.mark.parametrize(("mean_face", "said"), [(0.3, True), (0.31, False)])
def test_a_network_no_better_than_the_mean_face_is_told_so_in_a_sentence(mean_face, said):
    rows = {"nme": np.array([0.2, 0.4]), "mean_face_nme": np.full(2, mean_face)}
    report = scoring.report(scoring.Scores(rows, {}), {}, 0.1, np.array(["a", "b"]), "")
    assert any("no better" in line for line in evaluation.lines(report)) == said


def test_one_group_is_reported_and_has_no_interval(trained, tmp_path, command):
    out = tmp_path / "out.json"
    code, said = command("evaluate", "--run", trained[1], "--groups", "test", "--out", out)
    assert code == 0 and "there is one group only, and so no interval" in said.out
    assert set(report_of(out)["intervals"].values()) == {None}


class Painted(Source):
    """Images that are dark but for a box."""

    names, num_points, labelled, boxed = ["a.png", "b.png"], 5, True, False

    def __len__(self):
        return 2

    def __getitem__(self, index):
        image = np.full((64, 48, 3), 10, np.uint8)
        image[20:31, 15:26] = 200 + index
        return example.Example(image, POINTS, np.ones(5, bool))


POINTS = np.array([[15.0, 20], [25, 20], [20, 25], [15, 30], [25, 30]])


def predicted(truth, mask):
    n, unknown = len(truth), np.full(truth.shape[:2], np.nan)
    frame = np.tile(np.array([[1.0, 0, 0], [0, 1, 0]]), (n, 1, 1))
    return Predicted(np.arange(n), truth + 1, np.zeros(truth.shape[:2]), truth, mask, frame, unknown, np.full(n, 80.0))


def test_brightness_is_that_of_the_faces_box(trained):
    config = run_folder.load(trained[1]).config
    whole = dataclasses.replace(config, size=48, canvas=1.5, batch=4)  # the canvas has the image's pixels
    ((batch, count),) = loader.ordered(Painted(), whole)
    np.testing.assert_allclose(scoring.brightness(batch, count), [200, 201])
    batch.mask[1] = False
    assert np.isnan(scoring.brightness(batch, count)).tolist() == [False, True]
    assert np.isnan(scoring.brightness(batch._replace(points=batch.points + 500), count)).all()


class Counted(Source):
    """Painted images that count how often each is read."""

    names, num_points, labelled = [f"{n}.png" for n in range(9)], 5, True

    def __init__(self):
        self.read = [0] * 9

    def __len__(self):
        return 9

    def __getitem__(self, index):
        self.read[index] += 1
        return Painted()[index % 2]


def test_every_image_is_read_once_whatever_is_compared(trained):
    asked = {"weights": "equal"}
    ours, theirs = (predictor.load(trained[1], tta=views, **asked) for views in ("standard", "none"))
    alone = [inference.gather(net.predictions(Counted())) for net in (ours, theirs)]
    source, sheet = Counted(), Worst(ours.scheme, 3)
    found, bright = scoring.predicted([ours, theirs], source, loader.Faults(), sheet.add)
    assert source.read == [1] * 9 and bright.shape == (9,)
    nme = scoring.scores(source, found[0], ours.scheme).rows["nme"]
    assert [kept.index for kept in sheet._kept] == np.argsort(-nme, kind="stable")[:3].tolist()
    shown = sheet.sheet(source.names)
    assert shown is not None and shown.std() > 10 and Worst(ours.scheme, 3).sheet(source.names) is None
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one.index, other.index)
        np.testing.assert_allclose(one.points, other.points, atol=1e-3)
        np.testing.assert_allclose(one.spread, other.spread, atol=1e-3)
    with pytest.raises(ValueError, match="none could be decoded"):
        scoring.predicted([ours], example.Subset(Counted(), []), loader.Faults(), sheet.add)


@pytest.mark.slow
def test_expected_errors_have_a_section_lines_and_a_plot(random, tmp_path):
    truth, mask = 100 * random.rand(20, 5, 2), np.ones((20, 5), bool)
    found = predicted(truth, mask)
    assert scoring.expected(found, landmarks.scheme(5), np.arange(20), {}) == {}
    error = np.linalg.norm(found.points - truth, axis=-1)
    known = found._replace(expected=error * random.rand(20, 5))
    section = scoring.expected(known, landmarks.scheme(5), np.arange(20), {0.9: error})["expected"]
    assert section["points"] == 100 and section["coverage_0.9"] == 1
    scores = scoring.scores(Painted(), found, landmarks.scheme(5))
    report = scoring.report(scores, {}, 0.1, np.arange(20), "") | {"expected": section}
    told = "\n".join(evaluation.lines(report))
    assert "Spearman, all points" in told and "coverage 0.9" in told and "None" not in told
    curves = {"runs/$a_, step 3": scores.rows["nme"]}
    written = evaluation.draw(tmp_path, report, curves, None)
    assert written == ["cumulative.png", "regions.png", "expected.png"]
    assert all(decode.decode((tmp_path / name).read_bytes()).shape == (810, 1350, 3) for name in written)


def test_the_cumulative_curve_reaches_the_limit_and_as_far_as_most_images(tmp_path, random):
    drawn = []
    for name, errors in (
        ("low", 0.02 * random.rand(50)),
        ("high", 0.3 * random.rand(50)),
        ("all fail", np.full(9, 9.0)),
    ):
        plots.cumulative(tmp_path / f"{name}.png", name, {name: errors}, 0.1)
        drawn.append((tmp_path / f"{name}.png").read_bytes())
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ("share", "told"), [(0.0, "it was trained with `val_fraction` 0"), (0.05, "none could be held out")]
)
def test_a_run_that_held_nothing_out_has_no_validation_part_and_says_why(trained, share, told):
    run = run_folder.load(trained[1])
    bare = run._replace(parts={**run.parts, "val": []}, config=dataclasses.replace(run.config, val_fraction=share))
    with pytest.raises(ValueError, match=f"has no val images: {told}"):
        scoring.images(bare, "val", None)


def test_scores_of_another_split_that_are_written_over_are_told(tmp_path):
    replaced = runpy.run_path(str(ROOT / "scripts" / "evaluate.py"), run_name="tried")["replaced"]
    out = tmp_path / "scores.json"
    assert replaced(out, "val") == ""
    for data, told in (({"part": "test"}, True), ({"part": "val"}, False), ({}, False)):
        files.write_json(out, data)
        assert ("replaced" in replaced(out, "val") and "test" in replaced(out, "val")) == told
    out.write_text("[")
    assert replaced(out, "val") == ""
