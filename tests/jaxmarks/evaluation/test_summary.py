"""Reports: regions, slices, comparisons of two predictions, and their words."""

import numpy as np
import pytest

from jaxmarks import landmarks
from jaxmarks.config import Config
from jaxmarks.evaluation import summary
from jaxmarks.inference import Predicted
from pipelines.reports import evaluation

IBUG = landmarks.scheme(68)
DIAGONAL = np.full(12, 150.0)


def judged(random, faces=12):
    truth = 100 * random.rand(faces, 68, 2)
    return truth + random.randn(faces, 68, 2), truth, random.rand(faces, 68) < 0.8


def test_regions_weighted_by_their_points_make_the_whole(random):
    prediction, truth, mask = judged(random)
    mask[3, 48:] = False
    mask[4] = False
    whole = summary.per_image(prediction, truth, mask, IBUG, DIAGONAL)["nme"]
    parts = summary.by_region(prediction, truth, mask, IBUG, DIAGONAL)
    assert list(parts) == ["oval", "brows", "nose", "eyes", "mouth"]
    assert np.isnan(parts["mouth"][[3, 4]]).all() and np.isnan(whole[4])
    counts = {name: mask[:, points].sum(1) for name, points in IBUG.regions.items()}
    total = sum(np.nan_to_num(parts[name]) * counts[name] for name in parts)
    np.testing.assert_allclose(np.delete(total / mask.sum(1).clip(1), 4), np.delete(whole, 4))


def test_a_scheme_of_one_region_has_no_table_of_regions(random):
    prediction, truth, mask = judged(random)
    assert summary.by_region(prediction[:, :7], truth[:, :7], mask[:, :7], landmarks.scheme(7), DIAGONAL) == {}


def test_the_diagonal_is_the_shortest_measure_of_the_same_error(random):
    rows = summary.per_image(*judged(random), IBUG, DIAGONAL)
    assert list(rows) == ["nme", "nme_box", "nme_diagonal"]
    ratio = rows["nme_box"] / rows["nme_diagonal"]
    assert (ratio > np.sqrt(2) - 1e-12).all() and (ratio < 1.5).all()  # of a square box: the root of 2


def test_a_report_holds_means_and_intervals_by_group():
    nme = np.array([0.02, 0.04, 0.12, 0.14, np.nan])
    found = summary.report({"nme": nme, "empty": np.full(5, np.nan)}, 0.1, np.array(list("aabba")))
    assert found["count"] == 4 and found["nme"] == pytest.approx(0.08) and found["failure_rate"] == 0.5
    assert found["auc"] == pytest.approx((0.8 + 0.6) / 4) and "empty" not in found
    assert found["intervals"]["nme"] == pytest.approx([0.03, 0.13])  # all of one group, all of the other
    alone = summary.report({"nme": nme}, 0.1, np.zeros(5))
    assert alone["nme"] == found["nme"] and alone["intervals"]["nme"] is None
    with pytest.raises(ValueError, match="labelled points"):
        summary.report({"nme": nme[4:]}, 0.1)


def test_each_set_has_the_mean_of_its_labelled_images(random):
    prediction, truth, mask = judged(random)
    mask[[2, 5]] = False
    some = np.zeros((12, 68))
    found = Predicted(np.arange(12), prediction, some, truth, mask, np.zeros((12, 2, 3)), some, DIAGONAL)
    nme = summary.per_image(prediction, truth, mask, IBUG, DIAGONAL)["nme"]
    labels = [*["a"] * 5, "b", *["a"] * 2, *["c"] * 4]  # nothing of b is labelled
    means = summary.by_set(found, labels, IBUG)
    assert means == pytest.approx({"nme_a": np.nanmean(nme[[0, 1, 3, 4, 6, 7]]), "nme_c": nme[8:].mean()})


def test_slices_have_the_mean_of_their_own(random):
    nme, size = random.rand(30), random.rand(30)
    nme[7] = np.nan
    rows = {"nme": nme, "nme_box": 2 * nme}
    found = summary.by_slice(rows, {"size": size, "pose": np.full(30, np.nan)}, np.arange(30))
    assert list(found) == ["size"] and [line["name"] for line in found["size"]] == ["small", "medium", "large"]
    assert sum(line["count"] for line in found["size"]) == 29
    for line in found["size"]:
        inside = (size >= line["low"]) & (size <= line["high"]) & np.isfinite(nme)
        assert line["count"] == inside.sum() and line["mean"] == pytest.approx(nme[inside].mean())
        assert line["mean_box"] == pytest.approx(2 * line["mean"])
        assert line["interval"][0] < line["mean"] < line["interval"][1]


