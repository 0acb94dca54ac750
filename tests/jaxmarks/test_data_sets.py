"""Several data sets in one field: what it names, what flags make of it, and the shares."""

import argparse

import pytest

from jaxmarks import data_sets
from jaxmarks.config import Config


@pytest.mark.parametrize("found", [["a"], ["a", "b"], ["drawn:4:5", "/x y/[1]", "\u00e9\udcff"]])
def test_a_field_names_the_sets_that_it_was_made_of(found):
    assert data_sets.paths(data_sets.joined(found)) == found


@pytest.mark.parametrize("path", ["", "a", "[a", "[1]", "[]", '["a", 1]', "drawn:4:5"])
def test_what_is_no_list_of_paths_is_one_path(path):
    assert data_sets.paths(path) == [path]


def test_a_flag_given_several_times_names_several_sets():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", action=data_sets.Several)
    for given, found in ((["a"], ["a"]), (["a", "b"], ["a", "b"]), (['["a", "b"]', "c"], ["a", "b", "c"])):
        flags = [word for path in given for word in ("--data", path)]
        assert data_sets.paths(parser.parse_args(flags).data) == found
    assert parser.parse_args([]).data is None


def test_records_are_known_by_the_label_of_their_set():
    labels = [data_sets.label(place) for place in range(12)]
    assert len(set(labels)) == 12
    assert data_sets.labels([f"{label}/folder/x.png" for label in labels]) == labels


def test_shares_are_one_for_each_set_and_sum_to_one():
    assert data_sets.shares("", 2) == [] and data_sets.shares("0.7, .3", 2) == pytest.approx([0.7, 0.3])
    assert sum(data_sets.shares("0.33,0.33,0.33", 3)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"shares": "0.7,0.2"}, "`shares`"),
        ({"shares": "1,0"}, "`shares`"),
        ({"shares": "1.5,-0.5"}, "`shares`"),
        ({"shares": "nan,1"}, "`shares`"),
        ({"shares": "a,b"}, "`shares`"),
        ({"shares": "0.5,0.3,0.2"}, "`shares`"),
        ({"shares": "1", "data": "a"}, "`shares`"),
        ({"point_map": "m.json", "data": "a"}, "`point_map`"),
        ({"boxes": "b.csv"}, "`boxes`"),
        ({"data": '["a", "b", "a"]'}, "`data`"),
        ({"data": '["drawn:4:5", "drawn:8:5"]'}, "`data`"),
    ],
)
def test_what_does_not_go_with_the_number_of_sets_is_rejected(settings, told):
    with pytest.raises(ValueError) as caught:
        Config(**{"data": '["a", "b"]', **settings}).check()
    assert told in str(caught.value) and "\n" not in str(caught.value)
