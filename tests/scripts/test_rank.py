"""Wrong labels come first, each with the reason that it has; who predicts what; the commands from a run to its count."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxmarks import landmarks
from pipelines import synthetic
from pipelines.label_review import predictions, scores
from pipelines.label_review.predictions import Known

MIRROR = landmarks.scheme(68).mirror
COUNT = 200


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Right labels f64[200, 68, 2]; each fifth and the next are of one image."""
    found = np.stack([synthetic.label(i, num_points=68).truth for i in range(COUNT)])
    found[1::5] = found[::5]
    return found


GROUPS = [f"g{i // 5}" if i % 5 < 2 else "" for i in range(COUNT)]
NAMES = [f"{i}.jpg" for i in range(COUNT)]


def known(truth, labels, seed=0, **more) -> Known:
    """What a network would know that errs by about 2 % of the face, more where its views disagree more, and much the
    same in near-duplicates."""
    random = np.random.RandomState(seed)
    side = np.ptp(truth, 1).max(1)
    hard = np.exp(random.normal(0, 0.5, COUNT))
    noise = random.normal(size=truth.shape)
    hard[1::5], noise[1::5] = hard[::5], noise[::5] + 0.3 * noise[1::5]
    points = truth + (0.02 * side * hard)[:, None, None] * noise
    filled = {
        "index": np.arange(COUNT), "points": points.astype(np.float32), "spread": 0.008 * side * hard,
        "labels": labels.astype(np.float32), "mask": np.ones(truth.shape[:2], bool), "fresh": np.ones(COUNT, bool),
        "asked": np.arange(COUNT) % 2, "seen": np.full(COUNT, 6), "trimmed": np.zeros(COUNT, int),
        "diagonal": 3 * side, **more,
    }  # fmt: skip
    return Known(**filled)


def ranked(k: Known) -> tuple[np.ndarray, list[str]]:
    p = scores.parts(k, MIRROR, GROUPS)
    score = scores.score(p)
    assert np.isfinite(score).all() and (score >= 0).all()
    return np.argsort(-score, kind="stable"), scores.reasons(k, p, NAMES)


def test_what_is_wrong_comes_first_and_the_reason_says_how(truth):
    labels, side = truth.copy(), np.ptp(truth, 1).max(1)
    labels[12] = labels[12][MIRROR]
    labels[33] += [0.15 * side[33], 0]
    labels[74] += [-0.1 * side[74], 0.1 * side[74]]
    labels[96] += [0, -0.12 * side[96]]
    labels[57, :20] += 0.3 * side[57]
    order, reasons = ranked(known(truth, labels))
    assert set(order[:5]) == {12, 33, 74, 96, 57}
    assert "left and right exchanged: label lies" in reasons[12]
    assert "shifted by 15 % of the object to the right" in reasons[33]
    assert "shifted by 14 % of the object down and to the left" in reasons[74]
    assert "shifted by 11 % of the object up" in reasons[96] and "unlike the similar image 95.jpg" in reasons[96]
    assert "label lies" in reasons[57] or "outlier" in reasons[57]
    assert sum(r.startswith("as usual for such an image: label lies") for r in reasons) > 100


def test_of_near_duplicates_that_disagree_the_one_farther_from_its_prediction_is_to_blame(truth):
    labels = truth.copy()
    labels[50] += 0.07 * np.ptp(truth[50], 0).max()
    p = scores.parts(known(truth, labels), MIRROR, GROUPS)
    assert "unlike the similar image 51.jpg" in scores.reasons(known(truth, labels), p, NAMES)[50]
    assert p.twins[50] > 3 and p.twin[50] == 51 and p.twins[51] == 0 and p.twin[51] == -1
    alone = scores.parts(known(truth, labels), MIRROR, None)
    assert not alone.twins.any() and (alone.twin == -1).all()


def test_a_hard_image_is_allowed_more_than_one_whose_views_agree(truth):
    labels = truth.copy()
    for i in (20, 30):
        labels[i] += 0.08 * np.ptp(truth[i], 0).max()
    k = known(truth, labels)
    k.spread[20], k.spread[30] = np.quantile(k.spread, 0.95), np.quantile(k.spread, 0.05)
    p = scores.parts(k, MIRROR, None)
    assert p.error[30] > p.error[20] + 1


def test_trimming_counts_once_it_was_often(truth):
    k = known(truth, truth)
    k.trimmed[[3, 4]], k.seen[4] = [5, 1], 1
    p = scores.parts(k, MIRROR, GROUPS)
    assert p.trimmed[3] > 1.5 * p.trimmed[4] > 0 and p.trimmed[5] == 0
    assert "trimmed 5 of 6 times" in scores.reasons(k, p, NAMES)[3]


@pytest.mark.slow
def test_scores_do_not_depend_on_scale_and_unseen_points_have_no_say(truth):
    labels = truth.copy()
    labels[33] += 0.15 * np.ptp(truth[33], 0).max()
    k = known(truth, labels)
    p = scores.parts(k, MIRROR, GROUPS)
    twice = k._replace(points=2 * k.points, labels=2 * k.labels, spread=2 * k.spread)
    assert np.allclose(scores.parts(twice, MIRROR, GROUPS).error, p.error, atol=1e-3)
    mask = np.ones((COUNT, 68), bool)
    mask[:, 7] = False
    wild = k.labels.copy()
    wild[:, 7] = 1e6
    a, b = (scores.parts(k._replace(mask=mask, labels=labels), MIRROR, GROUPS) for labels in (k.labels, wild))
    assert all(np.allclose(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))
    assert a.far[33] == pytest.approx(
        np.delete(np.linalg.norm(k.labels[33] - k.points[33], axis=1), 7).mean() / np.ptp(k.points[33], axis=0).max(),
        1e-5,
    )


