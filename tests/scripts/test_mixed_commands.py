"""Several data sets on the command line: trained, validated and evaluated apart, and rejected where one is expected."""

import json

import pytest

from jaxmarks import data_sets
from tests.commands import SMALL, begun, photographs
from tests.pipelines.sources.formats.test_contest import contest_folder

SETS = ("--data", "drawn:40:5", "--data", "elsewhere")


@pytest.fixture
def data(tmp_path) -> list[str]:
    """Drawn faces and 8 others; both have a test split."""
    asked = {f"test{i:02d}.jpg": [4, 0] for i in range(8)}
    real = contest_folder(tmp_path / "real", photographs("train", 12), photographs("test", 8), asked)
    return ["drawn:40:5", str(real)]


@pytest.mark.slow
def test_a_run_on_two_sets_is_validated_for_each(tmp_path, command, data):
    sets = [word for path in data for word in ("--data", path)]
    flags = (*sets, "--runs", tmp_path, "--name", "both", "--shares", "0.2,0.8", "--steps", 2, "--val-every", 2, *SMALL)
    code, said = command("train", *flags)
    assert code == 0, said.err
    lines = [json.loads(line) for line in (tmp_path / "both" / "metrics.jsonl").read_text().splitlines()]
    last = next(line for line in lines if line["split"] == "val")
    assert min(last["nme_set1"], last["nme_set2"]) <= last["nme"] <= max(last["nme_set1"], last["nme_set2"])
    code, said = command("train", *flags)
    assert code == 0 and "finished" in said.out


@pytest.mark.slow
def test_an_evaluation_has_the_numbers_of_each_set(tmp_path, command, data):
    root = begun(tmp_path / "run", data=data_sets.joined(data))
    code, said = command("evaluate", "--run", root, "--out", tmp_path / "out.json")
    assert code == 0, said.err
    found = json.loads((tmp_path / "out.json").read_text())
    each = found["sets"]
    assert [one["data"] for one in each.values()] == data and sum(one["count"] for one in each.values()) == found[
        "count"
    ]
    mean = sum(one["nme"] * one["count"] for one in each.values()) / found["count"]
    assert mean == pytest.approx(found["nme"]) and each["set1"]["nme"] != each["set2"]["nme"]
    assert all(set(one["intervals"]) == set(found["intervals"]) for one in each.values())
    code, said = command("evaluate", "--run", root, "--data", data[0], "--out", tmp_path / "one.json")
    assert code == 0 and "sets" not in json.loads((tmp_path / "one.json").read_text())


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("prepare", (*SETS, "--out", "OUT")),
        ("convert", (*SETS, "--format", "contest", "--out", "OUT")),
        ("symmetry", (*SETS, "--out", "OUT")),
        ("train", ("--data", "drawn:40:5", "--data", "drawn:40:5", "--runs", "OUT")),
        ("train", (*SETS, "--shares", "0.5,0.6", "--runs", "OUT")),
        ("train", (*SETS, "--runs", "OUT")),
        ("train", (*SETS, "--point-map", "none.json", "--runs", "OUT")),
    ],
)
def test_what_cannot_be_is_rejected_in_a_line(tmp_path, rejected, script, flags):
    assert rejected(script, *(tmp_path / "out" if flag == "OUT" else flag for flag in flags))
    assert not (tmp_path / "out").exists()
