"""A probe that cannot fail proves nothing: each is given a wrong implementation and must see it beyond its bound."""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import affine, image, transform, tta
from jaxmarks.augment.samplers import Chain, Colour, Geometry, OneOf, sample
from pipelines import synthetic
from pipelines.certificate import cases, draws, peers, pixels, points, table
from pipelines.images import decode, placement

SIZE, KEYS = 96, 16
BOUND = {name: bound for name, (bound, _) in table.BOUNDS.items()}


@pytest.fixture(scope="module")
def mirrored():
    return cases.records("mirror", SIZE, KEYS)


@pytest.fixture(scope="module")
def chain():
    return cases.records("chain", SIZE, KEYS)


def mirror_by_w(t, picture, size, extent=None):
    """Mirrors by x = w - x."""
    shift = jnp.where(affine.determinant(t.affine) < 0, 1.0, 0.0)
    return transform.apply_image(t._replace(affine=t.affine.at[0, 2].add(shift)), picture, size, extent)


def corners_aligned(t, picture, size, extent=None):
    """Puts x = 0 on x = 0, whatever the scale."""
    scale = t.affine[:, :2] @ jnp.ones(2)
    return transform.apply_image(
        t._replace(affine=t.affine.at[:, 2].add((1 - scale) / 2 * (scale != 1))), picture, size, extent
    )


def unfiltered(t, picture, size, extent=None):
    """Plain bilinear, whatever the map shrinks."""
    return image.sample(jnp.asarray(picture), affine.apply(affine.invert(t.affine)[None], image.grid(size)))


def border_of_zero(t, picture, size, extent=None):
    """Paints what was not seen black in place of grey."""
    found = transform.apply_image(t, picture, size, extent)
    return jnp.where(found == image.BORDER, 0.0, found)


def points_in_old_order(t, points, mirror):
    """Moves but never renames, one way only."""
    return transform.apply_points(t, points, None)


def invert_without_order(t):
    """Takes the position back, and hides that it mirrors."""
    back = transform.invert(t)
    return back._replace(affine=back.affine.at[0].multiply(jnp.sign(affine.determinant(back.affine))))


def clamped(t, points, mirror):
    """Keeps points within the frame."""
    return jnp.clip(transform.apply_points(t, points, mirror), 0, SIZE - 1)


def compose_backwards(first, second):
    return transform.compose(second, first)


def blur_unscaled(first, second):
    """Adds variances without the area between them."""
    return transform.compose(first, second)._replace(blur=first.blur + second.blur)


def restore_everything(t, picture, size):
    found, mask = transform.restore(t, picture, size)
    return found, jnp.ones_like(mask)


def restore_with_the_colour(t, picture, size):
    found, mask = transform.restore(t, picture, size)
    return image.recolour(t.colour, found), mask


@pytest.mark.slow
def test_points(mirrored, chain):
    bound = BOUND["points there and back, own order"]
    for wrong in (clamped, lambda t, p, m: transform.apply_points(t, p.astype(jnp.bfloat16).astype(jnp.float32), m)):
        assert points.there_and_back(chain, SIZE, apply_points=wrong) > bound
    assert points.there_and_back(mirrored, SIZE, invert=invert_without_order) > bound
    assert points.moved(mirrored, SIZE, apply_points=points_in_old_order) > BOUND["points and order against float64"]
    assert points.moved(chain, SIZE, apply_points=clamped) > BOUND["points and order against float64"]
    assert points.through_image(chain, SIZE, (300, 211), invert=lambda t: t) > BOUND["points through images"]


@pytest.mark.slow
def test_frames_of_images():
    def by_corners(picture, size, side):
        canvas = placement.place(picture, size, side)
        scale = (size - 1) / (min(picture.shape[:2]) - 1)
        frame = canvas.frame.copy()
        frame[:, :2] = np.eye(2) * scale
        return canvas._replace(frame=frame)

    assert points.frame_of_image(SIZE, (300, 211), place=by_corners) > BOUND["frame of images"]
    one = cases.records("none", SIZE, 1)
    error = pixels.blob_in_image(one, SIZE, (300, 211), place=by_corners)
    assert error > BOUND["blobs in images, end to end"]


@pytest.mark.slow
def test_algebra(chain):
    for wrong in (compose_backwards, blur_unscaled):
        assert points.algebra(chain, SIZE, compose=wrong) > BOUND["algebra of records"]
    assert points.algebra(chain, SIZE, invert=lambda t: t) > BOUND["algebra of records"]


@pytest.mark.slow
def test_blobs(mirrored):
    bound = BOUND["centroid of blobs"]
    assert pixels.blobs(mirrored, SIZE, render=mirror_by_w) > 0.5 > bound
    assert pixels.blobs(cases.records("scale", SIZE, KEYS), SIZE, render=corners_aligned) > bound
    assert pixels.blob_in_image(mirrored, SIZE, (300, 211), render=mirror_by_w) > 0.5


@pytest.mark.slow
def test_pixels(chain):
    photograph = synthetic.draw(0, faults=False).image
    for wrong in (border_of_zero, unfiltered, mirror_by_w):
        assert pixels.against_scipy(chain, SIZE, photograph, render=wrong) > 1 > BOUND["pixels against SciPy"]
    assert pixels.mirrored(SIZE, render=mirror_by_w) > 0
    blurred = lambda t, p, s, e=None: transform.apply_image(t._replace(blur=jnp.float32(0.1)), p, s, e)  # noqa: E731
    assert pixels.unchanged(SIZE, render=blurred) > 0


def test_shrinking_by_plain_bilinear_is_seen():
    assert pixels.zone_plate(SIZE, render=unfiltered) > 10 * BOUND["zone plate shrunk 4 times"]


