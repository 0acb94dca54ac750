"""Several sets as one source: its records are those of the sets, under its own names and points."""

import numpy as np
import pytest

from pipelines import example
from pipelines.example import Example, Source, Subset
from pipelines.sources.mixed import Mixed, apart
from tests.pipelines.runs.test_run_folder import rejection

ROWS = [[0, 1, 2, -1], [3, -1, 0, 1]]


class Set(Source):
    """`count` records of `points` points, each number of it another."""

    def __init__(self, seed, count, points, *, boxed=False, asked=None, groups=None):
        self.random, self.num_points, self.labelled, self.boxed = np.random.RandomState(seed), points, True, boxed
        self.names, self.asked, self.groups = [f"{i}.png" for i in range(count)], asked, groups
        self.identity = f"{seed} {count} {points}"
        boxes = [np.array([1.0, 2, 3, 4]) if boxed else None for _ in range(count)]
        self.rows = [
            Example(b"%d" % i, self.random.rand(points, 2), self.random.rand(points) < 0.7, boxes[i])
            for i in range(count)
        ]

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return self.rows[index]


def test_every_record_is_there_once_with_its_points_in_their_places():
    first, second = Set(0, 3, 3), Set(1, 4, 4)
    found = Mixed([first, second], ROWS)
    assert len(found) == 7 and len(set(found.names)) == 7 and found.num_points == 4
    each = [(r, row) for member, row in ((first, ROWS[0]), (second, ROWS[1])) for r in member.rows]
    for index, (record, row) in enumerate(each):
        got = found[index]
        assert got.image == record.image and got.points.shape == (4, 2)
        for place, point in enumerate(row):
            assert got.mask[place] == (point >= 0 and record.mask[point])
            if got.mask[place]:
                assert np.array_equal(got.points[place], record.points[point])
    assert found[-1].image == second.rows[-1].image
    with pytest.raises(IndexError):
        found[7]


def test_the_sets_come_apart_again_whatever_was_left_out():
    first, second = Set(0, 3, 3), Set(1, 4, 4, groups=["", "a", "a", ""])
    found = Mixed([first, second], ROWS)
    assert found.groups is not None and found.groups[:4] == [""] * 4
    assert found.groups[4] == found.groups[5] != ""
    parts = apart(found)
    assert [len(part) for part in parts.values()] == [3, 4]
    assert [part[1].image for part in parts.values()] == [b"1", b"1"]
    assert apart(Subset(found, [6, 4])).keys() == {list(parts)[1]}
    assert apart(first) == {"": first}


def test_a_set_without_boxes_is_seen_whole_beside_one_with_them():
    found = Mixed([Set(0, 2, 3), Set(1, 2, 4, boxed=True)], ROWS)
    assert found.boxed and [found[i].box is None for i in range(4)] == [True, True, False, False]


def test_points_to_predict_are_those_of_the_run():
    asked = [np.array([0, 3]), np.array([1, 0])]
    first, second = Set(0, 1, 3, asked=[np.array([2])]), Set(1, 2, 4, asked=asked)
    found = Mixed([first, second], ROWS)
    assert found.asked is not None and [some.tolist() for some in found.asked] == [[2], [2, 0], [3, 2]]
    assert Mixed([None, second], ROWS).asked is not None
    assert Mixed([Set(0, 1, 3), second], ROWS).asked is None
    assert Mixed([None, Set(1, 1, 4, asked=[np.array([2])])], ROWS).asked is None  # no point of the run


def test_a_set_that_has_nothing_here_keeps_its_label():
    both, alone = (Mixed([first, Set(1, 2, 4)], ROWS) for first in (Set(0, 2, 3), None))
    assert alone.names == both.names[2:] and alone.sets == both.sets


def test_identity_is_that_of_sets_order_and_map():
    def of(*sets, rows=ROWS):
        return example.identity(Mixed(sets, rows))

    sets = Set(0, 3, 3), Set(1, 4, 4)
    known = of(*sets)
    assert known == of(Set(0, 3, 3), Set(1, 4, 4))
    others = [of(Set(2, 3, 3), sets[1]), of(*sets, rows=[ROWS[0], [3, 2, 0, 1]]), of(*sets[::-1], rows=[[0], [0]])]
    assert len({known, *others}) == 4
    sets[1].identity = None  # a set that was not checked is read
    assert of(*sets) not in (known, *others)


def test_the_same_records_twice_and_points_that_a_set_lacks_are_rejected():
    assert "`data`" in rejection(Mixed, [Set(0, 3, 3), Set(0, 3, 3)], [[0, 1, 2]] * 2)
    assert "`data`" in rejection(Mixed, [Set(0, 3, 3), Set(1, 3, 3)], ROWS)
