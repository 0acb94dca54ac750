"""Predictions as a user gets them: chunks, blends, weights, a closer look, what is fitted and kept, and what is rejected."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxmarks import affine, inference
from jaxmarks.evaluation import calibration
from pipelines import example, loader, predictor, synthetic
from pipelines import open as opening
from pipelines.images import placement
from pipelines.inference import fitted, fitting, predictions, refine
from pipelines.inference.settings import Settings
from pipelines.runs import halves, run_data
from pipelines.runs import restore as opened
from tests.commands import begun

SETTINGS = {"data": "drawn:96:5", "batch": 8, "val_fraction": 0.5}
VIEWS = json.dumps(["none", {"geometry": {"mirror": 1}}, [{"geometry": {"scale": 1.1}}, {"geometry": {"rotation": 8}}]])


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return begun(tmp_path_factory.mktemp("runs") / "one", **SETTINGS)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another network, at another size, of the same data and split."""
    root = begun(tmp_path_factory.mktemp("runs") / "other", **{**SETTINGS, "size": 40})
    return root


@pytest.fixture(scope="module")
def pictures():
    return [synthetic.draw(n, part="test", num_points=5).image for n in range(5)]


def equal(one, other, within=1e-3):
    return all(np.allclose(a, b, atol=within, equal_nan=True) for a, b in zip(one, other, strict=True))


def validated(root, source, images=True):
    """What validation gives while a run trains: by the state, in batches of the run's own."""
    run, plan, state, _ = opened.load(root)
    seen = inference.view_points([plan.member("none")(state)], loader.together(source, [run.config]))
    found = inference.gather(inference.merged(seen, np.ones(1)))
    return inference.to_images(found) if images else found


@pytest.mark.slow
def test_views_and_images_in_chunks_are_as_all_at_once(one, pictures):
    whole = predictor.load(one, tta=VIEWS).predict(pictures)
    assert whole.points.shape == (5, 5, 2) and whole.spread.shape == (5, 5) and np.isfinite(whole.spread).all()
    for at_once in (1, 8):
        net = predictor.load(one, tta=VIEWS, at_once=at_once)
        assert equal(net.predict(pictures), whole)
    with pytest.raises(ValueError, match="`at_once` must be 1 or more, got 0"):
        predictor.load(one, at_once=0)


@pytest.mark.slow
def test_views_and_weights_may_be_lists(one, pictures):
    views = ["none", {"geometry": {"mirror": 1}}]
    found = predictor.load(one, tta=views, weights=[3, 1]).predict(pictures)
    assert equal(found, predictor.load(one, tta=json.dumps(views), weights="[3.0, 1.0]").predict(iter(pictures)))


@pytest.mark.slow
def test_what_is_likely_to_be_meant_as_one_image_is_rejected(one, pictures):
    net = predictor.load(one, tta="none")
    with pytest.raises(ValueError, match=r"of a single image give \[image\]"):
        net.predict(pictures[0])
    for path in ("me.jpg", Path("me.jpg")):
        with pytest.raises(ValueError, match=r"'me.jpg' is no array; read the file first"):
            net.predict(path)


@pytest.mark.slow
def test_a_predictor_is_a_line_in_a_notebook(one):
    told = repr(predictor.load(one, tta="none"))
    assert f"{one} at step 0: 5 points, 1 view" in told and len(told) < 200 + len(str(one)) and "\n" not in told


@pytest.mark.slow
def test_the_plain_view_is_what_validation_sees(one):
    net = predictor.load(one, tta="none")
    source = opening.open_source("drawn:40:5", "test")
    plain, found = validated(one, source), inference.gather(net.predictions(source))
    assert np.array_equal(found.index, plain.index) and np.allclose(found.points, plain.points, atol=1e-3)
    assert np.allclose(found.truth, plain.truth) and np.isfinite(found.expected).all()