@pytest.mark.slow
def test_one_interpolation_is_reported_from_three():
    twice = lambda t, p, s, e=None: transform.apply_image(  # noqa: E731
        sample(jax.random.key(0), Geometry(shift_x=0.5 / SIZE), SIZE),
        transform.apply_image(transform.compose(t, sample(jax.random.key(0), Geometry(shift_x=-0.5 / SIZE), SIZE)), p, s, e),
        s,
    )  # fmt: skip
    assert pixels.at_once(SIZE, render=twice) > BOUND["one interpolation over three"]


@pytest.mark.slow
def test_restore():
    covered, coloured = cases.records("cut out", SIZE, KEYS), cases.records("colour", SIZE, KEYS)
    assert pixels.restored(covered, SIZE, restore=restore_everything)[1] > 0
    assert pixels.restored(covered, SIZE, restore=restore_everything)[0] > BOUND["restored image, within the mask"]
    assert (
        pixels.restored(coloured, SIZE, restore=restore_with_the_colour)[0] > BOUND["restored image, within the mask"]
    )


@pytest.mark.slow
def test_oracle():
    views = tta.views("standard", True, SIZE)
    assert points.oracle(views, SIZE, tta.merge, invert=invert_without_order) > BOUND["oracle under views"]
    unweighted = lambda p, w, v: (jnp.sum(p, 0), None)  # noqa: E731
    assert points.oracle(views, SIZE, unweighted) > BOUND["oracle under views"]


def test_correlation_of_draws():
    same = Chain((Geometry(shift_x=(-0.1, 0.1)), Colour(brightness=(-0.3, 0.3))))

    def correlated(key, config, size):
        u = jax.random.uniform(key)
        moved, lit = jnp.eye(2, 3).at[:, 2].set(u), jnp.eye(3, 4).at[:, 3].set(u * 9)
        return transform.identity()._replace(affine=moved, colour=lit)

    records = cases.drawn(same, SIZE, 500, draw=correlated)
    found = {"shift": np.asarray(records.affine[:, 0, 2]), "brightness": np.asarray(records.colour[:, 0, 3])}
    assert draws.correlation(found)[0] > 0.99
    assert draws.correlation({"a": found["shift"], "b": np.ones(500)})[0] == np.inf


def test_a_mix_that_renders_every_branch_is_seen():
    mix = OneOf((Geometry(), Colour(), Geometry(rotation=5.0)), (0.4, 0.3, 0.3))

    def every_branch(ts, picture, size):
        return sum(transform.apply_image(t, picture, size) for t in ts)

    def draw_all(key, config, size):
        return [sample(key, part, size) for part in mix.parts]

    with jax.debug_key_reuse(False):
        every = draws.gathers(mix, render=every_branch, draw=draw_all)
    assert every == 3 * draws.gathers(cases.CASES["none"]) and draws.gathers(mix) == draws.gathers(cases.CASES["none"])


def test_rows_say_what_failed():
    good, bad = table.Row("centroid of blobs", 96, "crop", 0.001), table.Row("centroid of blobs", 96, "scale", 0.5)
    nothing = table.Row("centroid of blobs", 96, "shear", float("nan"))
    assert good.ok and not bad.ok and not nothing.ok
    assert table.worst([good, bad]) == [bad] and bad.to_dict()["ok"] is False
    text = "\n".join(table.lines([good, bad]))
    assert "NO" in text and "scale" in text
    assert nothing.to_dict()["value"] is None


@pytest.fixture
def script(monkeypatch):
    path = Path(__file__).parents[2] / "scripts" / "audit.py"
    spec = importlib.util.spec_from_file_location("audit", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["audit.py", *arguments])
        return module.main()

    return run


@pytest.mark.slow
def test_script_is_green_and_writes_what_it_says(script, tmp_path, capsys):
    assert script("--sizes", "64", "--keys", "8", "--augment", "mirror", "--out", str(tmp_path)) == 0
    report = json.loads((tmp_path / "audit.json").read_text())
    assert report["ok"] and all(set(row) == {"name", "value", "bound", "unit", "ok"} for row in report["rows"])
    assert len({row["name"] for row in report["rows"]}) == len(report["rows"]) == table.count([64], ["mirror"])
    assert decode.decode((tmp_path / "audit.png").read_bytes()).shape[1] > 4 * 64
    assert "0 beyond their bound" in capsys.readouterr().out


@pytest.mark.slow
def test_script_exits_1_when_a_bound_fails(script, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(table.BOUNDS, "zone plate shrunk 4 times", (0.01, "grey levels"))
    assert script("--sizes", "64", "--keys", "8", "--augment", "none", "--out", str(tmp_path)) == 1
    assert not json.loads((tmp_path / "audit.json").read_text())["ok"]
    assert " NO " in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [("--sizes", "9"), ("--sizes", "x"), ("--augment", "swirl"), ("--keys", "0")])
def test_script_rejects_in_one_line(script, wrong):
    with pytest.raises(ValueError, match=wrong[0].strip("-")):
        script(*wrong)


def test_our_own_value_beside_the_peers_counts_as_any_other(monkeypatch):
    monkeypatch.setattr(peers, "_KNOWN", {"crop and enlarge": 0.02})
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    for probe in ("zone_plate", "waves", "lost"):
        monkeypatch.setattr(peers, probe, lambda library, size: 0.0)
    rows = peers.compare(64)
    assert not peers.beyond(rows) and "pip install albumentations kornia" in peers.lines(rows)[-1]
    assert peers.beyond([{**rows[0], "ours": 0.021}, rows[1], {**rows[2], "ours": float("nan")}]) != []
