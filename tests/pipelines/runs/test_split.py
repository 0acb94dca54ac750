"""The split: whole groups, by a rank that only the key and the group's name decide."""

import math
import re

import pytest

from jaxmarks import config as configs
from jaxmarks import keys
from jaxmarks.config import Config
from pipelines.runs import split

NAMES = [f"person{i // 4:02d}_{i % 4}.jpg" for i in range(80)]
PERSON = r"^(person\d+)_"


def parts(names=NAMES, pattern=PERSON, fraction=0.25, seed=0) -> dict[str, list[str]]:
    return split.split(names, pattern, fraction, keys.root(seed))


def test_every_name_is_on_one_side_in_its_old_order():
    found = parts()
    assert sorted(found["train"] + found["val"]) == sorted(NAMES)
    for names in found.values():
        assert names == [n for n in NAMES if n in set(names)]


def test_groups_never_straddle():
    for seed in range(20):
        found = parts(seed=seed)
        assert not {n[:8] for n in found["train"]} & {n[:8] for n in found["val"]}


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.1, 0.33, 0.5, 0.9])
def test_the_fraction_is_reached_by_less_than_a_group_too_many(fraction):
    for pattern, group in ((PERSON, 4), ("", 1)):
        held = len(parts(pattern=pattern, fraction=fraction)["val"])
        assert fraction * 80 <= held + 1e-9 and held < fraction * 80 + group


def test_the_training_part_is_never_empty():
    for fraction in (0.5, 0.9, 1.0):
        assert parts(["a.jpg"], "", fraction) == {"train": ["a.jpg"], "val": []}
        assert len(parts(["a.jpg", "b.jpg"], "", fraction)["train"]) == 1


def test_the_order_of_names_does_not_matter(random):
    found = parts()
    for _ in range(5):
        mixed = parts([NAMES[i] for i in random.permutation(len(NAMES))])
        assert {k: set(v) for k, v in mixed.items()} == {k: set(v) for k, v in found.items()}


def test_a_group_keeps_its_side_when_others_are_added_behind_it():
    few, many = parts(NAMES, PERSON, 0.25), parts([*NAMES, "person99_0.jpg"], PERSON, 0.25)
    assert len(set(few["val"]) ^ set(many["val"])) <= 5  # at most one group moves, and the new name


def test_another_seed_is_another_split_and_the_same_seed_the_same():
    assert parts(seed=0) == parts(seed=0) and parts(seed=0)["val"] != parts(seed=1)["val"]


def test_golden():
    # May change only with a new implementation of keys: older runs are split by it.
    found = parts([f"{i}.jpg" for i in range(12)], "", 0.25)
    assert found["val"] == ["0.jpg", "3.jpg", "8.jpg"]
    assert split.digest(found)[:16] == "45b7066176b0cb68"


def test_each_name_and_its_side_are_in_the_digest():
    known = {"train": ["a", "b"], "val": ["c"]}
    others = [
        {"train": ["b", "a"], "val": ["c"]},
        {"train": ["a"], "val": ["b", "c"]},
        {"train": ["a", "b"], "val": []},
    ]
    digests = {split.digest(p) for p in (known, *others)}
    assert len(digests) == 4 and split.digest(dict(reversed(known.items()))) in digests


def test_without_a_group_in_the_expression_all_that_it_finds_is_the_group():
    assert split.groups(["a1x.jpg", "b22.jpg"], r"\d+") == ["1", "22"]
    assert split.groups(["a1x.jpg"], r"([a-z])(\d)") == ["a"]
    assert split.groups(["a", "b"], "") == ["a", "b"]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("(", "not a regular expression"), (r"x(\d)", "finds nothing in the file name"), ("(q)|p", "finds nothing")],
)
def test_an_expression_that_makes_no_groups_is_rejected_in_one_line(pattern, told):
    with pytest.raises(ValueError, match=f"`split_by` .*{told}") as caught:
        parts(pattern=pattern)
    assert "\n" not in str(caught.value)


def test_halves_hold_whole_groups_and_every_name_once_in_about_equal_numbers():
    names = [f"person{person:02d}_{frame}.jpg" for person in range(12) for frame in range(1 + person % 5)]
    first, second = split.halves(names, split.groups(names, PERSON))
    assert sorted([*first, *second]) == names and first == sorted(first) and second == sorted(second)
    assert not {n[:8] for n in first} & {n[:8] for n in second}
    assert abs(len(first) - len(second)) <= 5


def test_the_half_of_a_group_does_not_depend_on_the_order_of_names():
    names = [f"person{person:02d}_{frame}.jpg" for person in range(12) for frame in range(2)]
    there = split.halves(names, split.groups(names, PERSON))
    back = split.halves(names[::-1], split.groups(names[::-1], PERSON))
    assert [sorted(half) for half in back] == [list(half) for half in there]


def test_one_group_is_not_halved():
    assert split.halves(["a1", "a2"], ["a", "a"]) == (["a1", "a2"], [])
    assert split.halves([], []) == ([], [])


def with_twins(sizes, fraction, seed=0):
    """The split of groups of near-duplicates of these sizes; a group of one has none."""
    names = [f"g{g}_{i}" for g, size in enumerate(sizes) for i in range(size)]
    twins = [f"g{g}" if size > 1 else "" for g, size in enumerate(sizes) for _ in range(size)]
    return split.split(names, "", fraction, keys.root(seed), twins)


