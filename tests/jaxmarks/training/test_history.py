"""What a run did to each image: the log's rows and the order of draws put together, against counting by hand."""

import numpy as np
import pytest

from jaxmarks import augment, keys, transform
from jaxmarks.losses import band
from jaxmarks.training import history, log
from tests.tiny import CONFIG

LENGTH, BATCH = 7, 4


def _rows(steps, seed=0, top=0.0, keep=1.0):
    """A log as training writes it: random losses, trimmed by rank, without ties."""
    rows = np.zeros(steps, log.example_dtype(BATCH))
    rows["each"] = np.random.RandomState(seed).permutation(steps * BATCH).reshape(steps, BATCH)
    first, last = band(top, keep, BATCH)
    for row in rows:
        row["kept"][np.argsort(-row["each"])[first:last]] = 1
    return rows


@pytest.mark.parametrize("weights", [None, np.array([0, 1, 1, 3, 1, 1, 2.0])])
def test_each_draw_names_the_image_that_the_order_of_its_epoch_has_there(weights):
    order = keys.ordering(keys.root(3), LENGTH, weights)
    found = history.seen(_rows(9), order, LENGTH)
    expected = np.concatenate([order(epoch) for epoch in range(6)])[: 9 * BATCH]
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_array_equal(found.step, np.repeat(np.arange(9), BATCH))
    np.testing.assert_array_equal(found.place, np.tile(np.arange(BATCH), 9))
    later = history.seen(_rows(9)[5:], order, LENGTH, first=5)
    for whole, part in zip(found, later, strict=True):
        np.testing.assert_array_equal(whole[5 * BATCH :], part)


def test_what_was_trimmed_is_reported_apart_by_which_end_of_the_batch_it_was_at():
    rows = _rows(5, top=0.25, keep=0.75)
    found = history.seen(rows, keys.ordering(keys.root(0), LENGTH), LENGTH)
    ranks = (-rows["each"]).argsort(1).argsort(1).ravel()
    np.testing.assert_array_equal(found.worst, ranks == 0)
    np.testing.assert_array_equal(~found.kept & ~found.worst, ranks == 3)


def test_an_image_without_labels_is_not_one_of_the_worst():
    rows = _rows(1)
    rows["each"], rows["kept"] = [[3, 0, 2, 1]], [[1, 0, 1, 1]]
    assert not history.seen(rows, keys.ordering(keys.root(0), LENGTH), LENGTH).worst.any()


def test_the_counts_of_each_image_equal_counting_one_by_one():
    order = keys.ordering(keys.root(1), LENGTH)
    found = history.seen(_rows(6, 1, 0.25, 0.5), order, LENGTH)
    counted = history.per_image(found, LENGTH + 1)
    for image in range(LENGTH + 1):
        mine = [i for i in range(len(found.index)) if found.index[i] == image]
        assert counted["seen"][image] == len(mine)
        assert counted["worst"][image] == sum(found.worst[i] for i in mine)
        assert counted["easy"][image] == sum(not found.kept[i] and not found.worst[i] for i in mine)
        losses = [found.loss[i] for i in mine]
        np.testing.assert_allclose(counted["mean_loss"][image], np.mean(losses) if mine else np.nan)
        np.testing.assert_array_equal(counted["last_loss"][image], losses[-1] if mine else np.nan)


def test_the_hardest_are_those_of_the_largest_latest_loss_once_each():
    nothing = np.zeros(5)
    index, loss = np.array([2, 0, 1, 2, 0]), np.array([9.0, 1, 4, 3, 8], np.float32)
    found = history.Seen(nothing, nothing, nothing, index, loss, nothing, nothing)
    assert history.hardest(found, 2).tolist() == [0, 1]
    assert history.hardest(found, 9).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("[]", "as it is"),
        ('{"geometry": {"rotation": 10}}', "turned +10.0 degrees"),
        ('{"geometry": {"mirror": 1}}', "mirrored"),
        ('{"geometry": {"scale": 0.9, "shift_x": 0.1}}', "scaled 0.900 .. 0.900, moved +3.2, +0.0 px"),
        ('{"colour": {"contrast": 1.2, "brightness": 0.1}}', "contrast x 1.20, grey +31"),
        ('{"blur": {"variance": 4}}', "blurred by 2.00 px"),
    ],
)
def test_an_augmentation_is_reported_in_words(settings, said):
    drawn = augment.sample(keys.root(0), augment.configure(settings, True), CONFIG.size)
    assert augment.describe(drawn, CONFIG.size) == said


def test_a_mirrored_turn_is_reported_as_it_is_seen():
    """Mirroring comes first, then the turn: composed the other way round the angle has the other sign."""
    mirror, turn = (
        augment.sample(keys.root(0), augment.configure(text, True), 32)
        for text in ('{"geometry": {"mirror": 1}}', '{"geometry": {"rotation": 10}}')
    )
    assert augment.describe(transform.compose(mirror, turn), 32) == "mirrored, turned +10.0 degrees"
    assert augment.describe(transform.compose(turn, mirror), 32) == "mirrored, turned -10.0 degrees"