@pytest.mark.slow
def test_networks_of_other_sizes_are_mixed_in_the_image(one, other, pictures):
    """By hand: each alone, its points in pixels of the images, then the mean by weight."""
    flat = {"tta": "none", "weights": "equal"}
    first, second = (predictor.load(root, **flat).predict(pictures).points for root in (one, other))
    mixed = predictor.load(one, other, tta="none", weights="[3, 1]").predict(pictures).points
    assert np.abs(mixed - (0.75 * first + 0.25 * second)).max() < 5e-3
    assert (
        np.abs(predictor.load(one, other, tta="none", weights="[1, 0]").predict(pictures).points - first).max() < 5e-3
    )
    assert np.abs(first - second).max() > 0.1


@pytest.mark.slow
def test_weights_are_fitted_on_what_no_network_saw_and_kept(one, other):
    net = predictor.load(one, other, tta="flip")
    assert net.fit.images >= 20 and net.fit.weights.shape == (4,) and abs(net.fit.weights.sum() - 1) < 1e-9
    assert any("kept for the next time" in r for r in net.remarks)
    assert sum("step 0, before any training" in remark for remark in net.remarks) == 2
    again = predictor.load(one, other, tta="flip")
    assert not any("kept for the next time" in remark for remark in again.remarks)
    assert np.array_equal(again.fit.weights, net.fit.weights)
    assert again.fit.calibration is not None and net.fit.calibration is not None
    assert np.array_equal(again.fit.calibration.usual, net.fit.calibration.usual)
    held = halves.held(net.run, run_data.of_run(net.run))
    assert not set(held.chooses.names) & set(held.calibrates.names)
    assert len(net.fit.calibration.images) == len(held.calibrates) and net.fit.images == len(held.chooses)


@pytest.mark.slow
def test_halves_that_are_too_small_are_fitted_crosswise(tmp_path, monkeypatch):
    root = begun(tmp_path / "run", data="drawn:60:5", batch=8, val_fraction=0.5)
    asked, plain = [], fitting._weights
    monkeypatch.setattr(
        fitting, "_weights", lambda over, seen: asked.append(set(seen.index.tolist())) or plain(over, seen)
    )
    judged: list[tuple[int, set[int]]] = []
    predicted = predictions.of

    def noted(over, fit, merge, source):
        judged.append((len(asked) - 1, set(source.indices)))
        return predicted(over, fit, merge, source)

    monkeypatch.setattr(predictions, "of", noted)
    net = predictor.load(root, tta="flip")
    held = halves.held(net.run, run_data.of_run(net.run))
    assert max(len(held.chooses), len(held.calibrates)) < calibration.LEAST <= len(held.all) == 30
    assert net.fit.crossed and net.fit.images == 30 and len(net.fit.calibration.images) == 30
    assert len(judged) == 5 and asked[0] == set(range(30)) == set().union(*(rows for _, rows in judged))
    assert all(asked[which] == set(range(30)) - rows for which, rows in judged)  # never fitted to what they judge
    assert "each by a fit to the others" in net.remarks[0]
    assert predictor.load(root, tta="flip").fit.crossed


@pytest.mark.slow
def test_a_fit_is_used_for_nothing_but_what_it_was_fitted_for(one, tmp_path, caplog):
    net = predictor.load(one, tta="flip")
    assert fitted.read(one, net.purpose) is not None
    for change in ({"merge": "median"}, {"refine": True}, {"views": "none"}, {"weights": [1, 2]}):
        assert fitted.read(one, {**net.purpose, **change}) is None
    copy = tmp_path / "copy"
    shutil.copytree(one, copy)
    where = fitted.path(copy, net.purpose)
    where.write_text(where.read_text().replace('"photographs": 2', '"photographs": 3', 1))
    again = predictor.load(copy, tta="flip")  # a damaged one is told, and made again
    assert "digest" in caplog.text and again.fit.images == net.fit.images
    shutil.copy(where, where.with_name(fitted.path(copy, {}).name))  # a sound one under another's name
    assert fitted.read(copy, {}) is None


