"""Wrong labels are odd, and the page shows what there is, whatever the files are called."""

import html
import re

import numpy as np
import pytest

from jaxmarks import landmarks
from pipelines import synthetic
from pipelines.example import Example, Source
from pipelines.images.decode import encode_jpeg
from pipelines.reports import data_page
from pipelines.shapes import outliers
from pipelines.sources.tables import Rejected

HOSTILE = """<script>alert("x")</script>'&\udcff.jpg"""
HEADINGS = ["Numbers", "Random examples", "Mean shape", "Shape outliers", "Sizes", "Near-duplicates", "Rejected"]


@pytest.fixture(scope="module")
def labels():
    """Right labels f64[300, 68, 2] of drawn faces."""
    return np.stack([synthetic.label(i, num_points=68).truth for i in range(300)])


def caught(points, wrong, mask=None):
    """Which share of the wrong ones is among the oddest, as many as these."""
    odd = outliers.scores(points, np.ones(points.shape[:2], bool) if mask is None else mask)
    assert np.isfinite(odd).all() and (odd >= 0).all()
    return np.isin(np.argsort(-odd, kind="stable")[: len(wrong)], wrong).mean()


def spoiled(points, wrong, kind, random):
    """Labels made wrong on purpose."""
    points, count = points.copy(), points.shape[1]
    for i in wrong:
        size = np.sqrt(np.prod(np.ptp(points[i], axis=0)))
        if kind == "permuted":
            points[i] = points[i][landmarks.scheme(count).mirror]
        elif kind == "mirrored":
            points[i] *= (-1, 1)
        elif kind == "noise":
            points[i][random.choice(count, 4, replace=False)] += random.normal(0, 0.15 * size, (4, 2))
        else:
            start = random.randint(count * 2 // 3)
            points[i][start : start + count // 3] += 0.15 * size
    return points


@pytest.mark.parametrize(
    ("kind", "least"), [("permuted", 0.85), ("mirrored", 0.85), ("noise", 0.75), ("partly shifted", 0.9)]
)
def test_wrong_labels_are_the_oddest(labels, random, kind, least):
    wrong = random.choice(300, 12, replace=False)
    assert caught(spoiled(labels, wrong, kind, random), wrong) >= least


@pytest.mark.slow
def test_wrong_labels_are_found_among_those_half_masked_and_unseen_points_do_not_count(labels, random):
    wrong = random.choice(300, 12, replace=False)
    points, mask = spoiled(labels, wrong, "mirrored", random), random.rand(300, 68) < 0.7
    mask[:, 5], mask[7] = False, False  # a point that nobody has, a face without label
    assert caught(points, wrong, mask) >= 0.9
    hidden = np.where(mask[..., None], points, np.nan)
    elsewhere = np.where(mask[..., None], points, 1e6)
    assert np.array_equal(outliers.scores(hidden, mask), outliers.scores(elsewhere, mask))
    assert outliers.scores(points, mask)[7] == 0


@pytest.mark.slow
def test_scores_do_not_depend_on_place_and_size(labels, random):
    mask = np.ones(labels.shape[:2], bool)
    moved = labels * random.uniform(0.2, 5, (300, 1, 1)) + random.uniform(-900, 900, (300, 1, 2))
    assert np.allclose(outliers.scores(moved, mask), outliers.scores(labels, mask), atol=1e-3)


def test_five_points_and_971_and_labels_that_are_no_shape(random):
    for count in (5, 971):
        points = np.stack([synthetic.label(i, num_points=count).truth for i in range(120)])
        points = spoiled(points, [3, 50, 90], "mirrored", random)
        points[60] = 40.0  # all in one place
        assert caught(points, np.array([3, 50, 60, 90])) >= 0.75


def test_of_few_faces_nothing_is_said(labels):
    for count in (0, 1, 9):
        assert np.array_equal(outliers.scores(labels[:count], np.ones((count, 68), bool)), np.zeros(count))
    assert not outliers.scores(labels, np.zeros((300, 68), bool)).any()
    assert not outliers.scores(labels[:, :2], np.ones((300, 2), bool)).any()


@pytest.mark.slow
def test_the_spread_is_upright_and_larger_where_labels_scatter(labels, random):
    noisy = labels.copy()
    noisy[:, 30] += random.normal(0, 0.1, (300, 2)) * np.ptp(labels, axis=(1, 2))[:, None]
    mask = np.ones((300, 68), bool)
    mask[:, 8] = False
    mean, covariance = outliers.spread(labels, mask)
    more = outliers.spread(noisy, mask)[1]
    assert np.isnan(mean[8]).all() and np.isfinite(np.delete(mean, 8, 0)).all()
    assert mean[27, 1] < mean[33, 1] < mean[57, 1] and mean[36, 0] < mean[45, 0]
    assert np.trace(more[30]) > 1.5 * np.trace(covariance[30])
    with pytest.raises(ValueError, match="no object has enough"):
        outliers.spread(labels, np.zeros((300, 68), bool))


class Memory(Source):
    """A few drawn faces with names and labels as wished."""

    boxed = True

    def __init__(self, names, labelled=True, coded=False):
        self.names, self.num_points, self.labelled = names, 68, labelled
        self._coded = coded

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        face = synthetic.draw(index, num_points=68)
        box = np.array([10.0, 12.0, 50.0, 60.0]) if index % 2 else None
        image = encode_jpeg(face.image) if self._coded else face.image
        return Example(image, face.points, np.full(68, self.labelled), box)


def facts_of(source, **changed):
    count = len(source)
    sizes = np.array([source[i].image.shape[1::-1] for i in range(count)]).reshape(count, 2)
    facts = data_page.Facts("set", source, count, [], {}, sizes, np.full(count, 0.4), np.arange(count), None)
    return facts._replace(**changed)


@pytest.fixture(scope="module")
def full():
    """Facts with something in every section, under names that would break a careless page."""
    source = Memory([HOSTILE] + [f"b{i}.jpg" for i in range(13)])
    rejected = [Rejected(HOSTILE, 3, f"box outside: {HOSTILE}"), Rejected("gone.jpg", None, "the image is missing")]
    groups = np.arange(14)
    groups[[4, 9, 12]] = [0, 0, 3]
    thumbnails = {HOSTILE: np.full((30, 40, 3), 200, np.uint8)}
    lines: list[int | None] = [None, *range(101, 114)]
    return facts_of(
        source, title=HOSTILE, listed=16, rejected=rejected, groups=groups, thumbnails=thumbnails, lines=lines
    )


def test_names_and_reasons_are_text_and_nothing_is_fetched(full):
    told = data_page.page(full)
    told.encode()
    assert "<script" not in told and '"x"' not in told and "'&" not in told
    named = re.search("&lt;script&gt;.*?[.]jpg", told)
    assert named and html.unescape(named[0]) == HOSTILE.replace("\udcff", "\\udcff")
    assert not re.search(r"""(src|href)="(?!data:image/jpeg;base64,|#s\d)""", told) and "url(" not in told


def test_all_sections_are_there_and_say_what_is_so(full):
    told = data_page.page(full)
    assert re.findall("<h2>(.*?)</h2>", told) == HEADINGS
    assert "14 of 16 records accepted, 2 rejected." in told
    assert "5 images in 2 groups (1 of 2 images, 1 of 3 images)" in told
    assert "<td>box outside</td><td>1</td>" in told and "line 113" in told
    parts = dict(zip(HEADINGS, told.split("<section")[1:], strict=True))
    assert parts["Random examples"].count("<img") == 14 and parts["Rejected"].count("<img") == 1
    assert parts["Near-duplicates"].count("<img") == 5 and parts["Mean shape"].count("<ellipse") == 68
    odd = [float(n) for n in re.findall(r"<br>([\d.]+)", parts["Shape outliers"])]
    assert (
        odd == sorted(odd, reverse=True)
        and min(odd, default=3) >= 3
        and len(odd) == parts["Shape outliers"].count("<img")
    )
    assert "median" in parts["Sizes"]


@pytest.mark.slow
def test_the_points_of_the_mean_shape_have_their_names():
    source = Memory([f"b{i}.jpg" for i in range(14)])
    assert "<title>point 36</title>" in data_page.page(facts_of(source))
    source.point_names = ["<b>", *(f"p{i}" for i in range(1, 68))]
    told = data_page.page(facts_of(source))
    assert "<title>point 36, p36</title>" in told and "<title>point 0, &lt;b&gt;</title>" in told


def test_the_same_facts_give_the_same_page_and_another_seed_other_examples():
    facts = facts_of(Memory([f"{i}.jpg" for i in range(40)]))
    assert data_page.page(facts) == data_page.page(facts)
    chosen = [data_page.page(facts, seed=s).split("<section")[2] for s in (0, 1)]
    assert chosen[0] != chosen[1] and chosen[0].count("<img") == 24


def test_a_set_without_labels_duplicates_or_rejections():
    told = data_page.page(facts_of(Memory(["a.jpg", "b.jpg"], labelled=False), spread=np.full(2, np.nan)))
    assert re.findall("<h2>(.*?)</h2>", told) == HEADINGS
    assert "There are no labels" in told and "No near-duplicates." in told
    assert "Every record could be used." in told and "nan" not in re.sub('base64,[^"]*', "", told)


def test_an_empty_set_has_a_page_too():
    empty = facts_of(Memory([]), rejected=[Rejected("a.jpg", 1, "truncated JPEG")] * 90, listed=90)
    told = data_page.page(empty)
    assert re.findall("<h2>(.*?)</h2>", told) == HEADINGS and "truncated JPEG: 90 (the first 40)" in told


def test_the_label_and_the_box_lie_where_they_are_in_the_image():
    class One(Memory):
        def __getitem__(self, index):
            points, mask = np.full((68, 2), 100.0), np.arange(68) < 1
            picture = np.full((100, 200, 3), 90, np.uint8)  # half as large as the image
            return Example(picture, points, mask, np.array([200.0, 40.0, 100.0, 80.0]), (400, 200))

    tile = data_page._tile(One(["a.jpg"]), 0, False)
    assert tile is not None and tile.shape == (220, 440, 3)
    green = np.argwhere((tile == (80, 255, 120)).all(-1)).mean(0)
    amber = np.argwhere((tile == (255, 190, 40)).all(-1))
    assert np.abs(green - (100.5 * 1.1 - 0.5)).max() < 0.6
    assert np.abs(amber.min(0) - (44, 220)).max() <= 1 and np.abs(amber.max(0) - (132, 330)).max() <= 1
    assert (data_page._tile(One(["a.jpg"]), 0, True) == (80, 255, 120)).all(-1).any()