def test_a_difference_is_reported_where_pairing_shows_it_and_intervals_alone_do_not(random):
    hard = random.exponential(size=100)
    theirs, ours = 0.05 + 0.05 * hard, 0.95 * (0.05 + 0.05 * hard) + 0.001 * random.randn(100)
    theirs[3] = ours[4] = np.nan
    groups = np.arange(100) // 2
    found = summary.compared({"nme": ours, "mine": ours}, {"nme": theirs, "other": theirs}, groups)
    assert list(found) == ["nme"]
    line, both = found["nme"], np.isfinite(ours) & np.isfinite(theirs)
    assert line["count"] == 98
    assert line["difference"] == pytest.approx(np.mean(ours[both] - theirs[both]))
    assert line["percent"] == pytest.approx(100 * (ours[both].mean() / theirs[both].mean() - 1))
    assert -6 < line["percent_interval"][0] < line["percent"] < line["percent_interval"][1] < -4
    assert line["interval"][1] < 0
    low, high = (summary.table({"nme": row}, groups)["nme"]["interval"] for row in (ours, theirs))
    assert low[1] > high[0]


def test_paired_intervals_are_those_of_the_differences(random):
    ours, theirs = random.rand(40), random.rand(40)
    found = summary.compared({"nme": ours}, {"nme": theirs}, np.arange(40))["nme"]
    direct = summary.table({"d": ours - theirs}, np.arange(40))["d"]
    assert found["interval"] == pytest.approx(direct["interval"])


@pytest.mark.parametrize(
    ("percent", "interval", "told"),
    [
        (-5.24, [-7.4, -3.1], "lower by 5.2 % [3.1, 7.4]"),
        (2.0, [0.5, 3.0], "higher by 2.0 % [0.5, 3.0]"),
        (-1.0, [-4.0, 2.0], "lower by 1.0 % [-2.0, 4.0], which may be chance"),
        (1.0, [-2.0, 4.0], "higher by 1.0 % [-2.0, 4.0], which may be chance"),
        (-3.0, None, "lower by 3.0 %, with no interval: there is one group only"),
        (None, None, "compared with 0"),
    ],
)
def test_differences_in_words(percent, interval, told):
    assert summary.said(percent, interval) == told


def test_a_rival_without_error_has_no_percent():
    found = summary.compared({"nme": np.array([1.0, 2.0])}, {"nme": np.zeros(2)}, np.arange(2))["nme"]
    assert found["difference"] == 1.5 and found["percent"] is found["percent_interval"] is None


def test_rows_are_put_beside_each_other_by_image():
    found = summary.aligned({"nme": np.array([0.1, 0.2, 0.3])}, np.array([5, 2, 9]), np.array([2, 4, 5]))
    np.testing.assert_array_equal(found["nme"], [0.2, np.nan, 0.1])


def test_faces_of_a_norm_of_zero_are_evaluated_and_counted(random):
    """Coinciding eye corners, one point, nothing: of a scheme of 68 and of one point alone."""
    prediction, truth, mask = judged(random, faces=4)
    mask[:], truth[0, 45] = True, truth[0, 36]
    mask[1, 1:], mask[2] = False, False
    flat = np.zeros((4, 68))
    frame = np.tile(np.array([[0.5, 0, 0], [0, 0.5, 0]]), (4, 1, 1))
    found = Predicted(np.arange(4), prediction, flat, truth, mask, frame, flat, np.full(4, 150.0))
    assert summary.fallbacks(found, IBUG) == {"box": 1, "diagonal": 1}
    means = summary.means(found, Config(loss_unit="face"), IBUG)
    assert all(np.isfinite(list(means.values()))) and means["norm_fallbacks"] == 2 and means["nme"] < 0.1
    report = {
        **summary.report({"nme": np.ones(4)}, 0.1),
        "groups": {"count": 4, "by": ""},
        "regions": {},
        "slices": {},
    }
    lines = evaluation.lines({**report, "norm_fallbacks": {"box": 3, "diagonal": 0}})
    assert sum("divided by the box" in line and "3 of 4" in line for line in lines) == 1
    assert not any("diagonal of the image" in line for line in lines)
    single = landmarks.scheme(1)
    alone = found._replace(points=prediction[:, :1], truth=truth[:, :1], mask=np.ones((4, 1), bool))
    assert summary.fallbacks(alone, single) == {"box": 0, "diagonal": 4}
    assert summary.means(alone, Config(loss_unit="face"), single)["nme"] == pytest.approx(
        np.linalg.norm(prediction[:, 0] - truth[:, 0], axis=-1).mean() / 150
    )
    whole = found._replace(truth=truth[3:], points=prediction[3:], mask=mask[3:], frame=frame[3:], diagonal=np.ones(1))
    assert "norm_fallbacks" not in summary.means(whole, Config(), IBUG)