def test_a_small_face_is_looked_at_again_in_a_crop_that_lies_as_labels_lie(one, random):
    """The crop's own geometry: the predicted points come to lie, in its input, where labels lie in training."""
    size, typical = 32, np.array([0.1, -0.05, 0.6])
    config = dataclasses.replace(opened.load(one).run.config, box_margin=0.2)
    points = random.uniform(0, 1, (1, 5, 2)) * [30, 20] + [50, 120]
    frame = np.array([[[0.4, 0, 3.0], [0, 0.4, -2.0]]])
    nothing = np.zeros((1, 5))
    found = inference.Predicted(
        np.zeros(1, int), points, nothing, points, nothing > 0, frame, nothing, np.full(1, 270.0)
    )
    boxes, zoom = refine.crops(found, typical, config)
    one = example.Example(np.zeros((200, 180, 3), np.uint8), points[0], np.ones(5, bool), boxes[0])
    canvas = placement.canvas(one, size, 40, config.box_margin)
    inside = affine.apply(canvas.frame, points[0])
    low, high = inside.min(0), inside.max(0)
    assert (high - low).max() / size == pytest.approx(0.6)
    assert ((low + high) / 2 - (size - 1) / 2) / size == pytest.approx([0.1, -0.05])
    assert zoom[0] == pytest.approx(canvas.frame[0, 0] / 0.4)


@pytest.mark.slow
def test_a_closer_look_changes_small_faces_and_leaves_others(one, pictures):
    run = opened.load(one).run
    typical = refine.framing(validated(one, run_data.split_of(run, run_data.of_run(run), "val"), images=False), 32)
    assert 0.15 < typical[2] < 1 and np.abs(typical[:2]).max() < 0.3
    net = predictor.load(one, tta="none", refine=True)
    assert net.fit.framing is not None
    far = [np.pad(p, ((200, 200), (200, 200), (0, 0)), "edge") for p in pictures]
    assert np.isfinite(net.predict(far).points).all()


@pytest.mark.slow
def test_without_its_data_a_run_predicts_with_equal_weights_and_says_so(one, tmp_path, pictures, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(one, copy, ignore=shutil.ignore_patterns("fitted"))
    monkeypatch.setattr(opening, "exists", lambda path: False)
    net = predictor.load(copy, tta="flip")
    assert "errors not calibrated: the run's data was at drawn:96:5" in net.remarks[0]
    assert np.array_equal(net.fit.weights, [0.5, 0.5])
    found = net.predict(pictures)
    assert np.isfinite(found.points).all() and np.isnan(found.spread).all()
    with pytest.raises(ValueError, match="not the data that"):
        predictor.load(copy, tta="flip", data="drawn:50:5", weights="fitted")
    assert not (copy / "fitted").exists()
    assert predictor.load(copy, tta="flip", data="drawn:96:5").fit.calibration is not None  # where it lies now


@pytest.mark.slow
def test_how_sure_an_image_is(one):
    net = predictor.load(one, tta="flip")
    found = inference.gather(net.predictions(opening.open_source("drawn:40:5", "test")))
    sure, nme = net.confidence(found, 0.5), net.expected_nme(found)
    assert ((sure >= 0) & (sure <= 1)).all() and (np.diff(sure[np.argsort(nme)]) <= 0).all()
    radii = net.radii(found)
    assert list(radii) == list(calibration.LEVELS) and (np.diff(np.stack(list(radii.values())), axis=0) >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tta": "swirl"}, "the set of views 'swirl' is not known"),
        ({"tta": "[]"}, "views: expected a list of augmenter .*; got an empty one"),
        ({"tta": "[{]"}, "views: not JSON"),
        ({"tta": '[{"geometry": {"rotation": [-5, 5]}}]'}, "view 0 draws at random"),
        ({"tta": '["none", {"geometry": {"turn": 5}}]'}, "view 1"),
        ({"tta": '{"geometry": {}}'}, "got one dict"),
        ({"tta": '[{"geometry": {"scale": 0}}]'}, "view 0.geometry: Geometry.scale must lie in 0.1..10, got 0"),
        ({"merge": "mode"}, "`merge` 'mode' is not known: choose mean, median, trimmed"),
        ({"weights": "[1, 2]"}, r"expected \[8\] or \[8\]\[5\] numbers, got 2"),
        ({"weights": "[1, -1]", "tta": "flip"}, "0 or more"),
        ({"weights": "[0, 0]", "tta": "flip"}, "not all 0"),
        ({"weights": "lots"}, "`view_weights` lots: expected auto, equal, fitted"),
        ({"weights": "fitted", "merge": "median"}, "weights are fitted for the mean"),
    ],
)
def test_what_cannot_be_is_rejected_in_one_line(one, settings, told):
    with pytest.raises(ValueError, match=f"^[^\n]*{told}[^\n]*$"):
        predictor.load(one, **settings)