@pytest.mark.parametrize("seed", range(8))
def test_a_huge_group_is_passed_over_whatever_its_rank(seed):
    found = with_twins([38, 1, 1], 0.05, seed)
    assert len(found["train"]) == 38 and len(found["val"]) == 2


def test_groups_are_passed_over_only_where_the_split_would_be_far_from_what_was_asked():
    # The order that older runs were split by stays: the last group may take it up to half as much again.
    assert [len(with_twins([10] * 10, 0.15, seed)["val"]) for seed in range(20)] == [20] * 20


@pytest.mark.parametrize(
    ("sizes", "fraction", "told"),
    [
        ([40], 0.05, "2 of 40 .* give 0: there is 1 group, the largest of 40"),
        ([10], 0.05, "0.5 of 10 .* give 0: there is 1 group"),
        ([39, 1], 0.2, "8 of 40 .* there are 2 groups, the largest of 39 .*`val_fraction` 0.025 holds out 1"),
        ([38, 1, 1], 0.2, "8 of 40 .*`val_fraction` 0.05 holds out 2"),
        ([50, 50], 0.1, "10 of 100 .* give 50: .*`val_fraction` 0.5 holds out 50"),
    ],
)
def test_a_split_far_from_what_was_asked_is_rejected_with_the_way_out(sizes, fraction, told):
    with pytest.raises(ValueError, match=f"{told}.*") as caught:
        with_twins(sizes, fraction)
    said = str(caught.value)
    assert "\n" not in said and "`no_near_duplicates`" in said and "`val_fraction` 0 holds out nothing" in said
    with pytest.raises(ValueError, match="`split_by` than 'person'"):
        parts(pattern="person", fraction=fraction)


def test_the_way_out_that_is_named_is_one():
    with pytest.raises(ValueError, match=r"`val_fraction` [\d.]+ holds out \d+") as caught:
        with_twins([30, 30, 40], 0.1)
    share, count = re.search(r"`val_fraction` ([\d.]+) holds out (\d+)", str(caught.value)).groups()
    assert len(with_twins([30, 30, 40], float(share))["val"]) == int(count)


def test_rounding_to_whole_images_is_not_far(random):
    for count in range(1, 60):
        for fraction in (0, 0.01, 0.05, 0.2, 0.5, 0.9):
            found = parts([f"{i}.jpg" for i in range(count)], "", fraction)
            assert len(found["val"]) == min(math.ceil(fraction * count), count - 1)


def test_a_fold_far_from_its_share_is_rejected():
    names = [f"a_{i}" for i in range(90)] + [f"b_{i}" for i in range(5)] + [f"c_{i}" for i in range(5)]
    for k in (1, 2):
        with pytest.raises(ValueError, match=f"50 of 100 images .*`fold` {k}/2.*`fold` takes fewer parts"):
            fold(k, 2, names, "^(.)_")


def fold(which: int, of: int, names=NAMES, pattern=PERSON, seed=0) -> dict[str, list[str]]:
    return split.split(names, pattern, 0.25, keys.root(seed), fold=(which, of))


@pytest.mark.parametrize("of", [2, 3, 7, 20])
def test_every_group_validates_in_exactly_one_fold_and_folds_are_about_as_large(of):
    folds = [fold(k, of) for k in range(1, of + 1)]
    held = [name for parts in folds for name in parts["val"]]
    assert sorted(held) == sorted(NAMES)
    for parts in folds:
        assert sorted(parts["train"] + parts["val"]) == sorted(NAMES)
        assert not {n[:8] for n in parts["train"]} & {n[:8] for n in parts["val"]}
        assert abs(len(parts["val"]) - 80 / of) <= 4  # a group


def test_folds_go_by_the_rank_that_the_fraction_goes_by():
    by_fraction, first = parts(fraction=0.25), fold(1, 4)
    assert by_fraction == first and fold(1, 4, seed=1) != first


def test_unequal_groups_fill_every_fold_and_twins_stay_together():
    names = [f"p{n}_{i}" for n in range(12) for i in range(1 + 5 * (n % 3))]
    sizes = [len(fold(k, 3, names, "^(p[0-9]+)")["val"]) for k in (1, 2, 3)]
    assert sum(sizes) == len(names) and max(sizes) - min(sizes) <= 11
    twins = ["t" if name in ("p0_0", "p1_0") else "" for name in names]
    for k in (1, 2, 3):
        held = split.split(names, "^(p[0-9]+)", 0, keys.root(0), twins, fold=(k, 3))["val"]
        assert ("p0_0" in held) == ("p1_0" in held)


@pytest.mark.parametrize(("of", "names"), [(3, ["a", "b"]), (2, ["a"]), (2, ["a"] * 1)])
def test_more_folds_than_groups_are_rejected(of, names):
    with pytest.raises(ValueError, match="`fold` 1/.: the . groups cannot be cut"):
        fold(1, of, names, "")


@pytest.mark.parametrize("text", ["3", "0/3", "4/3", "1/1", "a/3", "1/", "/", "-1/3", "1/3/5", "1/1001", "²/3"])
def test_a_fold_that_is_none_is_rejected(text):
    with pytest.raises(ValueError, match="`fold` .*: expected K/N") as caught:
        Config(fold=text).check()
    assert "\n" not in str(caught.value)


def test_a_fold_is_part_of_what_a_run_is():
    assert Config().fold_of is None and Config(fold="2/3").check().fold_of == (2, 3)
    assert configs.differences(Config(fold="2/3"), Config()) == ["`fold`: the run has '2/3', got ''"]