def test_an_image_that_training_saw_says_so(truth):
    fresh = np.arange(COUNT) % 4 > 0
    k = known(truth, truth, fresh=fresh)
    reasons = ranked(k)[1]
    assert [r.endswith("; predicted by a run that had trained on it") for r in reasons] == (~fresh).tolist()
    plain, decided = (SimpleNamespace(root=Path("runs/a"), review=digest) for digest in ("", "c0ffee"))
    assert predictions.remarks(k, plain)[0].startswith(
        "50 of 200 images were predicted by runs that had trained on them"
    )
    assert predictions.remarks(known(truth, truth), plain) == []
    (told,) = predictions.remarks(known(truth, truth), decided)
    assert told.startswith("these runs obeyed runs/a/decisions.csv: join its rows")
    (told,) = predictions.remarks(known(truth, truth), plain, 12)
    assert told.startswith(f"12 of {COUNT} ") and "box" in told


def test_images_are_predicted_by_those_that_had_not_trained_on_them_if_there_are_any():
    fresh, asked = predictions.assignments("abcd", [["a", "b"], ["b", "c"], ["b"]])
    assert fresh.tolist() == [True, False, True, True]
    assert asked.tolist() == [[False, True, True, True], [True, True, False, True], [True, True, True, True]]


def test_few_images_are_ranked_too(truth):
    for count in (1, 2, 5):
        k = Known(*(field[:count] for field in known(truth, truth)))
        p = scores.parts(k, None, [""] * count)
        assert np.isfinite(scores.score(p)).all() and len(scores.reasons(k, p, NAMES)) == count


def test_labels_of_a_single_point_are_ranked_in_shares_of_the_image(random):
    places, count = random.uniform(50, 250, (40, 1, 2)), 40
    labels = places + random.normal(0, 3, places.shape)
    labels[7] += 90
    one, of = np.ones(count), np.zeros(count, int)
    k = Known(np.arange(count), places, one, labels, np.ones((count, 1), bool), one > 0, of, of + 6, of, 400 * one)
    p = scores.parts(k, None, [""] * count)
    np.testing.assert_allclose(p.far, np.linalg.norm(labels - places, axis=-1)[:, 0] / 400)
    score, reasons = scores.score(p), scores.reasons(k, p, NAMES)
    assert np.isfinite(score).all() and np.argmax(score) == 7 and "diagonal" in reasons[7]


@pytest.mark.slow
def test_a_run_becomes_a_list_of_all_labels_and_a_page_of_the_first(trained, command, rejected, tmp_path):
    _, run, _ = trained
    code, said = command("rank", "--run", run, "--out", tmp_path / "review", "--show", 4)
    assert code == 0 and "of 22 images were predicted by runs that had trained on them" in said.out, said.err
    header, *rows = list(csv.reader((tmp_path / "review" / "review.csv").read_text().splitlines()))
    assert header == ["file_name", "score", "reason"] and len({row[0] for row in rows}) == len(rows) == 22
    ranked = [float(row[1]) for row in rows]
    assert ranked == sorted(ranked, reverse=True) and all(row[2] for row in rows)
    page = (tmp_path / "review" / "review.html").read_text()
    assert "The 4 likeliest label errors of 22 labels" in page and page.count("data:image/jpeg") == 4
    assert sorted(p.name for p in (tmp_path / "review").iterdir()) == ["review.csv", "review.html"]
    assert "the same run comes twice" in rejected("rank", "--run", run, "--run", run, "--out", tmp_path / "no")
    assert "--show must lie in 1..2000, got 0" in rejected("rank", "--run", run, "--out", tmp_path / "no", "--show", 0)
    assert "review.csv: is a file" in rejected("rank", "--run", run, "--out", tmp_path / "review" / "review.csv")
    assert "config.json" in rejected("rank", "--run", tmp_path, "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_the_count_of_what_was_found(command, rejected, tmp_path):
    (tmp_path / "wrong.csv").write_text("file_name,kind\nb,shifted\nd,another\ne,shifted\n")
    table = "file_name,score,reason\n" + "".join(f"{n},{9 - i},x\n" for i, n in enumerate("bacde"))
    (tmp_path / "review.csv").write_text(table)
    flags = ("--data", tmp_path, "--review", tmp_path / "review.csv")
    code, said = command("bench/review", *flags)
    assert code == 0 and "another       0 of    1 (0%); places 4" in said.out
    assert "shifted       1 of    2 (50%); places 1 5" in said.out and "33.3% of the first 3 of 5 listed" in said.out
    assert command("bench/review", *flags, "--least", 0.5)[0] == 1
    (tmp_path / "review.csv").write_text(table.replace("d,", "z,"))
    assert "does not list d (1 in all)" in rejected("bench/review", *flags)
    (tmp_path / "review.csv").write_text("a,b\n")
    assert "file_name,score,reason" in rejected("bench/review", *flags)