@pytest.mark.slow
def test_runs_that_do_not_go_together_are_rejected(one, tmp_path):
    with pytest.raises(ValueError, match="the same network is named twice"):
        predictor.load(one, one)
    more = begun(tmp_path / "more", data="drawn:24:68", batch=8)
    with pytest.raises(ValueError, match="has 68 points, .* has 5"):
        predictor.load(one, more)


@pytest.mark.slow
@pytest.mark.parametrize("picture", [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), "a.jpg"])
def test_what_is_no_image_is_rejected_by_its_number(one, pictures, picture):
    net = predictor.load(one, tta="none", weights="equal")
    with pytest.raises(ValueError, match=r"^image 1: expected a uint8 array \[height, width, 3\] in RGB, got "):
        net.predict([pictures[0], picture])
    assert net.predict([]).points.shape == (0, 5, 2)


@pytest.mark.slow
def test_purposes_are_plain_data(one):
    net = predictor.load(one, tta=VIEWS, weights="[1, 2, 3]")
    assert json.loads(json.dumps(net.purpose)) == net.purpose
    assert Settings().tta == "standard" and np.allclose(net.fit.weights, [1 / 6, 1 / 3, 1 / 2])


@pytest.mark.slow
def test_images_are_looked_at_in_their_boxes(one, pictures):
    """A box about the whole short side, with the run's margin, is what the network sees without one."""
    net = predictor.load(one, tta="none", weights="equal")
    margin = net.run.config.box_margin
    sides = [min(p.shape[:2]) / (1 + 2 * margin) for p in pictures]
    corners = [((p.shape[1] - s) / 2, (p.shape[0] - s) / 2) for p, s in zip(pictures, sides, strict=True)]
    boxes = [[x, y, s, s] for (x, y), s in zip(corners, sides, strict=True)]
    unit = np.array([min(p.shape[:2]) / 32 for p in pictures])[:, None, None]  # pixels of an image per input pixel
    plain = net.predict(pictures).points / unit
    assert np.abs(net.predict(pictures, boxes).points / unit - plain).max() < 0.6  # the plain cut is at whole pixels
    beside = [[x + s / 2, y, s, s] for x, y, s, _ in boxes]
    assert np.abs(net.predict(pictures, beside).points / unit - plain)[..., 0].min() > 4
    with pytest.raises(ValueError, match=r"^boxes: expected \[5, 4\], got \[1, 4\]"):
        net.predict(pictures, boxes[:1])
    with pytest.raises(ValueError, match="^image 1: box outside the image"):
        net.predict(pictures, [boxes[0], [9000, 0, 5, 5], *boxes[2:]])


@pytest.mark.slow
def test_one_image_is_not_padded_to_a_whole_batch(one, pictures):
    net = predictor.load(one, tta="none", weights="equal")
    small, large = (predictor._for_count(net.ensemble, count).batch for count in (1, 10**6))
    assert small < net.ensemble.batch == large
    assert equal(net.predict(pictures[:1]), [v[:1] for v in net.predict(pictures)])


@pytest.mark.slow
def test_a_closer_look_is_left_out_where_the_crop_leaves_the_image(one):
    net = predictor.load(one, tta="none", weights="equal")
    source = example.Subset(opening.open_source("drawn:40:5", "test"), range(3))
    found = inference.gather(predictions.of(net.ensemble, net.fit, "mean", source))
    typical = np.array([0.0, 0.0, 0.9])
    away = found.points.copy()
    away[1] += 5000  # no such place in the image
    moved = refine.closer(net.ensemble, net.fit.weights, "mean", typical, source, found._replace(points=away))
    assert np.array_equal(moved.points[1], away[1]) and not np.allclose(moved.points[[0, 2]], away[[0, 2]])
    assert not np.allclose(moved.frame[0], found.frame[0]) and np.array_equal(moved.frame[1], found.frame[1])
