"""Sets whose norm is zero, through every command that divides by it: finite, validated, judged, and counted."""

import csv
import json

import numpy as np
import pytest

from pipelines.images import decode
from tests.commands import SMALL
from tests.pipelines.sources.formats.test_contest import contest_folder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "points",
    [[[30, 40]], [[30, 20], [30, 50]], [[20, 30], [20, 30], [35, 40], [25, 50], [40, 52]]],
    ids=["one point", "an upright line", "eyes in one place"],
)
def test_a_run_validates_has_a_best_checkpoint_and_is_evaluated(command, tmp_path, points):
    random, rows = np.random.RandomState(0), {}
    for n in range(16):
        image = random.randint(0, 256, (80, 64, 3)).astype(np.uint8)
        rows[f"{n:02d}.png"] = decode.encode_png(image), np.array(points) + random.randint(-4, 5, 2)
    data, runs = contest_folder(tmp_path / "data", rows), tmp_path / "runs"
    asked = ("--data", data, "--runs", runs, "--name", "one", "--loss-unit", "face", "--val-fraction", 0.25)
    code, said = command("train", *asked, "--steps", 4, "--val-every", 2, *SMALL)
    assert code == 0 and "16 of 16 images" in said.out, said.err
    lines = [json.loads(line) for line in (runs / "one" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["nme"] < 100 for line in lines), lines
    assert [line["norm_fallbacks"] for line in lines if line["split"] == "val"] == [2, 2]  # one half of four
    code, said = command("evaluate", "--run", runs / "one", "--part", "val", "--out", tmp_path / "out.json")
    assert code == 0, said.err
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["count"] == sum(report["norm_fallbacks"].values()) == 4
    assert 0 < report["nme"] < 100 and 0 < report["nme_box"] < 100
    code, said = command("rank", "--run", runs / "one", "--out", tmp_path / "review")
    assert code == 0, said.err
    rows = list(csv.DictReader((tmp_path / "review" / "review.csv").read_text().splitlines()))
    assert len(rows) == 16 and all(np.isfinite(float(row["score"])) for row in rows)
