"""Points, pixels and frames agree with references written in NumPy and SciPy (CHECKS.md, Geometry)."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxmarks import affine, augment, image, transform
from jaxmarks.augment.samplers import Bars, Blur, Caption, Chain, Colour, CutOut, Geometry, Identity, OneOf, sample
from pipelines import synthetic
from pipelines.certificate import cases, pixels, points, reference, table
from pipelines.images import placement

SIZE, KEYS = 96, 200
BOUND = {name: bound for name, (bound, _) in table.BOUNDS.items()}
QUICK = ("mirror", "crop", "chain")  # the slow test has all of them, at every size

records = functools.lru_cache(lambda case: cases.records(case, SIZE, KEYS))
render = jax.jit(transform.apply_image, static_argnums=2)


def fixed(config, size=SIZE):
    return sample(jax.random.key(0), config, size)


@pytest.fixture
def noise(random):
    return random.randint(0, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.mark.slow
@pytest.mark.bits
def test_the_whole_certificate():
    photographs = [synthetic.draw(n, faults=False).image for n in range(3)]
    failed = [row for row in table.measure([64], 16, cases.choose(""), photographs) if not row.ok]
    assert not failed


@pytest.mark.parametrize("case", QUICK)
def test_points_come_back_in_their_own_order(case):
    assert points.there_and_back(records(case), SIZE) < BOUND["points there and back, own order"]
    assert points.moved(records(case), SIZE) < BOUND["points and order against float64"]


@pytest.mark.parametrize("photograph", points.IMAGE_SIZES)
def test_points_are_mapped_back_through_images_of_60_to_1300_pixels(photograph):
    assert points.through_image(records("chain"), SIZE, photograph) < BOUND["points through images"]
    assert points.frame_of_image(SIZE, photograph) < BOUND["frame of images"]


@pytest.mark.parametrize("case", QUICK)
def test_the_centroid_of_a_blob_lies_on_the_mapped_point(case):
    assert pixels.blobs(records(case), SIZE) < BOUND["centroid of blobs"]


@pytest.mark.parametrize("photograph", [(60, 60), (129, 131), (300, 211), (1300, 701)])
def test_a_blob_in_an_image_is_shown_where_the_frames_say(photograph):
    few = cases.some(records("crop"), 25)
    assert pixels.blob_in_image(few, SIZE, photograph) < BOUND["blobs in images, end to end"]


@pytest.mark.parametrize("case", QUICK)
def test_pixels_equal_scipys(case):
    few = cases.some(records(case), 25)
    assert pixels.against_scipy(few, SIZE, synthetic.draw(0, faults=False).image) < BOUND["pixels against SciPy"]


@pytest.mark.parametrize("case", QUICK)
def test_what_is_restored_is_what_was_there(case):
    error, disagreement = pixels.restored(cases.some(records(case), 25), SIZE)
    assert error < BOUND["restored image, within the mask"] and disagreement == 0


@pytest.mark.parametrize("size", [33, 96, 128, 224])
def test_mirror_and_identity_are_exact_on_bytes(size):
    assert pixels.mirrored(size) == 0 and pixels.unchanged(size) == 0
    xy = jnp.asarray(cases.scattered(size, 20))
    moved = transform.apply_points(fixed(Geometry(mirror=1.0), size), xy, cases.swaps(20))
    assert np.array_equal(moved, np.stack([(size - 1) - xy[:, 0], xy[:, 1]], -1)[cases.swaps(20)])


def test_a_zone_plate_shrunk_4_times_is_near_pillows():
    plate = cases.zone_plate(4 * SIZE)
    pillow = np.asarray(Image.fromarray(plate).resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float64)
    assert np.abs(reference.antialiased(plate, SIZE) - pillow).max() < 1.01  # Pillow rounds twice
    shrunk = render(transform.from_affine(jnp.asarray(affine.resize(0.25, 0.25), jnp.float32)), plate, SIZE)
    plain = image.sample(jnp.asarray(plate), 4 * image.grid(SIZE) + 1.5)
    error, worse = (float(np.sqrt(np.mean(np.square(np.asarray(p) - pillow)))) for p in (shrunk, plain))
    assert error < BOUND["zone plate shrunk 4 times"] and worse > 10 * error


def test_one_interpolation_is_nearer_the_truth_than_three():
    assert pixels.at_once(SIZE) < BOUND["one interpolation over three"]


def test_a_positive_angle_turns_clockwise_on_the_screen(noise):
    quarter = fixed(Geometry(rotation=90.0))
    assert np.abs(render(quarter, noise, SIZE) - np.rot90(noise, -1)).max() < 0.01
    east = jnp.array([[SIZE - 1.0, (SIZE - 1) / 2]])  # goes to the south
    assert np.allclose(transform.apply_points(quarter, east, None), [[(SIZE - 1) / 2, SIZE - 1]], atol=1e-4)


def test_a_shift_moves_whole_pixels_and_shows_the_border(noise):
    moved = np.asarray(render(fixed(Geometry(shift_x=8 / SIZE, shift_y=-4 / SIZE)), noise, SIZE))
    expected = np.full_like(moved, image.BORDER)
    expected[:-4, 8:] = noise[4:, :-8]
    assert np.abs(moved - expected).max() < 0.01


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0)])
def test_a_crop_shows_the_window_enlarged_by_areas(noise, x, y):
    half = SIZE // 2
    left, top = int(x * half), int(y * half)
    enlarged = reference.antialiased(noise[top : top + half, left : left + half], SIZE)
    found = np.asarray(render(fixed(Geometry(crop=0.5, crop_x=x, crop_y=y)), noise, SIZE))
    assert np.abs(found - enlarged)[1:-1, 1:-1].max() < 0.01  # at the rim the crop sees its neighbours
    exact = transform.apply_points(
        fixed(Geometry(crop=0.5, crop_x=x, crop_y=y)), jnp.array([[left - 0.5, top - 0.5]]), None
    )
    assert np.allclose(exact, -0.5, atol=1e-4)


def test_a_canvas_extent_marks_what_was_not_pictured():
    small = np.full((60, 30, 3), 200, np.uint8)
    canvas = placement.place(small, 96, 120)
    shown = render(fixed(Identity()), canvas.image, 120, jnp.asarray(canvas.extent, jnp.float32))
    assert (np.asarray(shown)[..., 0] == 200).sum() == 60 * 30 and set(np.unique(shown)) == {128.0, 200.0}


def test_inverting_is_a_function_of_the_record_alone(noise):
    a, b = fixed(Geometry(rotation=30.0, mirror=1.0)), fixed(Geometry(rotation=-70.0, scale=1.3))
    xy, order = jnp.asarray(cases.scattered(SIZE, 20)), cases.swaps(20)
    moved_a, moved_b = transform.apply_points(a, xy, order), transform.apply_points(b, xy, order)
    render(b, noise, SIZE)
    for t, moved in ((a, moved_a), (b, moved_b), (a, moved_a)):
        home = transform.apply_points(transform.invert(t), moved, order)
        assert np.abs(home - xy)[:-4].max() < 1e-4 and np.abs(home - xy).max() < 1e-3


def test_a_point_at_minus_22_and_1308_survives_and_returns():
    frame = placement.place(np.zeros((980, 1308, 3), np.uint8), 128, 160).frame
    there = affine.apply(frame, np.array([[-22.0, 1308.0]])).astype(np.float32)
    t = records("chain")
    back = jax.vmap(
        lambda t: transform.apply_points(transform.invert(t), transform.apply_points(t, there, None), None)
    )(t)
    home = affine.apply(affine.invert(frame), np.asarray(back, np.float64))
    assert np.abs(home - [-22.0, 1308.0]).max() < 1e-3


@pytest.mark.parametrize("case", ["chain", "colour"])
def test_records_compose_by_the_rules_and_undo_in_reverse_order(case):
    assert points.algebra(cases.some(records(case), 64), SIZE) < BOUND["algebra of records"]


def test_the_neutral_element_changes_no_record():
    t = jax.tree.map(lambda leaf: leaf[3], records("chain"))
    for same in (transform.compose(t, transform.identity()), transform.compose(transform.identity(), t)):
        assert all(np.array_equal(a, b) for a, b in zip(t, same, strict=True))


def test_drawing_at_once_agrees_with_drawing_in_sequence_away_from_edges():
    picture = cases.smooth(SIZE, 32.0)
    a, b = fixed(Geometry(rotation=10.0, scale=1.1)), fixed(Chain((Colour(brightness=0.05, contrast=0.9), Blur(1.0))))
    once, twice = render(transform.compose(a, b), picture, SIZE), render(b, render(a, picture, SIZE), SIZE)
    assert np.abs(once - twice)[20:-20, 20:-20].max() < 0.01


def test_a_grey_image_cannot_be_restored_and_says_so(noise):
    grey = fixed(Colour(grey=1.0))
    _, mask = jax.jit(transform.restore, static_argnums=2)(grey, render(grey, noise, SIZE), SIZE)
    assert not mask.any()


REJECTED = [
    (Geometry, {"scale": 0.0}), (Geometry, {"crop": 0.0}), (Geometry, {"rotation": (10, -10)}),
    (Geometry, {"scale": (0.0, 1.0)}), (Geometry, {"stretch": 0.0}), (Geometry, {"shift_x": float("nan")}),
    (Geometry, {"rotation": (0.0, float("inf"))}), (Geometry, {"side_view": 90.0}), (Geometry, {"rotation": "12"}),
    (Geometry, {"rotation": None}), (Geometry, {"rotation": (1, 2, 3)}), (Geometry, {"rotation": (1,)}),
    (Geometry, {"mirror": 1.5}), (Geometry, {"mirror": (0.0, 1.0)}), (Colour, {"grey": -0.1}), (Colour, {"contrast": 0.0}),
    (Blur, {"variance": -1.0}), (Blur, {"variance": 10.0}), (Bars, {"chance": 2.0}), (Bars, {"colour": 256.0}),
    (Caption, {"strokes": 3.5}), (CutOut, {"side": (0.5, 0.1)}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), REJECTED, ids=lambda v: str(getattr(v, "__name__", v)))
def test_a_configuration_that_cannot_be_drawn_is_rejected_when_read(kind, values):
    with pytest.raises(ValueError, match=f"{kind.__name__}.{next(iter(values))}"):
        kind(**values)


@pytest.mark.parametrize(
    ("parts", "probabilities"),
    [((), ()), ((Identity(),), (0.5,)), ((Identity(), Identity()), (1.0,)), ((Identity(), Identity()), (1.5, -0.5)),
     ((Identity(),), (float("nan"),))],
)  # fmt: skip
def test_probabilities_that_are_none_are_rejected(parts, probabilities):
    with pytest.raises(ValueError, match="OneOf"):
        OneOf(parts, probabilities)


def test_a_mirror_without_a_permutation_is_rejected_when_read():
    for name in ("contest", "strong"):
        with pytest.raises(ValueError, match="mirror"):
            augment.configure(name, False)
    assert not augment.mirrors(augment.configure("auto", False)) and augment.mirrors(augment.configure("auto", True))
    with pytest.raises(ValueError, match="recipe"):
        augment.configure("swirl", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extreme",
    [Geometry(scale=0.1, crop=0.1, stretch=10.0), Geometry(side_view=80.0, shear=2.0), Colour(contrast=0.05, saturation=0.0),
     Bars(chance=1.0, depth=1.0), CutOut(side=0.0), Caption(height=0.0, strokes=0), Blur(9.0)],
    ids=str,
)  # fmt: skip
def test_the_most_extreme_draws_are_finite(extreme, noise):
    t = fixed(extreme)
    shown = render(t, noise, SIZE)
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 255
    for leaf in (*transform.invert(t), transform.restore(t, shown, SIZE)[0]):
        assert np.isfinite(leaf).all()


def test_the_recipe_is_the_papers_table():
    recipe = augment.preset("recipe")
    assert isinstance(recipe, OneOf) and recipe.probabilities == (0.2,) * 5
    moving, crop, colour, blur, nothing = recipe.parts
    assert moving == Geometry(rotation=(-45, 45), scale=(0.9, 1.1), shift_x=(-0.1, 0.1), shift_y=(-0.1, 0.1))
    assert crop == Geometry(crop=(0.8, 1.0)) and nothing == Identity() and image.BORDER == 128
    assert colour == Colour(brightness=(-0.3, 0.3), contrast=(0.7, 1.3))
    b, c, grey = 0.2, 0.8, np.array([40.0, 90.0, 200.0])
    t = fixed(Colour(brightness=b, contrast=c))
    assert np.allclose(image.recolour(t.colour, jnp.asarray(grey)), (grey + 255 * b - 128) * c + 128, atol=1e-3)
    assert isinstance(blur, OneOf) and blur.probabilities == (1 / 3,) * 3
    for part, side in zip(blur.parts, (1, 3, 5), strict=True):
        weights = cv2.getGaussianKernel(side, side // 2)[:, 0] if side > 1 else np.ones(1)
        assert isinstance(part, Blur) and part.variance == pytest.approx(
            float(weights @ (np.arange(side) - side // 2) ** 2), abs=1e-3
        )
